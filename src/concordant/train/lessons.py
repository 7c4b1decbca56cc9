"""Comparisons as lessons for a preference model: those that can teach something, as rows of tokens (paper §2.2, A.2).

The weakest strength is dropped, and so is what cannot be learned from; both are counted. Left out: which comparisons
(``mixture.py``), and their order.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from concordant.comparison import Objective, Preference
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow


@dataclass(frozen=True, slots=True)
class Lesson:
    """One comparison to learn from.

    Attributes:
        row: the chosen reply first.
        weight: of its pairwise loss.
        worker_kind: who chose.
    """

    row: SharedRow
    weight: float = 1.0
    worker_kind: str = "unknown"


def comparison_lessons(
    model: PreferenceModel, preferences: Sequence[Preference], harmless_weight: float
) -> tuple[list[Lesson], Counter[str]]:
    """(lessons, dropped comparisons by reason)."""
    lessons: list[Lesson] = []
    dropped: Counter[str] = Counter()
    for preference in preferences:
        flaw = "weakest strength" if preference.is_weakest else preference.flaw()
        row = None if flaw else model.row(preference.prompt, [preference.chosen, preference.rejected])
        if row is None:
            dropped[flaw or "longer than the context"] += 1
        else:
            weight = harmless_weight if preference.objective is Objective.HARMLESS else 1.0
            lessons.append(Lesson(row, weight, preference.worker_kind or "unknown"))
    return lessons, dropped


def counted(dropped: Counter[str]) -> str:
    """The reasons in words, the most frequent first."""
    return ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "the set is empty"
