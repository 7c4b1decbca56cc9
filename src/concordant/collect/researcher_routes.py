"""The desk's first page, its models and its report (paper §2.2, §2.3); the other pages have files of their own.

Only for researchers who are signed in, because these pages name models.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from concordant.collect.conversation_routes import columns, row_of
from concordant.collect.held_rows import HELD, imported, made_here
from concordant.collect.ledger_here import LedgerHere
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.sheet import Address, Column, Row, Sheet, desk, desk_page
from concordant.store.imports import imported_files
from concordant.store.ledger import Books, admitted
from concordant.store.overview import recent_talks
from concordant.store.preferences import excluded_choices
from concordant.store.registry import active_deployments, snapshots
from concordant.store.reply_queue import queue_length

router = APIRouter(prefix="/researcher")


@router.get("")
def overview(request: Request, room: RoomHere, staff: ResearcherHere, ledger: LedgerHere) -> Response:
    """The first page."""
    with ledger.open() as every:
        books = admitted(room.db, every)
        rows, today = made_here(books), _today(books)
    rows += imported(imported_files(room.db))
    listed = Address("/researcher/conversations", ())
    newest = [row_of(talk) for talk in recent_talks(room.db, 8)]
    return desk(
        request,
        room,
        "overview",
        [
            Sheet("comparisons", "Comparisons", _COMPARISONS, rows),
            Sheet("ratings", "Ratings", _RATINGS, _board(room.report)),
            Sheet("newest", "Newest conversations", columns(listed), newest, csv=f"{listed.path}.csv"),
        ],
        total=sum(row["n"] for row in rows),
        today=today,
        left_out=excluded_choices(room.db),
        deployments=active_deployments(room.db),
        queue=queue_length(room.db),
        generator=room.heartbeat.read().value,
        has_report=_report_file(room, "index.html") is not None,
    )


@router.get("/models")
def models(request: Request, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """Every snapshot, and which are deployed."""
    known, deployed = snapshots(room.db), active_deployments(room.db)
    return desk_page(request, room, "models", snapshots=known, deployments=deployed)


@router.get("/report")
def report(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """The newest report, or how to make one."""
    if _report_file(room, "index.html") is None:
        return desk_page(request, room, "no_report")
    return RedirectResponse("/researcher/report/index.html", 303)


@router.get("/report/{path:path}")
def report_file(path: str, room: RoomHere, staff: ResearcherHere) -> Response:
    """A file of the report's folder."""
    file = _report_file(room, path or "index.html")
    if file is None:
        raise HTTPException(404)
    return FileResponse(file)


_RATINGS = (
    Column("model", "Model", link=lambda row: f"/researcher/conversations?{urlencode({'model': row['model']})}"),
    Column("elo", "Elo", "n"),
    Column("interval", "95 % interval", "range"),
    Column("low", ""),
    Column("high", ""),
    Column("games", "Games", "n"),
)
_COMPARISONS = (
    *HELD,
    Column("n", "n", "n", link=lambda row: _behind(row)),
    Column("weakest", "Of these weakest", "n"),
)


def _behind(row: Row) -> str:
    """What a number is made of."""
    if not row["kind"]:
        return "/researcher/data"
    return f"/researcher/conversations?{urlencode({'objective': row['objective'], 'kind': row['kind']})}"


def _today(books: Books) -> int:
    """Choices since midnight, UTC."""
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    return sum(count.choices for place, count in books.counts.items() if place.day == day)


def _report_file(room: Room, path: str) -> Path | None:
    """A file inside the report's folder; None where there is none, or where the path leads out of it."""
    if room.report is None:
        return None
    folder = room.report.resolve()
    file = (folder / path).resolve()
    return file if file.is_relative_to(folder) and file.is_file() else None


def _board(report: Path | None) -> list[dict[str, Any]]:
    """Ratings of the newest report (``board`` of its report.json, as of ``evaluate elo --json``), best first."""
    file = None if report is None else report / "report.json"
    if file is None or not file.is_file():
        return []
    board = json.loads(file.read_text())["board"] or {"ratings": []}
    best_first = sorted(board["ratings"], key=lambda rating: -float(rating["elo"]))
    return [_rating(rating["model"], rating["elo"], rating["ci95"], rating["games"]) for rating in best_first]


def _rating(model: str, elo: float, ci95: Sequence[float], games: int) -> dict[str, Any]:
    low, high = ci95
    words = f"set to {elo:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
    return {"model": model, "elo": round(elo), "interval": words, "low": low, "high": high, "games": games}
