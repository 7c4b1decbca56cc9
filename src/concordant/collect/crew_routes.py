"""The crew's quality, for researchers: verdicts, drift, agreement; the select list and exclusions (paper §2.1, App. D).

Not for reviewers, whose next verdict should not know of the last ones. Nothing here happens by itself: pages suggest
and flag, people decide and write down why.
"""

from collections.abc import Callable

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.agreement import PAPER_SHARE, agreement
from concordant.collect.fields import Field
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.drift import LEVEL, LOOKS
from concordant.errors import UserError
from concordant.store import standing
from concordant.store.crew import FEWEST_VERDICTS, crew, record
from concordant.store.preferences import excluded_choices
from concordant.store.review_draws import Rule, draw_ended
from concordant.store.reviews import VERDICTS
from concordant.store.second_looks import pairs

router = APIRouter(prefix="/review")

SIGNS = {
    "side": "share of clicks on the left side",
    "strongest": "share of the two strongest buttons",
    "weakest": "share of the two weakest buttons",
    "pace": "seconds to a message, median",
    "length": "characters in a message, median",
    "verdicts": "share of verdicts worse than good",
    "agreed": "share of second opinions that agree",
}


@router.get("/workers")
def workers(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """Everybody, best verdicts first, with whom to put on the select list."""
    draw_ended(room.db, Rule(room.review, room.seed))
    found = crew(room.db)
    return room.page(
        "crew.html",
        here="crew",
        members=found.members,
        suggestions=found.suggestions,
        reviewers=found.reviewers,
        fewest=FEWEST_VERDICTS,
        left_out=excluded_choices(room.db),
        excluded=sum(one.standing.exclusion is not None for one in found.members),
    )


@router.get("/workers/{worker_id}")
def worker(worker_id: str, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """One worker by the week, what has changed, and what was decided."""
    return _worker_page(room, worker_id)


@router.post("/workers/{worker_id}/select")
def select(worker_id: str, room: RoomHere, staff: ResearcherHere, on: Field = "", reason: Field = "") -> Response:
    """Put a worker on the select list, or take them off."""
    change = standing.put_on_select if on else standing.take_off_select
    return _decided(room, worker_id, lambda: change(room.db, staff.id, worker_id, reason))


@router.post("/workers/{worker_id}/exclude")
def exclude(worker_id: str, room: RoomHere, staff: ResearcherHere, since: Field = "", reason: Field = "") -> Response:
    """Leave out what a worker made, all of it or from a day on, and give them no more work."""

    def change() -> None:
        standing.exclude(room.db, staff.id, worker_id, reason, standing.moment(since))

    return _decided(room, worker_id, change)


@router.post("/workers/{worker_id}/admit")
def admit(worker_id: str, room: RoomHere, staff: ResearcherHere, reason: Field = "") -> Response:
    """Admit an excluded worker again."""
    return _decided(room, worker_id, lambda: standing.admit(room.db, staff.id, worker_id, reason))


@router.get("/agreement")
def agreement_page(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """How far second opinions agree with first choices."""
    return room.page("agreement.html", here="crew", found=agreement(pairs(room.db)), paper=PAPER_SHARE)


def _decided(room: Room, worker_id: str, change: Callable[[], None]) -> Response:
    try:
        change()
    except UserError as error:
        text = str(error)
        return _worker_page(room, worker_id, 409, f"{text[:1].upper()}{text[1:]}.")
    return RedirectResponse(f"/review/workers/{worker_id}", 303)


def _worker_page(room: Room, worker_id: str, status: int = 200, problem: str = "") -> HTMLResponse:
    draw_ended(room.db, Rule(room.review, room.seed))
    try:
        found = record(room.db, worker_id)
    except UserError:
        raise HTTPException(404) from None
    return room.page(
        "crew_worker.html",
        status,
        here="crew",
        record=found,
        decisions=standing.decisions(room.db, worker_id),
        signs=SIGNS,
        verdicts=VERDICTS,
        level=LEVEL,
        looks=LOOKS,
        problem=problem,
    )
