"""Sessions of staff, kept by the server: a cookie is only a name for a row, so any of them can be ended at any time.

A session ends after a time without use, and after a time in any case. Only hashes of cookies are stored.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from concordant.errors import StoreBusy, UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.people import hash_token
from concordant.store.staff_tables import StaffLinkRow, StaffRow, StaffSessionRow
from concordant.store.tables import utc_now

LONGEST_AGENT = 120
TOUCH = timedelta(minutes=1)
"""How exactly the last use is recorded: not every page writes to the store."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a session holds: in any case, and without being used."""

    longest: timedelta = timedelta(days=30)
    idle: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class StaffSession:
    """A browser in which a member of staff is signed in. ``agent``: what it calls itself."""

    id: str
    agent: str
    created: datetime
    last_used: datetime
    expires: datetime


def open_session(session: Session, staff_id: str, agent: str, terms: Terms) -> str:
    """Begin a session in the caller's transaction; returns the cookie's secret."""
    token = secrets.token_urlsafe(32)
    now = utc_now()
    row = StaffSessionRow(
        token_hash=hash_token(token),
        staff_id=staff_id,
        agent=agent[:LONGEST_AGENT],
        created=now,
        last_used=now,
        expires=now + terms.longest,
    )
    session.add(row)
    note(session, staff_id, "signed in", staff_id, agent=row.agent)
    return token


def session_of(db: Database, token: str, terms: Terms, now: datetime | None = None) -> tuple[StaffRow, str] | None:
    """The account behind a cookie and its session's id; None where there is none, or it has ended. Records the use."""
    if not token:
        return None
    now = now or utc_now()
    with db.read() as session:
        row = session.scalar(select(StaffSessionRow).where(StaffSessionRow.token_hash == hash_token(token)))
        if row is None or not _holds(row, terms, now):
            return None
        staff = session.get_one(StaffRow, row.staff_id)
        if not staff.active:
            return None
    if now - row.last_used > TOUCH:
        _touch(db, row.id, now)
    return staff, row.id


def _touch(db: Database, session_id: str, now: datetime) -> None:
    try:
        with db.write() as session:
            session.execute(update(StaffSessionRow).where(StaffSessionRow.id == session_id).values(last_used=now))
    except StoreBusy:
        return  # another program holds the write lock, which keeps nobody from reading: the next page records it


def sessions_of(db: Database, staff_id: str, terms: Terms) -> list[StaffSession]:
    """The sessions of an account that hold, the last used first."""
    now = utc_now()
    newest = StaffSessionRow.last_used.desc()
    with db.read() as session:
        rows = session.scalars(select(StaffSessionRow).where(StaffSessionRow.staff_id == staff_id).order_by(newest))
        return [
            StaffSession(row.id, row.agent, row.created, row.last_used, row.expires)
            for row in rows
            if _holds(row, terms, now)
        ]


def end_session(db: Database, staff_id: str, session_id: str) -> None:
    """End one session of one's own.

    Raises:
        UserError: there is no such session, or it is somebody else's.
    """
    with db.write() as session:
        row = session.get(StaffSessionRow, session_id)
        if row is None or row.staff_id != staff_id:
            raise UserError("there is no such session of yours; it may have ended already")
        if row.revoked is None:
            row.revoked = utc_now()
            note(session, staff_id, "session ended", staff_id, which=session_id)


def end_other_sessions(db: Database, staff_id: str, keep: str) -> None:
    """End all sessions of one's own but one."""
    with db.write() as session:
        end_sessions(session, staff_id, keep)
        note(session, staff_id, "other sessions ended", staff_id)


def end_sessions(session: Session, staff_id: str, keep: str = "") -> None:
    """End the sessions of an account, and its one-time links, in the caller's transaction; ``keep``: but this one."""
    now = utc_now()
    theirs = StaffSessionRow.staff_id == staff_id, StaffSessionRow.revoked.is_(None), StaffSessionRow.id != keep
    session.execute(update(StaffSessionRow).where(*theirs).values(revoked=now))
    links = StaffLinkRow.staff_id == staff_id, StaffLinkRow.used.is_(None)
    session.execute(update(StaffLinkRow).where(*links).values(used=now))


def _holds(row: StaffSessionRow, terms: Terms, now: datetime) -> bool:
    return row.revoked is None and now < row.expires and now - row.last_used < terms.idle
