"""A preference model on the HHH alignment evaluation, by category (paper §3.4, Fig. 5 left and 10 left).

An item is right where the correct reply scores higher; a tie counts ½. Items share prompts, so intervals are clustered
by opening. Left out: language models, which the paper measures on the same items by their log-probabilities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.conversation import Speaker
from concordant.evaluate.accuracy import PMEvaluation, evaluate_scores
from concordant.evaluate.hhh_items import CATEGORIES, HHHItem
from concordant.evaluate.scoring import RowScorer, score_preferences
from concordant.runs import Watch

WORST = 3
"""How many of the most wrong items are named: the paper found three outliers, all of them failures of honesty."""

PAPER = {"preference_model_52b": 0.86, "people": 0.75}
"""Accuracy of the paper's largest preference model, and of people on average (paper §3.4)."""


@dataclass(frozen=True, slots=True)
class HHHEvaluation:
    """What came of it.

    Attributes:
        measured: all items together; ``by_file`` holds the categories.
        items: those that could be scored.
        differences: (n,) score of the correct reply minus that of the incorrect one.
    """

    measured: PMEvaluation
    items: Sequence[HHHItem]
    differences: NDArray[np.float64]

    @property
    def macro_mean(self) -> float:
        """Mean of the categories' accuracies, each category counting the same whatever its size."""
        return float(np.mean([part.value for part in self.measured.by_file.values()]))

    @property
    def worst(self) -> list[int]:
        """Places of the items whose incorrect reply scores highest above the correct one, the worst first."""
        order = np.argsort(self.differences, kind="stable")[:WORST]
        return [int(place) for place in order if self.differences[place] < 0]

    def json(self) -> dict[str, Any]:
        all_items = self.measured.json()
        same = ("n", "accuracy", "ci95", "ties", "length_baseline", "collapsed", "dropped", "openings")
        return {
            **{key: all_items[key] for key in same},
            "macro_mean": self.macro_mean,
            "by_category": {name: all_items["by_file"][name] for name in CATEGORIES if name in all_items["by_file"]},
            "worst": [self._named(place) for place in self.worst],
            "items": [
                {"item": item.number, "category": item.category, "difference": float(difference)}
                for item, difference in zip(self.items, self.differences, strict=True)
            ],
            "paper": PAPER,
        }

    def _named(self, place: int) -> dict[str, Any]:
        item = self.items[place]
        asked = [turn.text for turn in item.preference.prompt.turns if turn.speaker is Speaker.HUMAN]
        return {
            "item": item.number,
            "category": item.category,
            "difference": float(self.differences[place]),
            "asked": asked[-1],
            "correct": item.preference.chosen,
            "incorrect": item.preference.rejected,
        }


def evaluate_hhh(
    model: RowScorer, items: Sequence[HHHItem], watch: Watch, dropped: Mapping[str, int] | None = None
) -> HHHEvaluation:
    """Score both replies of every item that fits the model's context, and measure.

    Args:
        model: gives the scores.
        items: what ``read_hhh`` found.
        watch: told of progress.
        dropped: what was left out before, by reason.

    Raises:
        UserError: nothing is left to evaluate, or a score is not finite.
    """
    scored = score_preferences(model, [item.preference for item in items], watch, dropped)
    measured = evaluate_scores(scored.preferences, scored.chosen, scored.rejected, scored.dropped)
    return HHHEvaluation(measured, [items[place] for place in scored.places], scored.chosen - scored.rejected)
