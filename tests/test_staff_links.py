"""Links that work once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, acts
from concordant.store.database import Database
from concordant.store.sign_ins import sign_in
from concordant.store.staff import Role, Staff, add_member, set_active
from concordant.store.staff_links import Purpose, choose_password_by_link, make_link, open_link, sign_in_by_link
from concordant.store.staff_sessions import Terms, session_of
from concordant.store.tables import utc_now

pytestmark = pytest.mark.usefixtures("quick_hashes")
TERMS = Terms()
GOOD = "four words in a row"


@pytest.fixture
def ann(database: Database) -> Staff:
    return add_member(database, COMMAND_LINE, "Ann", "ann", Role.REVIEWER).staff


def test_an_invitation_ends_in_a_password_and_a_session(database: Database, ann: Staff) -> None:
    token = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    found = open_link(database, token)
    assert found is not None and found.member.staff == ann, "opening it uses nothing up"
    staff, session = choose_password_by_link(database, token, GOOD, "here", TERMS)
    assert staff == ann and session_of(database, session, TERMS) is not None
    assert open_link(database, token) is None
    assert sign_in(database, "ann", GOOD, "", TERMS) is not None
    noted = {act.act for act in acts(database, 10, ann.id)}
    assert noted >= {"link made", "password chosen", "signed in"}
    with database.read() as session_:
        assert token not in str(session_.execute(text("SELECT * FROM staff_links")).all())


def test_a_bad_password_leaves_the_link(database: Database, ann: Staff) -> None:
    token = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    with pytest.raises(UserError, match="at least 12"):
        choose_password_by_link(database, token, "short", "", TERMS)
    assert open_link(database, token) is not None


def test_links_end_by_time_by_a_newer_one_and_with_the_account(database: Database, ann: Staff) -> None:
    first = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    assert open_link(database, first, utc_now() + timedelta(days=6, hours=23)) is not None
    assert open_link(database, first, utc_now() + timedelta(days=7, seconds=1)) is None
    second = make_link(database, COMMAND_LINE, ann.id, Purpose.SIGN_IN)
    assert open_link(database, first) is None
    assert open_link(database, second, utc_now() + timedelta(hours=24, seconds=1)) is None
    set_active(database, COMMAND_LINE, ann.id, False)
    assert open_link(database, second) is None
    with pytest.raises(UserError, match="active account"):
        make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)


def test_a_link_does_only_what_it_is_for(database: Database, ann: Staff) -> None:
    to_sign_in = make_link(database, COMMAND_LINE, ann.id, Purpose.SIGN_IN)
    with pytest.raises(UserError, match="used or is over"):
        choose_password_by_link(database, to_sign_in, GOOD, "", TERMS)
    sign_in_by_link(database, to_sign_in, "", TERMS)
    to_choose = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    for token in (to_sign_in, to_choose, "none", "\ud800"):
        with pytest.raises(UserError, match="used or is over"):
            sign_in_by_link(database, token, "", TERMS)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_of_many_clicks_at_once_one_counts(database: Database, ann: Staff, purpose: Purpose) -> None:
    token = make_link(database, COMMAND_LINE, ann.id, purpose)
    use: Callable[[], object] = (
        (lambda: sign_in_by_link(database, token, "", TERMS))
        if purpose is Purpose.SIGN_IN
        else (lambda: choose_password_by_link(database, token, GOOD, "", TERMS))
    )

    def worked(_: int) -> bool:
        try:
            use()
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(worked, range(8))) == 1


def test_a_new_password_by_link_ends_every_session(database: Database, ann: Staff) -> None:
    first = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    _, before = choose_password_by_link(database, first, GOOD, "", TERMS)
    second = make_link(database, COMMAND_LINE, ann.id, Purpose.PASSWORD)
    assert session_of(database, before, TERMS) is not None
    choose_password_by_link(database, second, GOOD + "!", "", TERMS)
    assert session_of(database, before, TERMS) is None
    assert sign_in(database, "ann", GOOD, "", TERMS) is None
