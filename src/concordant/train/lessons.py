"""Comparisons as lessons for a preference model: those that can teach something, as rows of tokens (paper §2.2, A.2).

The weakest strength is dropped, and so is what cannot be learned from; both are counted. Left out: which comparisons
(``mixture.py``).
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concordant.comparison import Objective, Preference
from concordant.errors import UserError
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow
from concordant.train_config import PreferenceModelConfig


@dataclass(frozen=True, slots=True)
class Lesson:
    """One comparison to learn from.

    Attributes:
        row: the chosen reply first.
        weight: of its pairwise loss.
        worker_kind: who chose.
        place: of the comparison among those that were given.
    """

    row: SharedRow
    weight: float = 1.0
    worker_kind: str = "unknown"
    place: int = 0


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a run learns from.

    Attributes:
        rows: in the order of learning.
        flaws: place of a comparison that was dropped → why.
        helpful: of each comparison that was given, whether its objective is to be helpful.
        ordered: whether they are learned in the order in which they were given.
    """

    rows: Sequence[Lesson]
    flaws: Mapping[int, str]
    helpful: Sequence[bool]
    ordered: bool

    @classmethod
    def of(cls, model: PreferenceModel, preferences: Sequence[Preference], config: PreferenceModelConfig) -> "Lessons":
        """The lessons in the config's order.

        Raises:
            UserError: none can be used, or they are too few for ``keep_at``.
        """
        if config.keep_at and config.keep_at[-1] > len(preferences):
            raise UserError(
                f"a copy is to be kept after {config.keep_at[-1]:,} comparisons, and there are {len(preferences):,}; "
                "leave it out of keep_at"
            )
        rows: list[Lesson] = []
        flaws: dict[int, str] = {}
        for place, preference in enumerate(preferences):
            flaw = "weakest strength" if preference.is_weakest else preference.flaw()
            row = None if flaw else model.row(preference.prompt, [preference.chosen, preference.rejected])
            if row is None:
                flaws[place] = flaw or "longer than the context"
            else:
                weight = config.harmless_weight if preference.objective is Objective.HARMLESS else 1.0
                rows.append(Lesson(row, weight, preference.worker_kind or "unknown", place))
        if not rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(flaws.values()).most_common())
            raise UserError(
                f"none of the {len(preferences)} comparisons can be used ({reasons or 'the set is empty'}); collect "
                "more"
            )
        if config.order == "shuffled":
            random.Random(f"order:{config.seed}").shuffle(rows)
        helpful = [preference.objective is Objective.HELPFUL for preference in preferences]
        return cls(rows, flaws, helpful, config.order == "given")

    def steps(self, config: PreferenceModelConfig) -> int:
        """Optimiser steps of one epoch."""
        return -(-len(self.rows) // config.batch_size)

    def batch(self, step: int, config: PreferenceModelConfig) -> Sequence[Lesson]:
        """The lessons of a step, from 0; the last batch may be smaller."""
        return self.rows[step * config.batch_size :][: config.batch_size]

    def said(self, seen: int | None = None) -> dict[str, Any]:
        """The part of a result that speaks of the comparisons, of all or of the first ``seen`` lessons.

        ``comparisons`` were learned from, ``cut`` of them without the first turns of their prompt, which did not fit;
        ``drawn`` (``drawn_helpful`` of them helpful) were taken to have so many, ``dropped`` are the others by reason.
        Of the first lessons of a shuffled run nothing is said but their number: what was dropped was dropped before.
        """
        rows = self.rows[:seen]
        said = {
            "comparisons": len(rows),
            "cut": sum(lesson.row.left_out > 0 for lesson in rows),
            "worker_kinds": dict(Counter(lesson.worker_kind for lesson in rows)),
        }
        if seen is not None and not self.ordered:
            return {**said, "dropped": {}}
        drawn = len(self.helpful) if seen is None else rows[-1].place + 1
        dropped = Counter(flaw for place, flaw in self.flaws.items() if place < drawn)
        return {**said, "drawn": drawn, "drawn_helpful": sum(self.helpful[:drawn]), "dropped": dict(dropped)}
