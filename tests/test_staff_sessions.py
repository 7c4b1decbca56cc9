"""Sessions of staff: how long they hold, and all the ways in which they end."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE
from concordant.store.database import Database
from concordant.store.staff import Role, Staff, add_member, set_active
from concordant.store.staff_sessions import (
    Terms,
    end_other_sessions,
    end_session,
    open_session,
    session_of,
    sessions_of,
)
from concordant.store.staff_tables import StaffSessionRow
from concordant.store.tables import utc_now

TERMS = Terms(timedelta(days=2), timedelta(hours=3))


def someone(db: Database, login: str = "ann") -> Staff:
    return add_member(db, COMMAND_LINE, login.title(), login, Role.REVIEWER).staff


def begin(db: Database, staff: Staff, agent: str = "a browser") -> str:
    with db.write() as session:
        return open_session(session, staff.id, agent, TERMS)


def holds(db: Database, token: str, after: timedelta = timedelta(0)) -> bool:
    return session_of(db, token, TERMS, utc_now() + after) is not None


def test_a_session_is_found_by_its_secret_alone(database: Database) -> None:
    ann, bob = someone(database), someone(database, "bob")
    token, other = begin(database, ann), begin(database, bob)
    found, other_found = session_of(database, token, TERMS), session_of(database, other, TERMS)
    assert found is not None and found[0].id == ann.id
    assert other_found is not None and other_found[0].id == bob.id
    for wrong in ("", token[:-1], token + "x", "\ud800", found[1]):
        assert session_of(database, wrong, TERMS) is None
    with database.read() as session:
        assert token not in str(session.execute(text("SELECT * FROM staff_sessions")).all())


def test_a_session_ends_by_idleness_and_by_age(database: Database) -> None:
    token = begin(database, someone(database))
    assert holds(database, token, timedelta(hours=2, minutes=59))
    assert holds(database, token, timedelta(hours=5)), "it was used at 2:59, which is recorded"
    assert not holds(database, token, timedelta(hours=8, seconds=1)), "three hours after the last use"
    for hours in range(7, 48, 2):
        assert holds(database, token, timedelta(hours=hours))
    assert not holds(database, token, timedelta(hours=48, seconds=1)), "used all the time, it still ends after two days"


def test_the_last_use_is_written_once_a_minute(database: Database) -> None:
    token = begin(database, someone(database))

    def last() -> object:
        with database.read() as session:
            return session.scalar(select(StaffSessionRow.last_used))

    first = last()
    assert holds(database, token, timedelta(seconds=50)) and last() == first
    assert holds(database, token, timedelta(seconds=70)) and last() != first


def test_sessions_are_ended_one_or_all_others_and_only_ones_own(database: Database) -> None:
    ann, bob = someone(database), someone(database, "bob")
    first, second, third = (begin(database, ann, name) for name in ("one", "two", "three"))
    others = begin(database, bob)
    shown = {one.agent: one.id for one in sessions_of(database, ann.id, TERMS)}
    assert shown.keys() == {"one", "two", "three"}
    with pytest.raises(UserError, match="no such session of yours"):
        end_session(database, bob.id, shown["one"])
    end_session(database, ann.id, shown["one"])
    assert [holds(database, token) for token in (first, second, third)] == [False, True, True]
    end_other_sessions(database, ann.id, shown["three"])
    assert [holds(database, token) for token in (second, third, others)] == [False, True, True]
    assert [one.agent for one in sessions_of(database, ann.id, TERMS)] == ["three"]


def test_closing_an_account_ends_its_sessions_for_good(database: Database) -> None:
    ann = someone(database)
    token = begin(database, ann)
    set_active(database, "x", ann.id, False)
    assert not holds(database, token)
    set_active(database, "x", ann.id, True)
    assert not holds(database, token), "opened again, one has to sign in again"


def test_a_long_name_of_a_browser_is_cut(database: Database) -> None:
    ann = someone(database)
    begin(database, ann, "x" * 5000)
    assert len(sessions_of(database, ann.id, TERMS)[0].agent) == 120
