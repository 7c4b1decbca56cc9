"""The worker's routes: a page that shows what the store holds, and the forms on it (paper §2.1, App. D).

Every form answers with a redirect after its transaction is committed, so a reload repeats nothing; and the page is made
from the store alone, so a reload at any moment shows the same.
"""

import random
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.collect.assignment import draw, draw_objective, wanted_turns
from concordant.collect.room import COOKIE_SECONDS, WORKER_COOKIE, Room, RoomHere, WorkerHere
from concordant.collect.steps import LONGEST_COMMENT, RATING_WORDS, choices_made, message_problem
from concordant.collect.worker_pages import start_page, talk_page
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store import talks
from concordant.store.overview import ended_talks
from concordant.store.people import Worker, worker_by_token
from concordant.store.registry import active_deployments
from concordant.store.talks import TalkView

router = APIRouter()
Field = Annotated[str, Form()]


@router.get("/w/{token}")
def enter(token: str, request: Request, room: RoomHere) -> Response:
    """A worker's own link: remembers them in this browser and goes to their page."""
    if worker_by_token(room.db, token) is None:
        return room.notice(404, "This link is not known", "Copy the whole link, or ask the person who sent it to you.")
    answer = RedirectResponse("/work", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(WORKER_COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer


@router.get("/work")
def work(room: RoomHere, worker: WorkerHere, done: str = "") -> HTMLResponse:
    """The worker's page. ``done``: what was just finished, for a word of thanks."""
    talk = talks.current_talk(room.db, worker.id)
    return start_page(room, worker, done) if talk is None else talk_page(room, worker, talk)


@router.post("/work/start")
def start(room: RoomHere, worker: WorkerHere, everyday: Field = "") -> Response:
    """Begin a conversation. ``everyday``: no red-team work, please."""
    if talks.current_talk(room.db, worker.id) is None:
        rng = random.Random(f"{room.seed}:start:{worker.id}:{ended_talks(room.db, worker.id)}")
        objective = Objective.HELPFUL if everyday else draw_objective(room.config, rng)
        talks.open_talk(room.db, worker.id, objective, wanted_turns(room.config, objective), "")
    return _onwards()


@router.post("/work/say")
def send(
    room: RoomHere, worker: WorkerHere, text: Field = "", key: Field = "", talk: Field = "", turn: Field = ""
) -> Response:
    """Send a message: it is saved, and two replies are queued for it."""
    found = own_talk(room, worker, talk)
    text = text.replace("\r\n", "\n").strip()
    problem = message_problem(text)
    if problem is not None:
        return talk_page(room, worker, found, 422, problem, text)
    if found.pending is None and turn != str(choices_made(found) + 1):
        return talk_page(room, worker, found, 409, "This conversation has gone on in another window.", text)
    try:
        rng = random.Random(f"{room.seed}:draw:{talk}:{turn}")
        drawn = draw(active_deployments(room.db), found.objective, room.config, found.study, rng)
        talks.say(room.db, talk, text, key[:64] or uuid4().hex, drawn)
    except UserError as error:
        return talk_page(room, worker, talks.view(room.db, talk), 409, _sentence(error), text)
    return _onwards()


@router.post("/work/choose")
def decide(room: RoomHere, worker: WorkerHere, comparison: Field = "", key: Field = "", button: Field = "") -> Response:
    """Choose between the two replies; the conversation goes on with the chosen one."""
    talk = own_talk_of(room, worker, comparison)
    if button not in {str(number) for number in range(1, 9)}:
        problem = "Nothing is chosen yet. Take one of the eight letters, then confirm."
        return talk_page(room, worker, talk, 422, problem)
    try:
        talks.choose(room.db, comparison, int(button), key[:64] or uuid4().hex)
    except UserError as error:
        return talk_page(room, worker, talks.view(room.db, talk.id), 409, _sentence(error))
    return _onwards()


@router.post("/work/retry")
def write_again(room: RoomHere, worker: WorkerHere, comparison: Field = "") -> Response:
    """Have a failed reply written again."""
    own_talk_of(room, worker, comparison)
    talks.retry(room.db, comparison)
    return _onwards()


@router.post("/work/end")
def end(
    room: RoomHere, worker: WorkerHere, talk: Field = "", rating: Field = "", comment: Field = "", leave: Field = ""
) -> Response:
    """End a conversation, or leave it before its end."""
    found = own_talk(room, worker, talk)
    if len(comment) > LONGEST_COMMENT:
        problem = f"Your comment has {len(comment):,} characters; {LONGEST_COMMENT:,} fit. Please shorten it."
        return talk_page(room, worker, found, 422, problem)
    if rating not in {"", *(str(number) for number in range(1, len(RATING_WORDS) + 1))}:
        return talk_page(room, worker, found, 422, "Take one of the ratings, or none.")
    talks.end_talk(room.db, talk, int(rating) if rating else None, comment.replace("\r\n", "\n").strip())
    return RedirectResponse(f"/work?done={'left' if leave else found.objective}", 303)


def own_talk(room: Room, worker: Worker, talk_id: str) -> TalkView:
    """The talk, if it is this worker's.

    Raises:
        HTTPException: 404 for none, and the same for another worker's.
    """
    try:
        talk = talks.view(room.db, talk_id)
    except UserError:
        raise HTTPException(404) from None
    if talk.worker_id != worker.id:
        raise HTTPException(404)
    return talk


def own_talk_of(room: Room, worker: Worker, comparison_id: str) -> TalkView:
    """The talk that a comparison belongs to, if it is this worker's; else 404, as ``own_talk``."""
    try:
        talk_id = talks.talk_of(room.db, comparison_id)
    except UserError:
        raise HTTPException(404) from None
    return own_talk(room, worker, talk_id)


def _onwards() -> RedirectResponse:
    return RedirectResponse("/work#now", 303)


def _sentence(error: UserError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
