"""Accounts of staff: who may be added, and that one researcher always stays."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, acts
from concordant.store.database import Database
from concordant.store.sign_ins import Vouched, claim_account, sign_on
from concordant.store.staff import (
    Member,
    Role,
    add_member,
    member,
    member_by_login,
    members,
    owner,
    researcher_can_sign_in,
    set_active,
    set_role,
)
from concordant.store.staff_sessions import Terms

pytestmark = pytest.mark.usefixtures("quick_hashes")


def researcher(db: Database, login: str, password: bool = True) -> Member:
    found = add_member(db, COMMAND_LINE, login.title(), login, Role.RESEARCHER)
    if password:
        claim_account(db, found.staff.id, login.title(), login, "four words in a row")
    return member(db, found.staff.id)


def test_logins_are_one_whatever_their_case(database: Database) -> None:
    ann = add_member(database, COMMAND_LINE, " Ann  Lee ", "Ann@Example.ORG", Role.REVIEWER)
    assert (ann.staff.name, ann.login, ann.has_password, ann.active) == ("Ann Lee", "ann@example.org", False, True)
    assert member_by_login(database, "ANN@example.org") == ann
    with pytest.raises(UserError, match=r"'ann@example\.org' is taken"):
        add_member(database, COMMAND_LINE, "Other", "ann@EXAMPLE.org", Role.REVIEWER)
    assert members(database) == [ann]


@pytest.mark.parametrize(
    ("name", "login"),
    [("", "ann"), ("Ann", ""), ("Ann", "a b"), ("Ann\u202e", "ann"), ("A" * 101, "ann"), ("A", "\x00")],
)
def test_names_and_logins_that_cannot_be_read_are_not_taken(database: Database, name: str, login: str) -> None:
    with pytest.raises(UserError, match="visible characters"):
        add_member(database, COMMAND_LINE, name, login, Role.REVIEWER)


def test_every_change_is_noted_with_who_did_it(database: Database) -> None:
    ann, bob = researcher(database, "ann"), add_member(database, "someone", "Bob", "bob", Role.REVIEWER)
    set_role(database, ann.staff.id, bob.staff.id, Role.RESEARCHER)
    set_role(database, ann.staff.id, bob.staff.id, Role.RESEARCHER)  # nothing changes, so nothing is noted
    set_active(database, ann.staff.id, bob.staff.id, False)
    set_active(database, ann.staff.id, bob.staff.id, True)
    found = [(act.staff_id, act.act) for act in reversed(acts(database, 10, bob.staff.id))]
    assert found == [
        ("someone", "member added"),
        (ann.staff.id, "role changed"),
        (ann.staff.id, "member deactivated"),
        (ann.staff.id, "member reactivated"),
    ]


def test_the_last_researcher_who_can_sign_in_stays(database: Database) -> None:
    ann = researcher(database, "ann")
    invited = researcher(database, "invited", password=False)
    with pytest.raises(UserError, match="Ann is the last researcher who can sign in"):
        set_active(database, "x", ann.staff.id, False)
    with pytest.raises(UserError, match="Ann is the last researcher who can sign in"):
        _demote(database, ann)
    set_active(database, "x", invited.staff.id, False)  # who never chose a password is no loss
    bob = researcher(database, "bob")
    _demote(database, ann)
    assert member(database, ann.staff.id).staff.role is Role.REVIEWER
    with pytest.raises(UserError, match="Bob is the last"):
        set_active(database, "x", bob.staff.id, False)


def _demote(db: Database, of: Member) -> None:
    set_role(db, "x", of.staff.id, Role.REVIEWER)


def test_two_researchers_cannot_both_go_at_once(database: Database) -> None:
    both = [researcher(database, login) for login in ("ann", "bob")]

    def close(of: Member) -> bool:
        try:
            set_active(database, "x", of.staff.id, False)
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(close, both)) == [False, True]
    assert researcher_can_sign_in(database)


def test_the_owner_is_made_once_and_is_a_researcher_without_a_password(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: owner(database), range(4)))
    assert found == [found[0]] * 4 and members(database) == [found[0]]
    assert found[0].staff.role is Role.RESEARCHER and not found[0].has_password
    assert not researcher_can_sign_in(database)


def test_a_reviewer_who_took_the_owners_login_does_not_become_one(database: Database) -> None:
    add_member(database, COMMAND_LINE, "Owner", "owner", Role.REVIEWER)
    found = owner(database)
    assert found.login != "owner" and found.staff.role is Role.RESEARCHER


def test_who_can_sign_in_counts_passwords_and_single_sign_on_of_active_researchers(database: Database) -> None:
    researcher(database, "invited", password=False)
    add_member(database, COMMAND_LINE, "Rev", "rev", Role.REVIEWER)
    claim_account(database, member_by_login(database, "rev").staff.id, "Rev", "rev", "four words in a row")
    assert not researcher_can_sign_in(database)
    sign_on(database, Vouched("https://id.example#1", "a@b.example", "Ann", Role.RESEARCHER), "", Terms())
    assert researcher_can_sign_in(database)


def test_what_is_not_there_is_one_line(database: Database) -> None:
    for call in (
        lambda: member(database, "none"),
        lambda: member_by_login(database, "none"),
        lambda: set_role(database, "x", "none", Role.REVIEWER),
        lambda: set_active(database, "x", "none", False),
    ):
        with pytest.raises(UserError, match="'none'"):
            call()
