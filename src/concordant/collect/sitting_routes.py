"""Sittings and what they are paid by, with a file of all; how people felt after red-team work, by the group."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.sheet import Column, Row, Sheet, csv_file, desk
from concordant.store.activity import sitting_seconds
from concordant.store.pay_rules import Terms
from concordant.store.people import participants
from concordant.store.sittings import Sitting, each_sitting, sittings
from concordant.store.wellbeing import weeks

router = APIRouter(prefix="/researcher")
MOST = 200
"""Sittings on the page, and of the file, which has all, at once."""


@router.get("/sittings")
def all_sittings(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """The newest sittings, and how people felt after red-team work, by the week and only for enough people."""
    now = datetime.now(UTC)
    rows = list(_lines(room, sittings(room.db, MOST), now))
    return desk(
        request,
        room,
        "sittings",
        [Sheet("newest", "The newest sittings", _SHOWN, rows, csv="/researcher/sittings.csv")],
        most=MOST,
        weeks=weeks(room.db, room.care.smallest_group, now.date()),
        group=room.care.smallest_group,
    )


@router.get("/sittings.csv")
def sittings_file(room: RoomHere, staff: ResearcherHere) -> Response:
    """Every sitting with what is needed to pay for the whole of it or for a part."""
    now, known = datetime.now(UTC), participants(room.db)
    rows: Iterator[Row] = (
        {**row, "participant": known.get(str(row["worker_id"]), "")} for row in _lines(room, each_sitting(room.db), now)
    )
    return csv_file("sittings", _COLUMNS, rows)


def _lines(room: Room, found: Iterable[tuple[str, Sitting]], now: datetime) -> Iterator[dict[str, Any]]:
    """A row for each sitting; their active time is asked for many at once."""
    waiting, idle = iter(found), Terms.of(room.pay).idle_seconds
    while some := list(islice(waiting, MOST)):
        seconds = sitting_seconds(room.db, idle, [sitting.id for _, sitting in some])
        yield from (line(name, sitting, seconds.get(sitting.id, 0), now) for name, sitting in some)


_COLUMNS = (
    *("sitting", "worker", "panel", "participant", "study", "session", "state", "tasks", "done", "left", "choices"),
    *("red_team", "minutes", "began", "last", "ended", "code"),
)
_SHOWN = (
    Column("began", "Began (UTC)", "when"),
    Column("worker", "Worker"),
    Column("panel", "From"),
    Column("state", "State"),
    Column("done", "Done", "n"),
    Column("tasks", "Of", "n"),
    Column("left", "Left", "n"),
    Column("choices", "Choices", "n"),
    Column("red_team", "Red team", "n"),
    Column("minutes", "Active minutes", "n"),
)
ABANDONED_HOURS = 2
"""An open sitting with no sign of life for so long is shown as abandoned; coming back, it goes on."""


def line(name: str, sitting: Sitting, seconds: int, now: datetime) -> dict[str, Any]:
    """A sitting as it stands ``now``, as a row of the file; ``seconds``: its active time, which pay goes by."""
    handoff = sitting.handoff
    state = "open" if sitting.outcome is None else sitting.outcome.value
    if sitting.outcome is None and now - sitting.last > timedelta(hours=ABANDONED_HOURS):
        state = "abandoned"
    return {
        "sitting": sitting.id,
        "worker_id": sitting.worker_id,
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
        "minutes": round(seconds / 60, 1),
        "began": sitting.began,
        "last": sitting.last,
        "ended": sitting.ended,
        "code": sitting.code,
    }
