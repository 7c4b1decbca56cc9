"""Helpful against harmless (paper §4.4, Fig. 14): where a policy lies among the scores of each objective's data.

A policy that scores above nearly all harmless comparisons and amid the helpful ones has been driven further on the one
than on the other; the paper's then answered too much with "seek help". Scores have no zero, so the mean over all
replies of the data is taken off, and a place among the data is a share: of the data's replies that score lower.
Left out: the asymptotes of the paper's figure, which it does not explain.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from concordant.comparison import Preference
from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.evaluate.intervals import clustered_mean
from concordant.evaluate.ood_scores import auroc
from concordant.evaluate.score_spread import Scores, spread
from concordant.evaluate.scoring import RowScorer, score_items, score_preferences
from concordant.runs import Json, Watch


def measure_tension(
    model: RowScorer,
    preferences: Sequence[Preference],
    samples: Sequence[Json],
    watch: Watch,
    dropped: Mapping[str, int] | None = None,
) -> Json:
    """Scores of the data by objective, and a policy's place among them before and after training.

    Args:
        model: a preference model.
        preferences: comparisons of both objectives.
        samples: rows of a policy run's samples.jsonl, or none. The objective of a prompt is that of the comparisons
            with its opening; a prompt whose opening stands in none, or in those of both, is left out and counted.
        watch: told of comparisons scored.
        dropped: what was left out before, by reason.

    Raises:
        UserError: an objective has no comparison.
    """
    scored = score_preferences(model, preferences, watch, dropped)
    zero = float(np.concatenate([scored.chosen, scored.rejected]).mean()) if scored.preferences else 0.0
    data: dict[str, Scores] = {}
    result: dict[str, Json] = {}
    for objective in ("helpful", "harmless"):
        rows = [place for place, one in enumerate(scored.preferences) if one.objective == objective]
        if not rows:
            raise UserError(f"no {objective} comparison could be scored; name a file with --data {objective}=FILE")
        openings = np.array([scored.preferences[row].prompt.split_key for row in rows], dtype=np.str_)
        both = np.concatenate([scored.chosen[rows], scored.rejected[rows]]) - zero
        data[objective] = Scores(both, np.concatenate([openings, openings]))
        result[objective] = spread(data[objective]) | {
            "comparisons": len(rows),
            "chosen_mean": float(scored.chosen[rows].mean()) - zero,
            "rejected_mean": float(scored.rejected[rows].mean()) - zero,
        }
    left_out = Counter(scored.dropped)
    places = _policy(model, samples, data, zero, left_out)
    return {
        "n": len(scored.preferences),
        "mean": zero,
        "dropped": dict(left_out),
        "objectives": {name: part | {"policy": places.get(name)} for name, part in result.items()},
    }


def _policy(
    model: RowScorer, samples: Sequence[Json], data: Mapping[str, Scores], zero: float, left_out: Counter[str]
) -> dict[str, Json]:
    """Objective → the policy's scores at its first and last trial, for objectives of which it has prompts."""
    if not samples:
        return {}
    known = {name: set(scores.openings.tolist()) for name, scores in data.items()}
    first, last = min(row["step"] for row in samples), max(row["step"] for row in samples)
    found: dict[str, Json] = {}
    for moment, step in (("before", first), ("after", last)):
        rows: dict[str, list[tuple[Conversation, str]]] = {name: [] for name in data}
        for row in (row for row in samples if row["step"] == step):
            prompt = Conversation(tuple(Turn(Speaker(speaker), text) for speaker, text in row["prompt"]))
            said = row.get("objective")
            of = [str(said)] if said in data else [name for name in data if prompt.split_key in known[name]]
            if len(of) == 1:
                rows[of[0]].append((prompt, row["reply"]))
            else:
                left_out["policy's reply whose opening is in the data of neither or both objectives"] += 1
        for name, replies in rows.items():
            place = _place(model, replies, data[name], zero)
            if place is not None:
                found.setdefault(name, {"first_step": first, "last_step": last})[moment] = place
    return {name: part for name, part in found.items() if {"before", "after"} <= part.keys()}


def _place(model: RowScorer, replies: Sequence[tuple[Conversation, str]], data: Scores, zero: float) -> Json | None:
    """Mean score of replies, and the share of the data's replies below one of them; None where none can be scored."""
    scores = score_items(model, [(prompt, (reply,)) for prompt, reply in replies])
    pairs = [(found[0] - zero, prompt) for found, (prompt, _) in zip(scores, replies, strict=True) if found]
    if not pairs:
        return None
    values = np.array([value for value, _ in pairs])
    openings = np.array([prompt.split_key for _, prompt in pairs], dtype=np.str_)
    mean, error = clustered_mean(values, openings)
    above = auroc(data.values, values, data.openings, openings)
    return {
        "n": len(values),
        "prompts": len(set(openings.tolist())),
        "mean": mean,
        "se": error,
        "above_data": above.value,
        "above_data_se": above.se,
    }
