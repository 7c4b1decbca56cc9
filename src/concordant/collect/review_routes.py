"""The reviewer's pages: one conversation after the other, what its worker wrote, and a verdict by one key (App. D).

Neither the worker's name nor a model's is on them. Looking takes nothing: a conversation is taken, and the next one
after each verdict, by a form. Left out: what the verdicts add up to (``crew_routes.py``), which would colour them.
"""

from contextlib import suppress
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from concordant.collect.fields import Field
from concordant.collect.reply_text import to_html
from concordant.collect.room import ReviewerHere, Room, RoomHere
from concordant.errors import UserError
from concordant.store.review_draws import Rule
from concordant.store.reviews import (
    LONGEST_NOTE,
    VERDICTS,
    Review,
    held,
    judge,
    last_verdict,
    take,
    take_back,
    waiting,
)
from concordant.store.staff import Role, Staff

router = APIRouter(prefix="/review")

HINTS = {
    1: "asks for something real, varied, and makes use of the replies",
    2: "clear and on purpose",
    3: "thin, general, or more of the same",
    4: "careless, hardly reads the replies",
    5: "nonsense, copied, or not the task",
}
"""What each verdict means; the paper looked for sophistication and variety (App. D)."""


def rule_of(room: Room) -> Rule:
    """How conversations are drawn in this programme."""
    return Rule(room.review, room.seed)


@router.get("")
def review(room: RoomHere, staff: ReviewerHere) -> HTMLResponse:
    """The conversation that the reviewer has, or how many wait."""
    return _page(room, staff)


@router.post("/next")
def take_next(room: RoomHere, staff: ReviewerHere) -> Response:
    """Take a conversation to read."""
    take(room.db, staff.id, rule_of(room))
    return _onwards()


@router.post("")
def give(
    room: RoomHere, staff: ReviewerHere, talk: Field = "", verdict: Field = "", note: Field = "", key: Field = ""
) -> Response:
    """A verdict on it; the next one at once."""
    note = note.replace("\r\n", "\n").strip()
    if verdict not in {str(one) for one in VERDICTS}:
        return _page(room, staff, 422, "Choose one of the five verdicts first.", note)
    try:
        judge(room.db, staff.id, talk, int(verdict), note, key[:64])
    except UserError as error:
        text = str(error)
        return _page(room, staff, 409, f"{text[:1].upper()}{text[1:]}.", note)
    take(room.db, staff.id, rule_of(room))
    return _onwards()


@router.post("/undo")
def undo(room: RoomHere, staff: ReviewerHere, talk: Field = "") -> Response:
    """Take the last verdict back, and look at its conversation again."""
    with suppress(UserError):  # it has been taken back already: the page shows where things stand
        take_back(room.db, staff.id, talk, rule_of(room))
    return _onwards()


def _page(room: Room, staff: Staff, status: int = 200, problem: str = "", note: str = "") -> HTMLResponse:
    found, last = held(room.db, staff.id), last_verdict(room.db, staff.id)
    return room.page(
        "review.html",
        status,
        review=found,
        turns=[] if found is None else _turns(found),
        waiting=waiting(room.db, staff.id, rule_of(room)),
        verdicts=[(number, name, HINTS[number]) for number, name in VERDICTS.items()],
        last=last,
        last_name="" if last is None else VERDICTS[last.verdict],
        longest_note=LONGEST_NOTE,
        key=uuid4().hex,
        problem=problem,
        note=note,
        researcher=staff.role is Role.RESEARCHER,
    )


def _turns(found: Review) -> list[tuple[str, Markup | None]]:
    return [(text, None if reply is None else Markup(to_html(reply))) for text, reply in found.turns]


def _onwards() -> RedirectResponse:
    return RedirectResponse("/review#now", 303)
