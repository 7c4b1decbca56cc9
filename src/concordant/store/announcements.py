"""What staff tell all workers, or some: shown between tasks until a worker puts it aside, or staff end it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.letters import LONGEST_LETTER
from concordant.store.people_tables import (
    AnnouncementEndRow,
    AnnouncementRow,
    AnnouncementSeenRow,
    AnnouncementWorkerRow,
)
from concordant.store.tables import WorkerRow, new_id


@dataclass(frozen=True, slots=True)
class Announcement:
    """One announcement.

    Attributes:
        id: 32 hex digits.
        text: Markdown.
        workers: whom it is for; None: everyone, those who come later included.
        aside: how many have put it aside.
        at: when, UTC.
        ended: when staff ended it; None: it is shown.
    """

    id: str
    text: str
    workers: int | None
    aside: int
    at: datetime
    ended: datetime | None


def announce(db: Database, text: str, workers: Sequence[str] | None, key: str, staff_id: str) -> None:
    """Tell everyone, or these workers; the same key again tells nothing.

    Raises:
        UserError: no text or too long a one, nobody to tell, or there is no such worker.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise UserError("there is nothing in the announcement yet; write a few words, then send it")
    if len(text) > LONGEST_LETTER:
        raise UserError(f"the announcement has {len(text):,} characters; {LONGEST_LETTER:,} fit: shorten it")
    if workers is not None and not workers:
        raise UserError("the announcement is for nobody; choose at least one worker, or everyone")
    with db.write_alone() as session:
        if session.scalar(select(AnnouncementRow.id).where(AnnouncementRow.key == key)) is not None:
            return
        row = AnnouncementRow(id=new_id(), text=text, everyone=workers is None, staff_id=staff_id, key=key)
        session.add(row)
        session.flush()
        for worker_id in dict.fromkeys(workers or ()):
            if session.get(WorkerRow, worker_id) is None:
                raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
            session.add(AnnouncementWorkerRow(announcement_id=row.id, worker_id=worker_id))
        to = "everyone" if workers is None else sorted(set(workers))
        note(session, staff_id, "announced", row.id, to=to)


def end_announcement(db: Database, announcement_id: str, staff_id: str) -> None:
    """Show it to nobody any more. Ending it twice changes nothing.

    Raises:
        UserError: there is no such announcement.
    """
    with db.write_alone() as session:
        if session.get(AnnouncementRow, announcement_id) is None:
            raise UserError(f"there is no announcement {announcement_id!r}; 'concordant message list' shows them")
        if session.get(AnnouncementEndRow, announcement_id) is None:
            session.add(AnnouncementEndRow(announcement_id=announcement_id, staff_id=staff_id))
            note(session, staff_id, "announcement ended", announcement_id)


def put_aside(db: Database, announcement_id: str, worker_id: str) -> None:
    """The worker has read it. What is not for them, or not there, changes nothing."""
    with db.write_alone() as session:
        row = session.get(AnnouncementRow, announcement_id)
        of_theirs = row is not None and (
            row.everyone or session.get(AnnouncementWorkerRow, (announcement_id, worker_id)) is not None
        )
        if of_theirs and session.get(AnnouncementSeenRow, (announcement_id, worker_id)) is None:
            session.add(AnnouncementSeenRow(announcement_id=announcement_id, worker_id=worker_id))


def shown_to(db: Database, worker_id: str) -> list[tuple[str, str]]:
    """(id, text) of what a worker has not put aside, oldest first."""
    theirs = select(AnnouncementWorkerRow.announcement_id).where(AnnouncementWorkerRow.worker_id == worker_id)
    aside = select(AnnouncementSeenRow.announcement_id).where(AnnouncementSeenRow.worker_id == worker_id)
    statement = (
        select(AnnouncementRow.id, AnnouncementRow.text)
        .where(
            or_(AnnouncementRow.everyone, AnnouncementRow.id.in_(theirs)),
            AnnouncementRow.id.not_in(aside),
            AnnouncementRow.id.not_in(select(AnnouncementEndRow.announcement_id)),
        )
        .order_by(AnnouncementRow.created, AnnouncementRow.id)
    )
    with db.read() as session:
        return [(one, text) for one, text in session.execute(statement)]


def announcements(db: Database) -> list[Announcement]:
    """All, the newest first."""
    to = (
        select(func.count())
        .where(AnnouncementWorkerRow.announcement_id == AnnouncementRow.id)
        .correlate(AnnouncementRow)
        .scalar_subquery()
    )
    aside = (
        select(func.count())
        .where(AnnouncementSeenRow.announcement_id == AnnouncementRow.id)
        .correlate(AnnouncementRow)
        .scalar_subquery()
    )
    statement = (
        select(AnnouncementRow, to, aside, AnnouncementEndRow.created)
        .outerjoin(AnnouncementEndRow, AnnouncementEndRow.announcement_id == AnnouncementRow.id)
        .order_by(AnnouncementRow.created.desc(), AnnouncementRow.id)
    )
    with db.read() as session:
        return [
            Announcement(row.id, row.text, None if row.everyone else number, seen, row.created, ended)
            for row, number, seen, ended in session.execute(statement)
        ]
