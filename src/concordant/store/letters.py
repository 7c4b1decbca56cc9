"""The thread of messages between the staff and each worker (the paper had a chat channel for it, §2.1).

A message ("letter", because ``messages`` are what workers write to models) is read when the other side has opened the
thread after it came; any member of staff stands for the staff. Left out: e-mail, files, threads among workers.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.people import WorkerKind
from concordant.store.people_tables import ErasureRow, LetterRow, LetterSeenRow
from concordant.store.tables import WorkerRow, new_id, utc_now

LONGEST_LETTER = 4000
MOST_AN_HOUR = 20
"""Messages of one worker to the staff."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message. ``staff_id`` None: by the worker. ``seen``: the other side had opened it before."""

    id: str
    staff_id: str | None
    text: str
    seen: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """One worker's thread, as a line of the staff's list. ``unread``: by the staff, ``waiting``: by the worker."""

    worker_id: str
    name: str
    letters: int
    unread: int
    waiting: int
    last: datetime


class TooMany(UserError):
    """The worker has written as often as the staff can read."""


def write_letter(db: Database, worker_id: str, text: str, key: str, staff_id: str | None = None) -> None:
    """Add a message to a thread; the same key again adds nothing.

    Raises:
        UserError: there is no such worker, no text, or too long a one.
        TooMany: a worker wrote ``MOST_AN_HOUR`` messages within the hour.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise UserError("there is nothing in the message yet; write a few words, then send it")
    if len(text) > LONGEST_LETTER:
        raise UserError(f"the message has {len(text):,} characters; {LONGEST_LETTER:,} fit: shorten it")
    with db.write_alone() as session:
        if session.get(WorkerRow, worker_id) is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        if session.get(ErasureRow, worker_id) is not None:
            raise UserError(f"the text of worker {worker_id!r} was erased, so nobody reads a message to them")
        sent = select(LetterRow.id).where(LetterRow.worker_id == worker_id, LetterRow.key == key)
        if session.scalar(sent) is not None:
            return
        if staff_id is None and _in_the_last_hour(session, worker_id) >= MOST_AN_HOUR:
            raise TooMany(f"you have written {MOST_AN_HOUR} messages within an hour; write again a little later")
        row = LetterRow(id=new_id(), worker_id=worker_id, staff_id=staff_id, text=text, key=key)
        session.add(row)
        if staff_id is not None:
            note(session, staff_id, "message sent", worker_id, message=row.id)


def open_thread(db: Database, worker_id: str, by_staff: bool) -> list[Letter]:
    """All messages, oldest first, as they stood before; those of the other side are read from now on."""
    found = thread(db, worker_id)
    new = [one.id for one in found if not one.seen and (one.staff_id is None) == by_staff]
    if new:
        with db.write_alone() as session:
            known = set(session.scalars(select(LetterSeenRow.letter_id).where(LetterSeenRow.letter_id.in_(new))))
            session.add_all(LetterSeenRow(letter_id=one) for one in new if one not in known)
    return found


def thread(db: Database, worker_id: str) -> list[Letter]:
    """All messages, oldest first; nothing is marked."""
    statement = (
        select(LetterRow, LetterSeenRow.created)
        .outerjoin(LetterSeenRow, LetterSeenRow.letter_id == LetterRow.id)
        .where(LetterRow.worker_id == worker_id)
        .order_by(LetterRow.created, LetterRow.id)
    )
    with db.read() as session:
        return [
            Letter(row.id, row.staff_id, row.text, seen is not None, row.created)
            for row, seen in session.execute(statement)
        ]


def unread_by_worker(db: Database, worker_id: str) -> int:
    """How many messages of the staff wait for a worker."""
    statement = (
        select(func.count(LetterRow.id))
        .outerjoin(LetterSeenRow, LetterSeenRow.letter_id == LetterRow.id)
        .where(LetterRow.worker_id == worker_id, LetterRow.staff_id.is_not(None), LetterSeenRow.letter_id.is_(None))
    )
    with db.read() as session:
        return session.execute(statement).scalar_one()


def threads(db: Database) -> list[Thread]:
    """Every thread with a message in it; those with unread ones first, then the newest."""
    is_new = LetterSeenRow.letter_id.is_(None)
    statement = (
        select(
            WorkerRow.id,
            WorkerRow.name,
            func.count(LetterRow.id),
            func.count(LetterRow.id).filter(is_new, LetterRow.staff_id.is_(None)),
            func.count(LetterRow.id).filter(is_new, LetterRow.staff_id.is_not(None)),
            func.max(LetterRow.created),
        )
        .join(LetterRow, LetterRow.worker_id == WorkerRow.id)
        .outerjoin(LetterSeenRow, LetterSeenRow.letter_id == LetterRow.id)
        .group_by(WorkerRow.id, WorkerRow.name)
    )
    with db.read() as session:
        found = [Thread(*row) for row in session.execute(statement)]
    return sorted(found, key=lambda one: (one.unread == 0, -one.last.timestamp(), one.worker_id))


def correspondents(db: Database) -> list[tuple[str, str]]:
    """(id, name) of every person who can be written to, in the order in which they came."""
    statement = (
        select(WorkerRow.id, WorkerRow.name)
        .outerjoin(ErasureRow, ErasureRow.worker_id == WorkerRow.id)
        .where(WorkerRow.kind == WorkerKind.PERSON.value, ErasureRow.worker_id.is_(None))
        .order_by(WorkerRow.created, WorkerRow.id)
    )
    with db.read() as session:
        return [(worker_id, name) for worker_id, name in session.execute(statement)]


def _in_the_last_hour(session: Session, worker_id: str) -> int:
    since = utc_now() - timedelta(hours=1)
    written = (LetterRow.worker_id == worker_id, LetterRow.staff_id.is_(None), LetterRow.created > since)
    return session.execute(select(func.count(LetterRow.id)).where(*written)).scalar_one()
