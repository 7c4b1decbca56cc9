"""Preferences as files in the browser: HH lines, Parquet, and the data card; the code is that of ``data export``.

A file is sent while the store is read, so it needs little memory, however large it is. It goes out in chunks, and both
formats end on what shows that they are whole (gzip: length and checksum; Parquet: the directory): a transfer that
breaks off is reported by the browser, and what was kept of it cannot be opened as if it were all there was.
"""

from collections.abc import Callable, Iterator
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from concordant.collect.asked import Asked
from concordant.collect.held_rows import HELD, imported, made_here
from concordant.collect.ledger_here import LedgerHere
from concordant.collect.room import ResearcherHere, RoomHere, aside
from concordant.collect.sheet import Column, Row, Sheet, desk, file_name
from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store import audit
from concordant.store.erasure import erased_workers
from concordant.store.exports import Format, card_of, outgoing
from concordant.store.imports import imported_files
from concordant.store.ledger import Books, Place, admitted
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter

router = APIRouter(prefix="/researcher")

_ENDINGS: dict[Format, str] = {"hh": "jsonl.gz", "parquet": "parquet"}
_TYPES: dict[Format, str] = {"hh": "application/gzip", "parquet": "application/vnd.apache.parquet"}


@router.get("/exports")
def exports(request: Request, room: RoomHere, staff: ResearcherHere, ledger: LedgerHere) -> Response:
    """What a choice of filters holds, and the links to its files."""
    asked = Asked(request)
    filter = filter_of(asked)
    with ledger.open() as every:
        books = admitted(room.db, every)
        gone = erased_workers(room.db)
        rows = _collected(books, filter, lambda place: place.worker not in gone)
        erased = sum(row["n"] for row in _collected(books, filter, lambda place: place.worker in gone))
        studies, models = sorted({place.study for place in books.counts}), sorted(books.models.labels.values())
    if filter.sources != "store" and filter.study is None and filter.models is None and filter.worker_kind is None:
        rows += imported(
            one
            for one in imported_files(room.db)
            if filter.objective in (None, one.objective) and filter.tranche in (None, one.tranche)
        )
    return desk(
        request,
        room,
        "exports",
        [Sheet("selection", "What these filters hold", _COLUMNS, rows)],
        asked=asked,
        studies=studies,
        models=models,
        total=sum(row["n"] for row in rows),
        erased=erased,
    )


@router.get("/exports/{format}/{name}")
def export_file(format: str, name: str, request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """The file. Its name is in the address for those who fetch it without a browser; the header says it again."""
    known = _known(format)
    filter = filter_of(Asked(request))
    going = outgoing(room.db, known, filter)
    saved = f"{_named(filter)}.{_ENDINGS[known]}"
    with room.db.write() as session:
        audit.note(session, staff.id, "data exported", saved, format=known, filter=filter.to_json())
    headers = {"Content-Disposition": f'attachment; filename="{saved}"'}
    pieces: Iterator[bytes] = going.pieces
    return StreamingResponse(pieces, media_type=_TYPES[known], headers=headers)


@router.get("/cards/{format}")
async def card(format: str, request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """The data card of such a file; counts every row, so it takes nearly as long."""
    known = _known(format)
    filter = filter_of(Asked(request))
    saved = f"{_named(filter)}.{_ENDINGS[known]}"
    headers = {"Content-Disposition": f'attachment; filename="{saved}.md"'}
    text = await aside(lambda: card_of(room.db, saved, known, filter))
    return PlainTextResponse(text, headers=headers, media_type="text/markdown; charset=utf-8")


def filter_of(asked: Asked) -> Filter:
    """What a page's address asks for; the weakest are kept where the format has a place for them.

    Raises:
        UserError: a field means nothing.
    """
    model, source = asked.text("model"), asked.text("source")
    if source not in ("", "store", "imported"):
        raise UserError(f"source {source!r} is not known here; it is store or imported")
    sources: Literal["store", "imported"] | None = "store" if source == "store" else "imported" if source else None
    return Filter(
        objective=asked.choice("objective", Objective),
        tranche=asked.choice("tranche", Tranche),
        study=asked.maybe("study"),
        models=(model,) if model else None,
        keep_weakest=True,
        sources=sources,
        worker_kind=asked.choice("kind", WorkerKind),
    )


def _known(format: str) -> Format:
    if format == "hh":
        return "hh"
    if format == "parquet":
        return "parquet"
    raise HTTPException(404)


def _named(filter: Filter) -> str:
    """The filter and the day, as a file's name."""
    study = "no-study" if filter.study == "" else filter.study or ""
    parts = (filter.objective, filter.tranche, study, *(filter.models or ()), filter.sources, filter.worker_kind)
    return file_name("preferences", *(part or "" for part in parts))


_COLUMNS = (*HELD, Column("n", "Comparisons", "n"), Column("weakest", "Of these weakest", "n"))


def _collected(books: Books, filter: Filter, whose: Callable[[Place], bool]) -> list[Row]:
    """Choices made here that match."""

    def wanted(place: Place) -> bool:
        tranche, kind = books.models.tranche(place.a, place.b), books.workers[place.worker][1]
        known = filter.tranche in (None, tranche) and filter.worker_kind in (None, kind)
        return known and whose(place) and _matches(filter, place, books)

    return [] if filter.sources == "imported" else made_here(books, wanted)


def _matches(filter: Filter, place: Place, books: Books) -> bool:
    written_by = {books.models.labels[place.a], books.models.labels[place.b]}
    return (
        filter.objective in (None, place.objective)
        and filter.study in (None, place.study)
        and (filter.models is None or written_by <= set(filter.models))
    )
