"""The researcher's pages: what was collected, by whom, from which models; the newest report (paper §2.2, §2.3).

Only for those with the researcher's link, because these pages name models. Left out: editing, deployments included:
an iteration deploys what it trained.
"""

import json
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from concordant.collect.reply_text import to_html
from concordant.collect.room import COOKIE_SECONDS, STAFF_COOKIE, Room, RoomHere, StaffHere, staff_of
from concordant.errors import UserError
from concordant.store.overview import TurnRecord, recent_talks, talk_record
from concordant.store.people import is_staff_token
from concordant.store.preferences import counts
from concordant.store.registry import active_deployments, snapshots
from concordant.store.reply_queue import queue_length

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
    staff_of(request, room)
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
def conversations(room: RoomHere, staff: StaffHere) -> HTMLResponse:
    """The newest conversations."""
    return _page(room, "conversations", talks=recent_talks(room.db, MOST_TALKS), most=MOST_TALKS)


@router.get("/conversations/{talk_id}")
def conversation(talk_id: str, room: RoomHere, staff: StaffHere) -> HTMLResponse:
    """One conversation, with both replies of each turn, who wrote them and what was chosen."""
    try:
        talk, turns = talk_record(room.db, talk_id)
    except UserError:
        raise HTTPException(404) from None
    return _page(room, "conversation", talk=talk, turns=[_turn(turn) for turn in turns])


@router.get("/models")
def models(room: RoomHere, staff: StaffHere) -> HTMLResponse:
    """Every snapshot, and which are deployed."""
    return _page(room, "models", snapshots=snapshots(room.db), deployments=active_deployments(room.db))


@router.get("/report")
def report(room: RoomHere, staff: StaffHere) -> Response:
    """The newest report, or how to make one."""
    if _report_file(room, "index.html") is None:
        return _page(room, "no_report")
    return RedirectResponse("/researcher/report/index.html", 303)


@router.get("/report/{path:path}")
def report_file(path: str, room: RoomHere, staff: StaffHere) -> Response:
    """A file of the report's folder."""
    file = _report_file(room, path or "index.html")
    if file is None:
        raise HTTPException(404)
    return FileResponse(file)


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
    return {"message": turn.message, "replies": replies, "strength": turn.strength}
