"""Messages between staff and workers, and announcements: pages of the staff and of the worker (paper §2.1).

A worker sees of the staff only that they are the staff. What staff write is Markdown, made safe as replies are; what a
worker writes is shown as it is. Nothing is sent anywhere: who is not here reads it when they come.
"""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup

from concordant.collect.fields import Field
from concordant.collect.reply_text import to_html
from concordant.collect.room import GuestHere, ResearcherHere, Room, RoomHere
from concordant.errors import UserError
from concordant.store.announcements import announce, announcements, end_announcement, put_aside
from concordant.store.letters import (
    LONGEST_LETTER,
    MOST_AN_HOUR,
    Letter,
    TooMany,
    correspondents,
    open_thread,
    threads,
    write_letter,
)
from concordant.store.people import Worker

router = APIRouter()


@router.get("/work/messages")
def my_messages(room: RoomHere, worker: GuestHere) -> HTMLResponse:
    """A worker's thread. Opening it marks what the staff wrote as read."""
    return _my_page(room, worker)


@router.post("/work/messages")
def write_to_staff(room: RoomHere, worker: GuestHere, text: Field = "", key: Field = "") -> Response:
    """Send a message to the staff."""
    text, say = text.replace("\r\n", "\n").strip(), room.say
    if not text:
        return _my_page(room, worker, 422, say("letters.nothing"))
    if len(text) > LONGEST_LETTER:
        most, n = f"{LONGEST_LETTER:,}", f"{len(text):,}"
        return _my_page(room, worker, 422, say("letters.long", n=n, most=most), text)
    try:
        write_letter(room.db, worker.id, text, key[:64] or uuid4().hex)
    except TooMany:
        return _my_page(room, worker, 429, say("letters.often", most=MOST_AN_HOUR), text)
    return RedirectResponse("/work/messages#last", 303)


@router.post("/work/aside")
def aside(room: RoomHere, worker: GuestHere, announcement: Field = "") -> Response:
    """Put an announcement aside."""
    put_aside(room.db, announcement, worker.id)
    return RedirectResponse("/work", 303)


@router.get("/researcher/messages")
def all_messages(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """Every thread, unread ones first, and the announcements."""
    return _staff_page(room)


@router.get("/researcher/messages/{worker_id}")
def one_thread(worker_id: str, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """One thread. Opening it marks what the worker wrote as read, for all staff."""
    return _thread_page(room, worker_id)


@router.post("/researcher/messages/{worker_id}")
def write_to_worker(
    worker_id: str, room: RoomHere, staff: ResearcherHere, text: Field = "", key: Field = ""
) -> Response:
    """Send a message to a worker."""
    try:
        write_letter(room.db, worker_id, text, key[:64] or uuid4().hex, staff.id)
    except UserError as error:
        return _thread_page(room, worker_id, _sentence(error), text)
    return RedirectResponse(f"/researcher/messages/{worker_id}#last", 303)


@router.post("/researcher/announcements")
def tell(
    room: RoomHere,
    staff: ResearcherHere,
    worker: Annotated[list[str], Form(default_factory=list)],
    text: Field = "",
    to: Field = "",
    key: Field = "",
) -> Response:
    """Announce something, to everyone or to the ticked workers."""
    try:
        announce(room.db, text, worker if to == "some" else None, key[:64] or uuid4().hex, staff.id)
    except UserError as error:
        return _staff_page(room, _sentence(error), text)
    return RedirectResponse("/researcher/messages#announcements", 303)


@router.post("/researcher/announcements/{announcement_id}/end")
def end(announcement_id: str, room: RoomHere, staff: ResearcherHere) -> Response:
    """Show an announcement to nobody any more."""
    try:
        end_announcement(room.db, announcement_id, staff.id)
    except UserError:
        raise HTTPException(404) from None
    return RedirectResponse("/researcher/messages#announcements", 303)


def _my_page(room: Room, worker: Worker, status: int = 200, problem: str = "", draft: str = "") -> HTMLResponse:
    return room.page(
        "my_messages.html",
        status,
        letters=[_shown(letter, by_staff=False) for letter in open_thread(room.db, worker.id, by_staff=False)],
        key=uuid4().hex,
        problem=problem,
        draft=draft,
        longest=LONGEST_LETTER,
    )


def _staff_page(room: Room, problem: str = "", draft: str = "") -> HTMLResponse:
    return room.page(
        "letters.html",
        422 if problem else 200,
        here="messages",
        threads=threads(room.db),
        announcements=[(one, Markup(to_html(one.text))) for one in announcements(room.db)],
        people=correspondents(room.db),
        key=uuid4().hex,
        problem=problem,
        draft=draft,
        longest=LONGEST_LETTER,
    )


def _thread_page(room: Room, worker_id: str, problem: str = "", draft: str = "") -> HTMLResponse:
    name = dict(correspondents(room.db)).get(worker_id)
    letters = [_shown(letter, by_staff=True) for letter in open_thread(room.db, worker_id, by_staff=True)]
    if name is None and not letters:
        raise HTTPException(404)
    return room.page(
        "thread.html",
        422 if problem else 200,
        here="messages",
        worker_id=worker_id,
        name=name,
        letters=letters,
        key=uuid4().hex,
        problem=problem,
        draft=draft,
        longest=LONGEST_LETTER,
    )


def _shown(letter: Letter, by_staff: bool) -> dict[str, object]:
    """A message for one of the sides: theirs, when, new or not, and its text."""
    of_staff = letter.staff_id is not None
    return {
        "mine": of_staff == by_staff,
        "of_staff": of_staff,
        "by": letter.staff_id or "",
        "new": of_staff != by_staff and not letter.seen,
        "seen": letter.seen,
        "at": letter.at,
        "text": Markup(to_html(letter.text)) if of_staff else letter.text,
    }


def _sentence(error: UserError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
