"""Signing in by password and by an identity provider, and changing a password."""

import pytest
from sqlalchemy import select

from concordant.errors import UserError
from concordant.store import passwords, sign_ins
from concordant.store.audit import COMMAND_LINE, acts
from concordant.store.database import Database
from concordant.store.sign_ins import Vouched, change_password, claim_account, sign_in, sign_on
from concordant.store.staff import Role, Staff, add_member, member, members, set_active
from concordant.store.staff_sessions import Terms, open_session, session_of
from concordant.store.staff_tables import StaffRow

TERMS = Terms()
GOOD, BETTER = "four words in a row", "five words in a row, even"


def person(db: Database, login: str = "ann") -> Staff:
    staff = add_member(db, COMMAND_LINE, login.title(), login, Role.REVIEWER).staff
    claim_account(db, staff.id, login.title(), login, GOOD)
    return staff


@pytest.mark.usefixtures("quick_hashes")
def test_login_and_password_together_are_right(database: Database) -> None:
    ann = person(database)
    add_member(database, COMMAND_LINE, "New", "new", Role.REVIEWER)  # has no password yet
    found = sign_in(database, " ANN ", GOOD, "a browser", TERMS)
    assert found is not None and found[0] == ann and session_of(database, found[1], TERMS) is not None
    for login, password in (("ann", BETTER), ("bob", GOOD), ("", ""), ("new", ""), ("new", GOOD), ("\ud800", GOOD)):
        assert sign_in(database, login, password, "", TERMS) is None
    set_active(database, COMMAND_LINE, ann.id, False)
    assert sign_in(database, "ann", GOOD, "", TERMS) is None


def test_an_old_hash_is_renewed_by_signing_in(database: Database, quick_hashes: None) -> None:
    ann = person(database)

    def stored() -> str | None:
        with database.read() as session:
            return session.scalar(select(StaffRow.password_hash).where(StaffRow.id == ann.id))

    before = stored()
    with pytest.MonkeyPatch.context() as patch:
        from pwdlib import PasswordHash
        from pwdlib.hashers.argon2 import Argon2Hasher

        stronger = Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1)
        patch.setattr(passwords, "_hasher", PasswordHash((stronger,)))
        assert sign_in(database, "ann", BETTER, "", TERMS) is None and stored() == before
        assert sign_in(database, "ann", GOOD, "", TERMS) is not None
        after = stored()
        assert after != before and after is not None and "t=2" in after
        assert sign_in(database, "ann", GOOD, "", TERMS) is not None and stored() == after


@pytest.mark.usefixtures("quick_hashes")
def test_a_password_changed_while_the_old_one_is_checked_wins(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = person(database)

    def slow(password: str, stored: str | None) -> tuple[bool, str | None]:
        with database.write() as session:
            session.get_one(StaffRow, ann.id).password_hash = "another"
        return True, None

    monkeypatch.setattr(sign_ins, "check_password", slow)
    assert sign_in(database, "ann", GOOD, "", TERMS) is None
    with pytest.raises(UserError, match="in the meantime"):
        monkeypatch.setattr(sign_ins, "check_password", lambda *_: (True, None))
        monkeypatch.setattr(sign_ins, "hash_password", lambda _: slow("", None) and _set(database, ann))
        change_password(database, ann.id, GOOD, BETTER, "")


def _set(db: Database, staff: Staff) -> str:
    with db.write() as session:
        session.get_one(StaffRow, staff.id).password_hash = "a third"
    return "mine"


@pytest.mark.usefixtures("quick_hashes")
def test_a_new_password_ends_the_other_sessions(database: Database) -> None:
    ann = person(database)
    first, second = (sign_in(database, "ann", GOOD, "", TERMS) for _ in range(2))
    assert first is not None and second is not None
    here = session_of(database, second[1], TERMS)
    assert here is not None
    for old, new, said in ((BETTER, BETTER, "another one"), (GOOD, "short", "at least 12")):
        with pytest.raises(UserError, match=said):
            change_password(database, ann.id, old, new, here[1])
    assert session_of(database, first[1], TERMS) is not None, "a mistake ends nothing"
    change_password(database, ann.id, GOOD, BETTER, here[1])
    assert session_of(database, first[1], TERMS) is None and session_of(database, second[1], TERMS) is not None
    assert sign_in(database, "ann", GOOD, "", TERMS) is None and sign_in(database, "ann", BETTER, "", TERMS)
    assert acts(database, 10, ann.id)[1].act == "password changed"


@pytest.mark.usefixtures("quick_hashes")
def test_an_account_is_claimed_once(database: Database) -> None:
    person(database, "bob")
    staff = add_member(database, COMMAND_LINE, "Owner", "owner", Role.RESEARCHER).staff
    with pytest.raises(UserError, match="'bob' is taken"):
        claim_account(database, staff.id, "Ann", "BOB", GOOD)
    with pytest.raises(UserError, match="is your login"):
        claim_account(database, staff.id, "Ann", "ann@example.org", "ANN@example.org")
    with database.write() as session:
        here, elsewhere = (open_session(session, staff.id, place, TERMS) for place in ("here", "elsewhere"))
    mine = session_of(database, here, TERMS)
    assert mine is not None
    claim_account(database, staff.id, "Ann", "Ann", GOOD, mine[1])
    assert session_of(database, here, TERMS) is not None
    assert session_of(database, elsewhere, TERMS) is None, "whoever came by the machine's link before"
    found = member(database, staff.id)
    assert (found.staff.name, found.login, found.has_password) == ("Ann", "ann", True)
    with pytest.raises(UserError, match="a way to sign in already"):
        claim_account(database, staff.id, "Eve", "eve", BETTER)


def vouched(subject: str, role: Role = Role.REVIEWER, email: str = "ann@example.org") -> Vouched:
    return Vouched(f"https://id.example#{subject}", email, "Ann", role)


@pytest.mark.usefixtures("quick_hashes")
def test_single_sign_on_makes_an_account_and_keeps_its_role_in_step(database: Database) -> None:
    staff, token = sign_on(database, vouched("1"), "a browser", TERMS)
    assert session_of(database, token, TERMS) is not None and staff.role is Role.REVIEWER
    again, _ = sign_on(database, vouched("1", Role.RESEARCHER, "renamed@example.org"), "", TERMS)
    assert again.id == staff.id and again.role is Role.RESEARCHER, "the subject stays, whatever the address does"
    kept, _ = sign_on(database, vouched("1", Role.REVIEWER), "", TERMS)
    assert kept.role is Role.RESEARCHER, "the last researcher stays one, whatever the provider says"
    (found,) = members(database)
    assert (found.login, found.signs_on, found.has_password) == ("ann@example.org", True, False)
    set_active(database, COMMAND_LINE, sign_on(database, vouched("2", email="b@x.example"), "", TERMS)[0].id, False)
    with pytest.raises(UserError, match="this account is closed"):
        sign_on(database, vouched("2", email="b@x.example"), "", TERMS)


@pytest.mark.usefixtures("quick_hashes")
def test_single_sign_on_joins_the_account_of_the_same_address_once(database: Database) -> None:
    ann = person(database, "ann@example.org")
    before = sign_in(database, "ann@example.org", GOOD, "", TERMS)
    assert before is not None
    assert sign_on(database, vouched("1"), "", TERMS)[0].id == ann.id
    assert session_of(database, before[1], TERMS) is None, "whoever chose this login before is out"
    assert sign_in(database, "ann@example.org", GOOD, "", TERMS) is None
    with pytest.raises(UserError, match="another person's at the identity provider"):
        sign_on(database, vouched("2"), "", TERMS)
    assert len(members(database)) == 1


@pytest.mark.usefixtures("quick_hashes")
@pytest.mark.parametrize("subject", ["owner", "ann@example.org"])
def test_without_a_verified_address_no_account_is_joined(database: Database, subject: str) -> None:
    local = person(database, subject)
    staff, _ = sign_on(database, vouched(subject, Role.RESEARCHER, email=""), "", TERMS)
    assert staff.id != local.id and staff.role is Role.RESEARCHER
    kept = member(database, local.id)
    assert (kept.staff.role, kept.signs_on, kept.login) == (Role.REVIEWER, False, subject)
    again, _ = sign_on(database, vouched(subject, Role.RESEARCHER, email=""), "", TERMS)
    other, _ = sign_on(database, vouched("another", email=""), "", TERMS)
    assert again.id == staff.id and other.id != staff.id, "issuer and subject find it again"
    assert sign_on(database, vouched("third", email="bob@example.org"), "", TERMS)[0].name == "Ann"
    logins = [one.login for one in members(database) if one.login.startswith("sign-on-")]
    assert len(logins) == len(set(logins)) == 2 and not any("@" in login for login in logins)
