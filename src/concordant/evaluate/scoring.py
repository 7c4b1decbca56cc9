"""A preference model against comparisons: scores them, longest first, and measures.

Left out: writing the scores themselves anywhere (``concordant score`` does).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from concordant.comparison import Preference
from concordant.evaluate.accuracy import WEAKEST_DROPPED, PMEvaluation, evaluate_scores
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Watch

CHUNK = 32
"""Comparisons between two reports of progress."""


def evaluate_pm(
    model: PreferenceModel,
    preferences: Sequence[Preference],
    watch: Watch,
    dropped: Mapping[str, int] | None = None,
) -> PMEvaluation:
    """Score every comparison that fits the model's context, and measure.

    Args:
        model: gives the scores.
        preferences: comparisons with their answers; the weakest and the too long are dropped and counted.
        watch: told of progress.
        dropped: what was left out before, by reason.

    Raises:
        UserError: nothing is left to evaluate, or a score is not finite.
    """
    left_out = Counter(dropped or {})
    used: list[Preference] = []
    for preference in preferences:
        if preference.is_weakest:
            left_out[WEAKEST_DROPPED] += 1
        elif model.row(preference.prompt, [preference.chosen, preference.rejected]) is None:
            left_out["longer than the context"] += 1
        else:
            used.append(preference)
    # Longest first: neighbours fill a pass evenly, memory is short at once or never, and the time left only shrinks.
    order = sorted(range(len(used)), key=lambda index: -_length(used[index]))
    scores = np.zeros((len(used), 2))
    watch(0, len(used), "")
    for start in range(0, len(order), CHUNK):
        part = order[start : start + CHUNK]
        items = [(used[index].prompt, [used[index].chosen, used[index].rejected]) for index in part]
        scores[part] = model.score_many(items)
        watch(start + len(part), len(used), "")
    return evaluate_scores(used, scores[:, 0], scores[:, 1], left_out)


def _length(preference: Preference) -> int:
    """Characters of a comparison, which its tokens about follow."""
    prompt = sum(len(turn.text) for turn in preference.prompt.turns)
    return prompt + len(preference.chosen) + len(preference.rejected)
