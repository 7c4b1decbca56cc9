"""What policies would have chosen: which of two replies they find likelier, along a run (paper §4.5, B.4, Fig. 34).

By the mean log-probability of a reply's tokens, as in the paper; by the sum, short replies would win. A policy that
learned what a preference model knows would come near that model's accuracy; the paper's stayed below it, and did not
move on harmless comparisons. Left out: comparisons of the weakest strength, as in training.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.accuracy import WEAKEST_DROPPED, credits
from concordant.evaluate.asked_model import AskedModel
from concordant.evaluate.intervals import share
from concordant.evaluate.paired import Measured, table
from concordant.evaluate.scoring import RowScorer, score_preferences
from concordant.models.option_scores import Question
from concordant.runs import Json, Watch


def measure_likelihood(
    models: Sequence[AskedModel],
    files: Mapping[str, Sequence[Preference]],
    samples: Mapping[str, int | None],
    watch: Watch,
) -> Json:
    """The accuracy of every model on the same comparisons.

    Args:
        models: the first is what the others are compared with; names differ.
        files: name → comparisons.
        samples: model → replies that it had been trained on by PPO, None where that is not known.
        watch: told of progress in files of one model; each model tells of its own.

    Returns:
        ``{"models", "tasks", "means", "samples", "dropped": {file: {reason: count}}}``; ``tasks`` as ``TAX_FIELDS``
        says, one for each file, with shares clustered by opening.

    Raises:
        UserError: nothing is left of a file, or a reply is longer than a model's context.
    """
    kept = {name: [one for one in preferences if not one.is_weakest] for name, preferences in files.items()}
    measured: list[Measured] = []
    for place, (name, pairs) in enumerate(kept.items()):
        if not pairs:
            raise UserError(f"nothing in {name!r} can be compared; check its file")
        questions = [Question(pair.prompt, (pair.chosen, pair.rejected)) for pair in pairs]
        found: dict[str, Any] = {}
        for number, asked in enumerate(models):
            watch(place * len(models) + number, len(kept) * len(models), f"{name}, {asked.name}")
            found[asked.name] = credits(
                np.array([better.logprob / better.tokens - worse.logprob / worse.tokens
                          for better, worse in asked.options(questions)])
            )  # fmt: skip
        openings = [pair.prompt.split_key for pair in pairs]
        keys = [str(number) for number in range(len(pairs))]
        measured.append(Measured(name, 0, "acc", 0.5, keys, openings, found))
    dropped = {
        name: dict(Counter({WEAKEST_DROPPED: len(files[name]) - len(pairs)}))
        for name, pairs in kept.items()
        if len(pairs) < len(files[name])
    }
    return table(measured, [asked.name for asked in models]) | {"samples": dict(samples), "dropped": dropped}


def ceiling(model: RowScorer, preferences: Sequence[Preference], watch: Watch) -> Json:
    """``{"value", "ci95", "n"}``: a preference model's accuracy on the comparisons, clustered by opening."""
    scored = score_preferences(model, preferences, watch)
    openings = np.array([one.prompt.split_key for one in scored.preferences], dtype=np.str_)
    found = share(credits(scored.chosen - scored.rejected), openings)
    return {"value": found.value, "ci95": list(found.ci95), "n": found.n}
