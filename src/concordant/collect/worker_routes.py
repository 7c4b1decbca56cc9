"""The worker's routes: a page that shows what the store holds, and the forms on it (paper §2.1, App. D).

Every form answers with a redirect after its transaction is committed, so a reload repeats nothing; and the page is made
from the store alone, so a reload at any moment shows the same.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Form, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from concordant.collect.assignment import draw, wanted_turns
from concordant.collect.between_routes import between
from concordant.collect.care import NextTask, limited, wish
from concordant.collect.day_pages import CHANGED, TOPICS, consent_page, done_page, start_page
from concordant.collect.fields import Field, Said
from concordant.collect.given import Opening, given_opening
from concordant.collect.messages import refusal
from concordant.collect.panel import offer
from concordant.collect.room import COOKIE_SECONDS, WORKER_COOKIE, GuestHere, Room, RoomHere, WorkerHere
from concordant.collect.steps import LONGEST_COMMENT, LONGEST_EDIT, RATINGS, message_problem
from concordant.collect.worker_pages import Draft, Shown, is_veiled, is_withheld, talk_page
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store import edits, talk_views, talks
from concordant.store.consents import has_agreed
from concordant.store.overview import ended_talks
from concordant.store.people import Worker, worker_by_token
from concordant.store.registry import active_deployments
from concordant.store.sittings import Outcome, Sitting, Stint, begin_task, last_sitting, open_sitting, stints
from concordant.store.standing import is_excluded
from concordant.store.talk_views import TalkView
from concordant.store.talks import Answers, Ending

router = APIRouter()


class SayForm(BaseModel):
    """What the form for a message sends; ``turn`` and ``seen`` say what it answers."""

    talk: Said = ""
    turn: Said = ""
    seen: Said = ""
    text: Said = ""
    key: Said = ""


class ChoiceForm(BaseModel):
    """What the form of a choice sends. ``instead``: of which choice.

    ``unveiled``: red-team replies were shown; the comparison's id, where they touch a topic that the worker opted out
    of.
    """

    comparison: Said = ""
    key: Said = ""
    button: Said = ""
    instead: Said = ""
    unveiled: Said = ""


class EditForm(BaseModel):
    """What the form for a rewritten reply sends. ``seen``: which reply that was."""

    comparison: Said = ""
    key: Said = ""
    text: Said = ""
    seen: Said = ""


class EndForm(BaseModel):
    """What the form at the end of a conversation sends; ``leave``: before its end."""

    talk: Said = ""
    rating: Said = ""
    harm: Said = ""
    actionability: Said = ""
    comment: Said = ""
    leave: Said = ""


@router.get("/w/{token}")
def enter(token: str, request: Request, room: RoomHere) -> Response:
    """A worker's own link: remembers them in this browser and goes to their page."""
    if worker_by_token(room.db, token) is None:
        return room.notice(404, room.say("problem.unknown_link_title"), room.say("problem.unknown_link"))
    answer = RedirectResponse("/work", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(WORKER_COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


@router.get("/work")
def work(
    room: RoomHere,
    worker: GuestHere,
    show: Annotated[list[str], Query(default_factory=list)],
    done: str = "",
    again: str = "",
    edit: str = "",
) -> HTMLResponse:
    """The worker's page.

    ``done``: what was just finished, for a word of thanks; ``again``: choose anew; ``edit``: rewrite the reply taken;
    ``show``: what is to be shown although it touches a topic that the worker opted out of.
    """
    talk, agreed = talk_views.current_talk(room.db, worker.id), has_agreed(room.db, worker.id, room.consent)
    if talk is not None and agreed:
        note = {"switched": room.say("leave.switched"), TOPICS: room.say("topics.saved")}.get(done, "")
        return talk_page(room, talk, Shown(again=bool(again), edit=bool(edit), note=note, asked=tuple(show)))
    sitting = last_sitting(room.db, worker.id)
    is_over = sitting is not None and sitting.ended is not None and talk is None
    if not agreed:
        # Who declined may think again on their own link; who came from a panel goes back there.
        if sitting is not None and is_over and (sitting.handoff is not None or _said_no(sitting, again)):
            return done_page(room, worker, sitting)
        return consent_page(room)
    if sitting is not None and is_over and (sitting.handoff is not None or sitting.outcome is not Outcome.DECLINED):
        return done_page(room, worker, sitting)
    now = None if is_over else sitting
    return between(room, worker, now) or start_page(room, worker, now, next_task(room, worker, sitting), done)


@router.post("/work/start")
def start(room: RoomHere, worker: WorkerHere, shown: Field = "") -> Response:
    """Begin the next conversation, if it is for what the page said (``shown``); else ask again."""
    if not may_begin(room, worker) or talk_views.current_talk(room.db, worker.id) is not None:
        return _onwards()
    if not begin(room, worker, Objective.HARMLESS if shown == Objective.HARMLESS else Objective.HELPFUL):
        sitting = last_sitting(room.db, worker.id)
        return start_page(room, worker, sitting, next_task(room, worker, sitting), CHANGED, 409)
    return _onwards()


@router.post("/work/say")
def send(room: RoomHere, worker: WorkerHere, said: Annotated[SayForm, Form()]) -> Response:
    """Send a message: it is saved, and two replies are queued for it."""
    found = own_talk(room, worker, said.talk)
    text = said.text.replace("\r\n", "\n").strip()
    problem = message_problem(room.say, text)
    if problem is not None:
        return talk_page(room, found, Shown(problem, Draft("say", text), 422))
    try:
        rng = random.Random(f"{room.seed}:draw:{said.talk}:{said.turn}")
        drawn = draw(active_deployments(room.db), found.objective, room.config, found.study, rng)
        talks.say(room.db, said.talk, text, said.key[:64] or uuid4().hex, drawn, Answers(said.turn, said.seen))
    except UserError as error:
        shown = Shown(refusal(room.say, error), Draft("say", text), 409)
        return talk_page(room, talk_views.view(room.db, said.talk), shown)
    return _onwards()


@router.post("/work/choose")
def decide(room: RoomHere, worker: WorkerHere, said: Annotated[ChoiceForm, Form()]) -> Response:
    """Choose between the two replies; the conversation goes on with the chosen one.

    Replies that are blurred or kept back must have been shown first: a choice between two that nobody looked at says
    nothing.
    """
    talk = own_talk_of(room, worker, said.comparison)
    again, asked = bool(said.instead), (said.unveiled,) if said.unveiled == said.comparison else ()
    if said.button not in {str(number) for number in range(1, 9)}:
        return talk_page(room, talk, Shown(room.say("talk.no_choice"), status=422, again=again, asked=asked))
    if not asked and is_withheld(room, talk, said.comparison):
        return talk_page(room, talk, Shown(room.say("topics.still_withheld"), status=422, again=again))
    if is_veiled(room, talk) and not said.unveiled:
        return talk_page(room, talk, Shown(room.say("talk.still_veiled"), status=422, again=again))
    try:
        digits = said.instead.isascii() and said.instead.isdecimal() and len(said.instead) < 10
        number = int(said.instead) if digits else 0
        talks.choose(room.db, said.comparison, int(said.button), said.key[:64] or uuid4().hex, number)
    except UserError as error:
        return talk_page(room, talk_views.view(room.db, talk.id), Shown(refusal(room.say, error), status=409))
    return _onwards()


@router.post("/work/edit")
def rewrite(room: RoomHere, worker: WorkerHere, said: Annotated[EditForm, Form()]) -> Response:
    """Rewrite the reply that was taken; the conversation goes on from the new text."""
    talk = own_talk_of(room, worker, said.comparison)
    text = said.text.replace("\r\n", "\n").strip()
    if len(text) > LONGEST_EDIT:
        problem = room.say("edit.long", n=f"{len(text):,}", most=f"{LONGEST_EDIT:,}")
        return talk_page(room, talk, Shown(problem, Draft("edit", text), 422, edit=True))
    try:
        edits.edit(room.db, said.comparison, text, said.key[:64] or uuid4().hex, said.seen)
    except UserError as error:
        now = talk_views.view(room.db, talk.id)
        same = now.undoable is not None and now.undoable.pair.id == said.comparison
        return talk_page(room, now, Shown(refusal(room.say, error), Draft("edit", text), 409, edit=same))
    return _onwards()


@router.post("/work/retry")
def write_again(room: RoomHere, worker: WorkerHere, comparison: Field = "") -> Response:
    """Have a failed reply written again."""
    if not talk_views.is_own(room.db, worker.id, comparison):
        raise HTTPException(404)
    talks.retry(room.db, comparison)
    return _onwards()


@router.post("/work/end")
def end(room: RoomHere, worker: WorkerHere, said: Annotated[EndForm, Form()]) -> Response:
    """End a conversation, or leave it before its end."""
    found = own_talk(room, worker, said.talk)
    comment = said.comment.replace("\r\n", "\n").strip()
    given = {"rating": said.rating, "harm": said.harm, "actionability": said.actionability}
    draft = Draft("end", comment, given)
    if len(comment) > LONGEST_COMMENT:
        problem = room.say("problem.long_comment", n=f"{len(comment):,}", most=f"{LONGEST_COMMENT:,}")
        return talk_page(room, found, Shown(problem, draft, 422))
    if not set(given.values()) <= {"", *(str(number) for number in RATINGS)}:
        return talk_page(room, found, Shown(room.say("end.bad_rating"), draft, 422))
    rating, harm, actionability = (int(one) if one else None for one in given.values())
    if found.objective is Objective.HELPFUL:
        harm = actionability = None
    try:
        talks.end_talk(room.db, said.talk, Ending(rating, comment, harm, actionability))
    except UserError as error:
        return talk_page(room, talk_views.view(room.db, said.talk), Shown(refusal(room.say, error), draft, 409))
    return RedirectResponse(f"/work?done={'left' if said.leave else found.objective}", 303)


def _said_no(sitting: Sitting, again: str) -> bool:
    return sitting.outcome is Outcome.DECLINED and not again


def may_begin(room: Room, worker: Worker) -> bool:
    """Whether there is work for them now: a sitting that is open, or none yet, or one that was their own and declined.

    A sitting that has ended is followed by another only when the worker asks for it, or their panel does; who is
    excluded gets none.
    """
    if is_excluded(room.db, worker.id):
        return False
    sitting = last_sitting(room.db, worker.id)
    if sitting is None or sitting.ended is None:
        return True
    return sitting.outcome is Outcome.DECLINED and sitting.handoff is None


class _NotAsShown(Exception):
    """What would begin is not what the page said."""


def begin(room: Room, worker: Worker, shown: Objective) -> bool:
    """Open the next task, as the policy and the limits have it; False: that is not what the worker was shown."""
    sitting = open_sitting(room.db, worker.id, offer(room.config, room.panel, False))
    rng = _rng(room, worker)
    openings = {objective: given_opening(room, worker, objective) for objective in Objective}
    taken: list[Opening] = []

    def choose(now: Sitting, stints: Sequence[Stint], moment: datetime) -> tuple[Objective, int]:
        wished = wish(room.config, stints, rng)
        objective = limited(wished, room.care, now.everyday, stints, moment).objective
        if objective is not shown:
            raise _NotAsShown
        opening = openings[objective]
        if opening is None:
            return objective, wanted_turns(room.config, objective)
        taken.append(opening)
        return objective, 1  # nobody can answer for the writer a second time

    try:
        talk = begin_task(room.db, sitting.id, choose)
    except _NotAsShown:
        return False
    for opening in taken:
        given = talks.Given(opening.written.id)
        talks.say(room.db, talk, opening.written.prompt, "given", opening.draw, given)
    return True


def next_task(room: Room, worker: Worker, sitting: Sitting | None) -> NextTask:
    """What ``begin`` would open."""
    recent = stints(room.db, worker.id, "" if sitting is None else sitting.id)
    everyday = sitting is not None and sitting.everyday
    return limited(wish(room.config, recent, _rng(room, worker)), room.care, everyday, recent, datetime.now(UTC))


def _rng(room: Room, worker: Worker) -> random.Random:
    return random.Random(f"{room.seed}:start:{worker.id}:{ended_talks(room.db, worker.id)}")


def own_talk(room: Room, worker: Worker, talk_id: str) -> TalkView:
    """The talk, if it is this worker's.

    Raises:
        HTTPException: 404 for none, and the same for another worker's.
    """
    return _own(worker, lambda: talk_views.view(room.db, talk_id))


def own_talk_of(room: Room, worker: Worker, comparison_id: str) -> TalkView:
    """The talk that a comparison belongs to, if it is this worker's; else 404, as ``own_talk``."""
    return _own(worker, lambda: talk_views.view_of(room.db, comparison_id))


def _own(worker: Worker, look: Callable[[], TalkView]) -> TalkView:
    try:
        talk = look()
    except UserError:
        raise HTTPException(404) from None
    if talk.worker_id != worker.id:
        raise HTTPException(404)
    return talk


def _onwards() -> RedirectResponse:
    return RedirectResponse("/work#now", 303)
