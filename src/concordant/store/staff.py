"""Who is on the staff, and what they may do: researchers everything, reviewers the review of what workers wrote.

At any time one active researcher is left who can sign in. Left out: how they sign in (``sign_ins.py``), their sessions
(``staff_sessions.py``) and one-time links (``staff_links.py``).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.passwords import fold_login
from concordant.store.staff_sessions import end_sessions
from concordant.store.staff_tables import StaffRow

LONGEST_NAME = 100
OWNER = "owner"
"""Login of the account that ``serve`` makes where there is no researcher yet."""


class Role(StrEnum):
    """What a member of staff may do. A researcher may also do all that a reviewer may."""

    RESEARCHER = "researcher"
    REVIEWER = "reviewer"


@dataclass(frozen=True, slots=True)
class Staff:
    """A member of staff. ``id`` stands in the audit log and beside verdicts; ``name`` is shown to colleagues."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Member:
    """An account. ``has_password`` and ``signs_on`` (single sign-on) say how they can sign in, if at all."""

    staff: Staff
    login: str
    active: bool
    has_password: bool
    signs_on: bool
    created: datetime


def members(db: Database) -> list[Member]:
    """All accounts, in the order in which they came."""
    with db.read() as session:
        return [_member(row) for row in session.scalars(select(StaffRow).order_by(StaffRow.created, StaffRow.id))]


def staff_names(db: Database) -> dict[str, str]:
    """``staff_id`` of acts, verdicts and payments → who that is, in words."""
    return {one.staff.id: one.staff.name for one in members(db)} | {COMMAND_LINE: "a command"}


def member(db: Database, staff_id: str) -> Member:
    """One account.

    Raises:
        UserError: there is none.
    """
    with db.read() as session:
        return _member(_row(session, staff_id))


def member_by_login(db: Database, login: str) -> Member:
    """The account of a login.

    Raises:
        UserError: there is none.
    """
    with db.read() as session:
        row = session.scalar(select(StaffRow).where(StaffRow.login == fold_login(login)))
        if row is None:
            raise UserError(f"there is no account {login!r}; 'concordant staff list' shows them")
        return _member(row)


def add_member(db: Database, by: str, name: str, login: str, role: Role) -> Member:
    """A new account without a password; ``by`` is who made it, for the audit log.

    Raises:
        UserError: the login is taken, or name or login is none.
    """
    name, login = good_name(name), good_login(login)
    with db.write_alone() as session:
        require_free(session, login)
        row = StaffRow(name=name, login=login, role=role.value)
        session.add(row)
        session.flush()
        note(session, by, "member added", row.id, login=login, role=role.value)
    return _member(row)


def set_role(db: Database, by: str, staff_id: str, role: Role) -> None:
    """Make somebody a researcher or a reviewer; it counts from their next click.

    Raises:
        UserError: there is no such account, or no researcher would be left.
    """
    with db.write_alone() as session:
        row = _row(session, staff_id)
        if row.role == role.value:
            return
        if role is not Role.RESEARCHER:
            _require_another_researcher(session, row)
        note(session, by, "role changed", row.id, before=row.role, after=role.value)
        row.role = role.value


def set_active(db: Database, by: str, staff_id: str, active: bool) -> None:
    """Close an account, which ends its sessions and its links at once, or open it again.

    Raises:
        UserError: there is no such account, or no researcher would be left.
    """
    with db.write_alone() as session:
        row = _row(session, staff_id)
        if row.active == active:
            return
        if not active:
            _require_another_researcher(session, row)
            end_sessions(session, row.id)
        note(session, by, "member reactivated" if active else "member deactivated", row.id)
        row.active = active


def researcher_can_sign_in(db: Database) -> bool:
    """Whether an active researcher has a password or signs on with an identity provider."""
    with db.read() as session:
        return any(_has_means(row) for row in _researchers(session))


def owner(db: Database) -> Member:
    """The researcher's account that a link of this machine opens where none can sign in: made if there is none."""
    with db.write_alone() as session:
        rows = _researchers(session)
        if rows:
            return _member(min(rows, key=lambda row: (row.login != OWNER, row.created, row.id)))
        taken = session.scalar(select(StaffRow).where(StaffRow.login == OWNER)) is not None
        row = StaffRow(name="Owner", login=f"{OWNER} of this machine" if taken else OWNER, role=Role.RESEARCHER.value)
        session.add(row)
        session.flush()
        note(session, row.id, "member added", row.id, login=row.login, role=row.role)
    return _member(row)


def staff_of(row: StaffRow) -> Staff:
    """The member of staff that a row holds."""
    return Staff(row.id, row.name, Role(row.role))


def good_name(text: str) -> str:
    """A name as it is kept.

    Raises:
        UserError: it is empty, too long, or holds characters that cannot be seen.
    """
    name = " ".join(text.split())
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise UserError(f"a name has 1 to {LONGEST_NAME} visible characters")
    return name


def good_login(text: str) -> str:
    """A login as it is kept.

    Raises:
        UserError: it is empty, too long, or holds spaces or characters that cannot be seen.
    """
    login = fold_login(text)
    if not 0 < len(login) <= LONGEST_NAME or not login.isprintable() or " " in login:
        raise UserError(f"a login has 1 to {LONGEST_NAME} visible characters and no spaces; an e-mail address will do")
    return login


def require_free(session: Session, login: str) -> None:
    """Refuse a login that somebody has, active or not."""
    if session.scalar(select(StaffRow.id).where(StaffRow.login == login)) is not None:
        raise UserError(f"the login {login!r} is taken; choose another one")


def is_last_researcher(session: Session, row: StaffRow) -> bool:
    """Whether nobody else could do a researcher's work without a link of this machine."""
    if row.role != Role.RESEARCHER.value or not row.active:
        return False
    others = [other for other in _researchers(session) if other.id != row.id]
    return not any(_has_means(other) or not _has_means(row) for other in others)


def _require_another_researcher(session: Session, row: StaffRow) -> None:
    """Refuse to take away the last researcher, or the last one who can sign in without a link of this machine."""
    if is_last_researcher(session, row):
        raise UserError(f"{row.name} is the last researcher who can sign in; make another researcher first")


def _researchers(session: Session) -> list[StaffRow]:
    active = StaffRow.active.is_(True)
    return list(session.scalars(select(StaffRow).where(active, StaffRow.role == Role.RESEARCHER.value)))


def _has_means(row: StaffRow) -> bool:
    return row.password_hash is not None or row.sign_on is not None


def _row(session: Session, staff_id: str) -> StaffRow:
    row = session.get(StaffRow, staff_id)
    if row is None:
        raise UserError(f"there is no member of staff {staff_id!r}")
    return row


def _member(row: StaffRow) -> Member:
    means = row.password_hash is not None, row.sign_on is not None
    return Member(staff_of(row), row.login, row.active, *means, row.created)
