"""How much was collected: by day, objective and tranche, study, model, worker; and how much of it few people made
(paper §2.2: some 20 workers made about 80 % of the data).

All from the ledger's counts. A choice counts on its own day; a conversation where its first choice does; a comparison
between two models counts under both, so the lines by model add up to more than there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from concordant.comparison import Objective, Tranche
from concordant.store.ledger import Books, Count, Place

TOP = 20
"""How many workers the paper looked at most closely."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which choices. None or "": whatever it is. Days include both ends; ``model`` is a snapshot's id."""

    objective: Objective | None = None
    tranche: Tranche | None = None
    study: str | None = None
    model: str = ""
    worker: str = ""
    kind: str = ""
    first: date | None = None
    last: date | None = None


@dataclass(slots=True)
class Line:
    """One line of a table: helpful and red-team choices, and both with the rest of ``Count``."""

    total: Count
    red_team: int = 0

    def add(self, count: Count, red_team: bool) -> None:
        self.total.add(count)
        self.red_team += count.choices if red_team else 0


@dataclass(frozen=True, slots=True)
class Throughput:
    """Counts of what lies in a window, by what a table has lines for. Workers and models are ids.

    Attributes:
        whole: everything.
        days: by day, without gaps, oldest first.
        work: by (objective, tranche).
        studies: by study.
        models: by snapshot.
        workers: by worker.
    """

    whole: Line
    days: dict[str, Line]
    work: dict[tuple[str, str], Line]
    studies: dict[str, Line]
    models: dict[str, Line]
    workers: dict[str, Line]


def throughput(books: Books, window: Window) -> Throughput:
    """Count what lies in a window."""
    found = Throughput(Line(Count()), {}, {}, {}, {}, {})
    together: dict[tuple[str, str, str, str, str], Count] = {}
    for place, count in _inside(books, window):
        red_team = place.objective == Objective.HARMLESS
        found.days.setdefault(place.day, Line(Count())).add(count, red_team)
        together.setdefault(place[1:], Count()).add(count)
    for (objective, study, worker, a, b), count in together.items():
        red_team = objective == Objective.HARMLESS
        work = (objective, books.models.tranche(a, b).value)
        for line in (
            found.whole,
            found.work.setdefault(work, Line(Count())),
            found.studies.setdefault(study, Line(Count())),
            found.workers.setdefault(worker, Line(Count())),
            *(found.models.setdefault(model, Line(Count())) for model in {a, b}),
        ):
            line.add(count, red_team)
    days = {day: found.days.get(day, Line(Count())) for day in _every_day(found.days)}
    return Throughput(found.whole, days, found.work, found.studies, found.models, found.workers)


def share_of_top(numbers: Iterable[int], top: int = TOP) -> float | None:
    """What share of the whole the largest ``top`` numbers are; None of nothing."""
    largest = sorted(numbers, reverse=True)
    return sum(largest[:top]) / sum(largest) if sum(largest) else None


def gini(numbers: Sequence[int]) -> float | None:
    """How unequal the numbers are: 0 where all are equal, towards 1 where one has all. None of nothing.

    Twice the area between the Lorenz curve and the diagonal.
    """
    if not sum(numbers):
        return None
    weighted = sum(place * number for place, number in enumerate(sorted(numbers), start=1))
    return 2 * weighted / (len(numbers) * sum(numbers)) - (len(numbers) + 1) / len(numbers)


def _inside(books: Books, window: Window) -> Iterator[tuple[Place, Count]]:
    first = "" if window.first is None else window.first.isoformat()
    last = "9999-12-31" if window.last is None else window.last.isoformat()
    for place, count in books.counts.items():
        if (
            first <= place.day <= last
            and (window.objective is None or place.objective == window.objective)
            and (window.study is None or place.study == window.study)
            and (not window.worker or place.worker == window.worker)
            and (not window.kind or books.workers[place.worker][1] == window.kind)
            and (not window.model or window.model in (place.a, place.b))
            and (window.tranche is None or books.models.tranche(place.a, place.b) is window.tranche)
        ):
            yield place, count


def _every_day(days: Iterable[str]) -> Iterator[str]:
    """From the first to the last, the empty ones too."""
    known = sorted(days)
    if not known:
        return
    day, last = date.fromisoformat(known[0]), date.fromisoformat(known[-1])
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
