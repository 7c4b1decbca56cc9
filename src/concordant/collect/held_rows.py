"""What the store holds, as the rows of a sheet: choices made here, counted together, and imported files."""

from collections.abc import Callable, Iterable

from concordant.collect.sheet import Column, Row
from concordant.store.imports import ImportedFile
from concordant.store.ledger import Books, Count, Place

HELD = (
    Column("objective", "Work"),
    Column("tranche", "Tranche"),
    Column("source", "From"),
    Column("kind", "Chosen by"),
)
"""The columns that say what is counted; each page adds the numbers."""


def made_here(books: Books, wanted: Callable[[Place], bool] = lambda place: True) -> list[Row]:
    """Choices made here, by work, tranche and kind of worker."""
    groups: dict[tuple[str, str, str], Count] = {}
    for place, count in books.counts.items():
        if wanted(place):
            key = (place.objective, books.models.tranche(place.a, place.b).value, books.workers[place.worker][1])
            groups.setdefault(key, Count()).add(count)
    return [
        {
            "objective": objective,
            "tranche": tranche,
            "source": "store",
            "kind": kind,
            "n": count.choices,
            "weakest": count.weakest,
        }
        for (objective, tranche, kind), count in sorted(groups.items())
    ]


def imported(files: Iterable[ImportedFile]) -> list[Row]:
    """Comparisons of imported files, one row each; they say nothing of strength."""
    return [
        {
            "objective": one.objective,
            "tranche": one.tranche,
            "source": one.name,
            "kind": "",
            "n": one.taken,
            "weakest": None,
        }
        for one in files
    ]
