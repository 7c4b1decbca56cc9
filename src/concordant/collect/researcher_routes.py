"""The researcher's pages: what was collected, by whom, from which models; sittings; reports (paper §2.2, §2.3).

Only for those with the researcher's link, because these pages name models. Left out: editing, deployments included:
an iteration deploys what it trained.
"""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from concordant.collect.csv_answer import cell
from concordant.collect.reply_text import to_html
from concordant.collect.room import (
    COOKIE_SECONDS,
    STAFF_COOKIE,
    ResearcherHere,
    Room,
    RoomHere,
    researcher_of,
    reviewer_of,
)
from concordant.errors import UserError
from concordant.store.overview import TurnRecord, recent_talks, talk_record
from concordant.store.people import is_staff_token, participants
from concordant.store.preferences import counts
from concordant.store.registry import active_deployments, snapshots
from concordant.store.reply_queue import queue_length
from concordant.store.sittings import Sitting, sittings
from concordant.store.wellbeing import weeks

router = APIRouter(prefix="/researcher")
MOST_TALKS = 200


@router.get("")
def overview(request: Request, room: RoomHere, key: str = "") -> Response:
    """The first page. With ``?key=…`` from the printed link: remembers the researcher in this browser."""
    if key and is_staff_token(room.db, key):
        answer = RedirectResponse("/researcher", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(STAFF_COOKIE, key, COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure)
        return answer
    researcher_of(reviewer_of(request, room))
    return _page(
        room,
        "overview",
        counts=counts(room.db),
        deployments=active_deployments(room.db),
        talks=recent_talks(room.db, 8),
        queue=queue_length(room.db),
        generator=room.heartbeat.read().value,
        board=_board(room.report),
    )


@router.get("/conversations")
def conversations(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """The newest conversations."""
    return _page(room, "conversations", talks=recent_talks(room.db, MOST_TALKS), most=MOST_TALKS)


@router.get("/conversations/{talk_id}")
def conversation(talk_id: str, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """One conversation, with both replies of each turn, who wrote them and what was chosen."""
    try:
        talk, turns = talk_record(room.db, talk_id)
    except UserError:
        raise HTTPException(404) from None
    return _page(room, "conversation", talk=talk, turns=[_turn(turn) for turn in turns])


@router.get("/sittings")
def all_sittings(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """The newest sittings, and how people felt after red-team work, by the week and only for enough people."""
    now = datetime.now(UTC)
    return _page(
        room,
        "sittings",
        sittings=[_line(name, sitting, now) for name, sitting in sittings(room.db, MOST_TALKS)],
        most=MOST_TALKS,
        weeks=weeks(room.db, room.care.smallest_group, now.date()),
        group=room.care.smallest_group,
    )


@router.get("/sittings.csv")
def sittings_file(room: RoomHere, staff: ResearcherHere) -> Response:
    """Every sitting with what is needed to pay for the whole of it or for a part."""
    now = datetime.now(UTC)
    text, known = io.StringIO(), participants(room.db)
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for name, sitting in sittings(room.db):
        row = {**_line(name, sitting, now), "participant": known.get(sitting.worker_id, "")}
        writer.writerow({column: cell(row[column]) for column in _COLUMNS})
    disposition = {"Content-Disposition": 'attachment; filename="sittings.csv"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=disposition)


@router.get("/models")
def models(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """Every snapshot, and which are deployed."""
    return _page(room, "models", snapshots=snapshots(room.db), deployments=active_deployments(room.db))


@router.get("/report")
def report(room: RoomHere, staff: ResearcherHere) -> Response:
    """The newest report, or how to make one."""
    if _report_file(room, "index.html") is None:
        return _page(room, "no_report")
    return RedirectResponse("/researcher/report/index.html", 303)


@router.get("/report/{path:path}")
def report_file(path: str, room: RoomHere, staff: ResearcherHere) -> Response:
    """A file of the report's folder."""
    file = _report_file(room, path or "index.html")
    if file is None:
        raise HTTPException(404)
    return FileResponse(file)


_COLUMNS = (
    *("sitting", "worker", "panel", "participant", "study", "session", "state", "tasks", "done", "left", "choices"),
    *("red_team", "minutes", "began", "last", "ended", "code"),
)
ABANDONED_HOURS = 2
"""An open sitting with no sign of life for so long is shown as abandoned; coming back, it goes on."""


def _line(name: str, sitting: Sitting, now: datetime) -> dict[str, Any]:
    handoff = sitting.handoff
    state = "open" if sitting.outcome is None else sitting.outcome.value
    if sitting.outcome is None and now - sitting.last > timedelta(hours=ABANDONED_HOURS):
        state = "abandoned"
    return {
        "sitting": sitting.id,
        "worker": name,
        "panel": "" if handoff is None else handoff.panel,
        "study": "" if handoff is None else handoff.study,
        "session": "" if handoff is None else handoff.session,
        "state": state,
        "tasks": sitting.offer.tasks,
        "done": sitting.done,
        "left": sitting.left,
        "choices": sitting.choices,
        "red_team": sitting.red_team,
        "minutes": round((sitting.last - sitting.began).total_seconds() / 60, 1),
        "began": sitting.began.isoformat(timespec="seconds"),
        "last": sitting.last.isoformat(timespec="seconds"),
        "ended": "" if sitting.ended is None else sitting.ended.isoformat(timespec="seconds"),
        "code": sitting.code,
    }


def _page(room: Room, name: str, **values: Any) -> HTMLResponse:
    has_report = _report_file(room, "index.html") is not None
    return room.page(f"{name}.html", here=name, has_report=has_report, **values)


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
    return sorted(board["ratings"], key=lambda rating: -float(rating["elo"]))


def _turn(turn: TurnRecord) -> dict[str, Any]:
    replies = [
        {
            "letter": side.upper(),
            "model": reply.model,
            "status": reply.status,
            "html": Markup(to_html(reply.text)),
            "clicked": turn.clicked == side,
        }
        for side, reply in (("a", turn.a), ("b", turn.b))
    ]
    return {
        "message": turn.message,
        "replies": replies,
        "strength": turn.strength,
        "rewritten": turn.rewritten,
        "changed": turn.choices > 1,
    }
