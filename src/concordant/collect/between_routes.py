"""What may stand between two conversations of a worker: second opinions, or that there is no more work (§2.1, App. D).

After each whole conversation a worker is asked about up to ``review.opinions_at_once`` comparisons of others, where any
wait. Red-team ones go only to those who do such work in this session and did not ask for everyday work.
"""

from datetime import UTC, datetime
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from concordant.collect.avoided import avoided_in, topic_list
from concordant.collect.care import limited
from concordant.collect.fields import Field
from concordant.collect.reply_text import to_html
from concordant.collect.room import Room, RoomHere, WorkerHere
from concordant.collect.steps import FOLDED, button_words
from concordant.collect.worker_pages import support
from concordant.comparison import Objective
from concordant.conversation import Speaker
from concordant.errors import UserError
from concordant.store.people import Worker, WorkerKind
from concordant.store.review_draws import Rule
from concordant.store.second_looks import Look, Looker, any_look, give_opinion, has_said, held_look, take_look
from concordant.store.sittings import Sitting, last_sitting, stints
from concordant.store.standing import is_excluded

router = APIRouter()


def between(room: Room, worker: Worker, sitting: Sitting | None) -> HTMLResponse | None:
    """The page that comes before the next conversation, or None: begin it."""
    if is_excluded(room.db, worker.id):
        return room.page("no_work.html", open=sitting is not None and sitting.ended is None)
    due = _due(room, worker, sitting)
    if due is None:
        return None
    looker, left = due
    look = held_look(room.db, looker)
    if look is not None:
        return _look_page(room, look, due)
    if not any_look(room.db, looker, _rule(room)):
        return None
    return room.page("looks.html", most=left, support=support(room) if looker.red_team else [])


@router.post("/work/look/next")
def begin_looks(room: RoomHere, worker: WorkerHere) -> Response:
    """Begin with the comparisons of others."""
    _take(room, worker)
    return _onwards()


@router.post("/work/look")
def say_which(
    room: RoomHere,
    worker: WorkerHere,
    comparison: Field = "",
    button: Field = "",
    unsure: Field = "",
    unveiled: Field = "",
) -> Response:
    """Which reply is better, or that one cannot say; the next comparison at once.

    As in a conversation, blurred replies must have been shown before anybody says which is worse.
    """
    due = _due(room, worker, last_sitting(room.db, worker.id))
    if due is None:
        if not comparison or has_said(room.db, worker.id, comparison):
            return _onwards()
        return room.notice(
            409, room.say("look.closed_title"), room.say("look.closed"), ("/work", room.say("page.go_on"))
        )
    looker, _ = due
    known = button in {str(number) for number in range(1, 9)}
    look = held_look(room.db, looker)
    if look is not None and not unsure:
        unseen = _is_veiled(room, look) and look.comparison_id == comparison and not unveiled
        if not known or unseen:
            problem = room.say("talk.still_veiled" if known else "talk.no_choice")
            return _look_page(room, look, due, 422, problem)
    if not known and not unsure:
        return _onwards()
    try:
        give_opinion(room.db, looker, comparison, None if unsure else int(button))
    except UserError:
        look = held_look(room.db, looker)
        if look is not None:
            return _look_page(room, look, due, 409, room.say("look.gone"))
    _take(room, worker)
    return _onwards()


def _take(room: Room, worker: Worker) -> None:
    due = _due(room, worker, last_sitting(room.db, worker.id))
    if due is not None:
        take_look(room.db, due[0], _rule(room))


def _due(room: Room, worker: Worker, sitting: Sitting | None) -> tuple[Looker, int] | None:
    """(who is asked, about how many more), or None: nothing is due."""
    if not room.review.second_opinions or worker.kind is not WorkerKind.PERSON or is_excluded(room.db, worker.id):
        return None
    if sitting is None or sitting.ended is not None or not sitting.done:
        return None
    left = room.review.opinions_at_once * sitting.done - sitting.looks
    if left <= 0:
        return None
    red_team = bool(sitting.red_team) and _may_see_harm(room, worker, sitting)
    avoided = avoided_in(room, worker.id, Objective.HARMLESS if red_team else Objective.HELPFUL)
    return Looker(worker.id, red_team, sitting.id, avoided), min(left, room.review.opinions_at_once)


def _may_see_harm(room: Room, worker: Worker, sitting: Sitting) -> bool:
    """Whether a red-team task could come next: what is too much to write is too much to look at."""
    recent = stints(room.db, worker.id, sitting.id)
    task = limited(Objective.HARMLESS, room.care, sitting.everyday, recent, datetime.now(UTC))
    return task.objective is Objective.HARMLESS


def _rule(room: Room) -> Rule:
    return Rule(room.review, room.seed)


def _is_veiled(room: Room, look: Look) -> bool:
    return look.objective is Objective.HARMLESS and room.care.blur


def _look_page(room: Room, look: Look, due: tuple[Looker, int], status: int = 200, problem: str = "") -> HTMLResponse:
    harmless = look.objective is Objective.HARMLESS
    pair = {
        "id": look.comparison_id,
        "a_text": look.a,
        "b_text": look.b,
        "a_html": Markup(to_html(look.a)),
        "b_html": Markup(to_html(look.b)),
        "long": max(len(look.a), len(look.b)) > FOLDED,
    }
    return room.page(
        "look.html",
        status,
        work=look.objective.value,
        turns=[
            (turn.speaker.value, Markup(to_html(turn.text)) if turn.speaker is Speaker.ASSISTANT else turn.text)
            for turn in look.prompt.turns
        ],
        pair=pair,
        left=due[1],
        buttons=button_words(room.say, look.objective),
        veiled=_is_veiled(room, look),
        topics=topic_list(room, due[0].worker_id) if harmless else [],
        support=support(room) if harmless else [],
        key=uuid4().hex,
        problem=problem,
    )


def _onwards() -> RedirectResponse:
    return RedirectResponse("/work#now", 303)
