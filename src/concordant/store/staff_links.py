"""Links for staff that work once: an invitation or a new password, and signing in on this machine.

Only hashes are stored. A link is used up in the transaction that does what it is for, so two clicks are one.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.passwords import hash_password, require_good
from concordant.store.people import hash_token
from concordant.store.staff import Member, Staff, member, staff_of
from concordant.store.staff_sessions import Terms, end_sessions, open_session
from concordant.store.staff_tables import StaffLinkRow, StaffRow
from concordant.store.tables import utc_now

HOLDS = timedelta(hours=24)
"""How long a link to sign in holds."""

INVITATION_HOLDS = timedelta(days=7)
"""How long somebody has to choose a password."""

_OVER = "this link has been used or is over"


class Purpose(StrEnum):
    """What a link is for."""

    SIGN_IN = "sign-in"
    PASSWORD = "password"


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A link that can still be used, and whose it is."""

    purpose: Purpose
    member: Member


def make_link(db: Database, by: str, staff_id: str, purpose: Purpose) -> str:
    """A new link's secret, which cannot be shown again; earlier links of the account end.

    Raises:
        UserError: there is no such account, or it is not active.
    """
    token = secrets.token_urlsafe(32)
    now = utc_now()
    holds = HOLDS if purpose is Purpose.SIGN_IN else INVITATION_HOLDS
    with db.write() as session:
        row = session.get(StaffRow, staff_id)
        if row is None or not row.active:
            raise UserError("a link is for an active account; activate it first")
        earlier = StaffLinkRow.staff_id == staff_id, StaffLinkRow.used.is_(None)
        session.execute(update(StaffLinkRow).where(*earlier).values(used=now))
        session.add(
            StaffLinkRow(
                token_hash=hash_token(token), staff_id=staff_id, purpose=purpose.value, created=now, expires=now + holds
            )
        )
        note(session, by, "link made", staff_id, purpose=purpose.value)
    return token


def open_link(db: Database, token: str, now: datetime | None = None) -> OpenLink | None:
    """The link of a secret; None where there is none, or it is used or over."""
    with db.read() as session:
        row = session.get(StaffLinkRow, hash_token(token))
        if row is None or not _holds(session, row, now or utc_now()):
            return None
        purpose, staff_id = Purpose(row.purpose), row.staff_id
    return OpenLink(purpose, member(db, staff_id))


def sign_in_by_link(db: Database, token: str, agent: str, terms: Terms) -> tuple[Staff, str]:
    """Use up a link to sign in; returns who it is, and their session's secret.

    Raises:
        UserError: it is none, or has been used.
    """
    with db.write_alone() as session:
        row = _use(session, token, Purpose.SIGN_IN)
        return staff_of(row), open_session(session, row.id, agent, terms)


def choose_password_by_link(db: Database, token: str, password: str, agent: str, terms: Terms) -> tuple[Staff, str]:
    """Use up a link and set the password of its account, which ends all its sessions; returns as ``sign_in_by_link``.

    Raises:
        UserError: the link is none, or has been used, or the password is not taken.
    """
    found = open_link(db, token)
    if found is None or found.purpose is not Purpose.PASSWORD:
        raise UserError(_OVER)
    require_good(password, found.member.login)
    hashed = hash_password(password)
    with db.write_alone() as session:
        row = _use(session, token, Purpose.PASSWORD)
        row.password_hash = hashed
        end_sessions(session, row.id)
        note(session, row.id, "password chosen", row.id)
        return staff_of(row), open_session(session, row.id, agent, terms)


def _use(session: Session, token: str, purpose: Purpose) -> StaffRow:
    now = utc_now()
    statement = select(StaffLinkRow).where(StaffLinkRow.token_hash == hash_token(token)).with_for_update()
    link = session.scalar(statement)
    if link is None or link.purpose != purpose.value or not _holds(session, link, now):
        raise UserError(_OVER)
    link.used = now
    return session.get_one(StaffRow, link.staff_id)


def _holds(session: Session, link: StaffLinkRow, now: datetime) -> bool:
    return link.used is None and now < link.expires and session.get_one(StaffRow, link.staff_id).active
