from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.quality_tables import ReviewClaimRow, VerdictRow
from concordant.store.registry import snapshots
from concordant.store.review_draws import standing_verdicts
from concordant.store.reviews import held, judge, last_verdict, take, take_back, waiting
from concordant.store.standing import admit, exclude
from concordant.store.tables import utc_now
from readings import NOON, Story, rule, tell
from stories import base_model, person

ALL = rule(first=1000)
TWICE = rule(first=1000, second_reviews=1.0)


@pytest.fixture
def told(database: Database) -> list[str]:
    """Three conversations of Ann's, the oldest first."""
    base, ann = base_model(database), person(database, "Ann")
    return [tell(database, ann, base, Story(NOON + timedelta(hours=hour)))[0] for hour in range(3)]


def current(db: Database, staff: str) -> str:
    found = held(db, staff)
    assert found is not None
    return found.talk_id


def test_one_after_the_other_in_the_order_of_their_ends(database: Database, told: list[str]) -> None:
    assert waiting(database, "eve", ALL) == 3 and held(database, "eve") is None
    for place, talk in enumerate(told):
        assert take(database, "eve", ALL)
        assert current(database, "eve") == talk
        judge(database, "eve", talk, 2, "well done" if place else "")
        assert waiting(database, "eve", ALL) == 2 - place
    assert not take(database, "eve", ALL)
    assert {act.act for act in acts(database, 10)} == {"verdict given"}


def test_a_review_shows_what_was_written_and_the_replies_it_went_on_from(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    story = Story(seconds=(5.0, 5.0), buttons=(1, 8), objective=Objective.HARMLESS, text="say")
    tell(database, ann, base, story)
    take(database, "eve", ALL)
    found = held(database, "eve")
    assert found is not None and found.objective is Objective.HARMLESS and found.whole
    assert found.turns == [("say 1", "reply 0"), ("say 2", "reply 1")]


def test_two_reviewers_never_have_the_same_one(database: Database, told: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda name: take(database, name, ALL), "abcdefgh")).count(True) == 3
    with database.read() as session:
        claims = list(session.scalars(select(ReviewClaimRow)))
    assert sorted(claim.talk_id for claim in claims) == sorted(told)


def test_after_a_reviewer_vanishes_another_goes_on(database: Database, told: list[str]) -> None:
    take(database, "eve", ALL)
    assert waiting(database, "mallory", ALL) == 2
    with database.write() as session:
        session.execute(update(ReviewClaimRow).values(until=utc_now() - timedelta(seconds=1)))
    assert current(database, "eve") == told[0], "it is theirs until another takes it"
    take(database, "mallory", ALL)
    assert current(database, "mallory") == told[0] and held(database, "eve") is None
    with pytest.raises(UserError, match="not yours any more"):
        judge(database, "eve", told[0], 1)
    judge(database, "mallory", told[0], 4)


def test_taking_back_supersedes_and_changes_nothing_that_was_said(database: Database, told: list[str]) -> None:
    take(database, "eve", ALL)
    judge(database, "eve", told[0], 5, key="a")
    judge(database, "eve", told[0], 1, key="a")  # the same form twice
    take(database, "eve", ALL)
    assert (last := last_verdict(database, "eve")) is not None and last.verdict == 5
    take_back(database, "eve", told[0], ALL)
    assert current(database, "eve") == told[0] and last_verdict(database, "eve") is None
    judge(database, "eve", told[0], 2, key="b")
    with database.read() as session:
        rows = list(session.scalars(select(VerdictRow).order_by(VerdictRow.number)))
        assert [(row.number, row.verdict) for row in rows] == [(1, 5), (2, None), (3, 2)]
        assert [row.verdict for row in standing_verdicts(session)] == [2]
    for who, about in (("mallory", told[0]), ("eve", told[1])):
        with pytest.raises(UserError, match="not your last one"):
            take_back(database, who, about, ALL)
    for statement in ("UPDATE verdicts SET verdict = 1", "DELETE FROM verdicts"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))


def test_a_second_review_is_somebody_elses_and_comes_after_the_first(database: Database, told: list[str]) -> None:
    for talk in told:
        take(database, "eve", TWICE)
        judge(database, "eve", talk, 1)
    assert not take(database, "eve", TWICE) and waiting(database, "mallory", TWICE) == 3
    take(database, "mallory", TWICE)
    judge(database, "mallory", current(database, "mallory"), 3)
    with database.read() as session:
        found = standing_verdicts(session, place=None)
        assert sorted((row.talk_id, row.place) for row in found if row.talk_id == told[0]) == [
            (told[0], 1),
            (told[0], 2),
        ]
    assert waiting(database, "mallory", TWICE) == 2 and waiting(database, "third", TWICE) == 2
    for talk in reversed(told):
        take_back(database, "eve", talk, TWICE)
    with database.write() as session:
        session.execute(delete(ReviewClaimRow))
    assert waiting(database, "mallory", TWICE) == 2, "nobody reads one twice, not even when its first verdict is gone"
    assert waiting(database, "third", TWICE) == 3


def test_excluded_workers_wait_for_no_verdict(database: Database, told: list[str]) -> None:
    base, bob = snapshots(database)[0], person(database, "Bob")
    talk, _ = tell(database, bob, base, Story(NOON - timedelta(hours=1)))
    exclude(database, "s", bob.id, "nonsense")
    assert waiting(database, "eve", ALL) == 3
    admit(database, "s", bob.id, "a mistake")
    take(database, "eve", ALL)
    assert current(database, "eve") == talk


def test_what_is_no_verdict_is_refused(database: Database, told: list[str]) -> None:
    take(database, "eve", ALL)
    for verdict in (0, 6):
        with pytest.raises(UserError, match="does not exist"):
            judge(database, "eve", told[0], verdict)
    with pytest.raises(UserError, match="1,000 fit"):
        judge(database, "eve", told[0], 1, "x" * 1001)
    with pytest.raises(UserError, match="not yours"):
        judge(database, "eve", told[1], 1)
