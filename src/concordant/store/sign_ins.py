"""Signing in: by login and password, or as somebody whom an identity provider vouches for; and changing a password.

Hashes are computed outside transactions, because each takes a tenth of a second and the store has one writer.
"""

from dataclasses import dataclass

from sqlalchemy import select

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.passwords import check_password, fold_login, hash_password, require_good
from concordant.store.staff import Role, Staff, good_login, good_name, is_last_researcher, require_free, staff_of
from concordant.store.staff_sessions import Terms, end_sessions, open_session
from concordant.store.staff_tables import StaffRow
from concordant.store.tables import new_id

SIGN_ON = "sign-on"
"""What the login of an account without a verified address begins with."""


@dataclass(frozen=True, slots=True)
class Vouched:
    """What an identity provider says of somebody.

    Attributes:
        sign_on: issuer and subject, which stay the same for ever.
        email: their verified address, which becomes their login and finds the account of that login; "": none. Nothing
            else that a provider says may go here: a subject can be any word, the login of somebody else among them.
        name: as they are called there.
        role: what the programme's settings make of them.
    """

    sign_on: str
    email: str
    name: str
    role: Role


def sign_in(db: Database, login: str, password: str, agent: str, terms: Terms) -> tuple[Staff, str] | None:
    """Who signs in, and their session's secret; None, after the same time, for a wrong password or login."""
    with db.read() as session:
        row = session.scalar(select(StaffRow).where(StaffRow.login == fold_login(login)))
        stored = row.password_hash if row is not None and row.active else None
    right, renewed = check_password(password, stored)
    if not right or row is None:
        return None
    with db.write_alone() as session:  # a password that is being changed waits, or we do
        now = session.get_one(StaffRow, row.id)
        if not now.active or now.password_hash != stored:  # changed while the hash was computed
            return None
        if renewed is not None:
            now.password_hash = renewed
        return staff_of(now), open_session(session, now.id, agent, terms)


def sign_on(db: Database, vouched: Vouched, agent: str, terms: Terms) -> tuple[Staff, str]:
    """Sign in somebody whom the identity provider vouches for; makes their account the first time, sets their role.

    An account that is there is joined by a verified address alone, and its password, sessions and links end with that:
    a login is chosen freely, so whoever chose the address of somebody else must not stay in their account. Without a
    verified address the new account's login is drawn: it is nobody's, and takes no place that a person of this machine
    or a verified address could want.

    Raises:
        UserError: their account is closed, or their address is another account's login.
    """
    with db.write_alone() as session:
        row = session.scalar(select(StaffRow).where(StaffRow.sign_on == vouched.sign_on))
        if row is None:
            login = good_login(vouched.email) if vouched.email else f"{SIGN_ON}-{new_id()}"
            row = session.scalar(select(StaffRow).where(StaffRow.login == login)) if vouched.email else None
            if row is not None and row.sign_on is not None:
                raise UserError(f"the login {login!r} is another person's at the identity provider; ask a researcher")
            if row is None:
                row = StaffRow(name=good_name(vouched.name or login), login=login, role=vouched.role.value, active=True)
                session.add(row)
                session.flush()
                note(session, row.id, "member added", row.id, login=login, role=row.role)
            else:
                row.password_hash = None
                end_sessions(session, row.id)
            row.sign_on = vouched.sign_on
            note(session, row.id, "single sign-on joined", row.id)
        if not row.active:
            raise UserError("this account is closed; ask a researcher")
        if row.role != vouched.role.value and not is_last_researcher(session, row):
            note(session, row.id, "role changed", row.id, before=row.role, after=vouched.role.value)
            row.role = vouched.role.value
        return staff_of(row), open_session(session, row.id, agent, terms)


def change_password(db: Database, staff_id: str, old: str, new: str, keep: str) -> None:
    """Change one's own password, which ends one's sessions but ``keep``.

    Raises:
        UserError: the old password is wrong, or the new one is not taken.
    """
    with db.read() as session:
        row = session.get_one(StaffRow, staff_id)
    right, _ = check_password(old, row.password_hash)
    if not right:
        raise UserError("the password that you have now is another one")
    require_good(new, row.login)
    hashed = hash_password(new)
    with db.write_alone() as session:
        now = session.get_one(StaffRow, staff_id)
        if now.password_hash != row.password_hash:
            raise UserError("the password was changed in the meantime")
        now.password_hash = hashed
        end_sessions(session, staff_id, keep)
        note(session, staff_id, "password changed", staff_id)


def claim_account(db: Database, staff_id: str, name: str, login: str, password: str, keep: str = "") -> None:
    """Give an account that was opened by this machine's link its person: a name, a login, a password.

    That ends its sessions but ``keep``, and its links.

    Raises:
        UserError: it has a password, the login is taken, or one of the three is not taken.
    """
    name, login = good_name(name), good_login(login)
    require_good(password, login)
    hashed = hash_password(password)
    with db.write_alone() as session:
        row = session.get_one(StaffRow, staff_id)
        if row.password_hash is not None or row.sign_on is not None:
            raise UserError("this account has a way to sign in already")
        if row.login != login:
            require_free(session, login)
        row.name, row.login, row.password_hash = name, login, hashed
        end_sessions(session, staff_id, keep)
        note(session, staff_id, "account made one's own", staff_id, login=login)
