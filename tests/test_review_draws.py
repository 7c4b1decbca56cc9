from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Objective
from concordant.store import review_draws
from concordant.store.database import Database
from concordant.store.people import WorkerKind
from concordant.store.quality_tables import ReviewDrawRow, SecondLookRow, VerdictRow
from concordant.store.review_draws import draw_ended, good_on_end
from concordant.store.talks import Ending, end_talk, open_talk
from readings import NOON, Story, rule, tell
from stories import base_model, person


@pytest.fixture(params=[5000, 1], ids=["at-once", "one-by-one"])
def most(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In how many transactions it is drawn changes nothing."""
    monkeypatch.setattr(review_draws, "_MOST_DRAWN", request.param)


def draws(db: Database) -> dict[str, ReviewDrawRow]:
    with db.read() as session:
        return {row.talk_id: row for row in session.scalars(select(ReviewDrawRow))}


@pytest.mark.parametrize(
    ("number", "good", "fast", "chance"),
    [
        (5, 0, False, 1.0),  # one of the first five
        (6, 9, False, 0.25),
        (6, 10, False, 0.125),  # ten good verdicts on end
        (40, 20, False, 0.0625),
        (90, 30, False, 0.05),  # never below the least
        (90, 30, True, 0.5),  # but a fast worker
        (3, 0, True, 1.0),
    ],
)
def test_the_chance_by_the_rule(number: int, good: int, fast: bool, chance: float) -> None:
    assert rule().chance(number, good, fast) == chance


def test_draws_are_the_share_that_they_should_be_and_the_same_every_time() -> None:
    found = [rule().drawn("review", str(key), 0.25) for key in range(4000)]
    assert 900 < sum(found) < 1100, "1,000, and 27 is one standard deviation"
    assert found == [rule().drawn("review", str(key), 0.25) for key in range(4000)]
    other = [rule().drawn("second review", str(key), 0.25) for key in range(4000)]
    both = sum(a and b for a, b in zip(found, other, strict=True))
    assert 190 < both < 310, "independent: 250"
    assert not rule().drawn("review", "x", 0.0) and rule().drawn("review", "x", 1.0)


def test_each_ended_conversation_is_drawn_once_with_its_chance(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    told = [tell(database, ann, base, Story(NOON + timedelta(hours=hour)))[0] for hour in range(7)]
    draw_ended(database, rule(first=5, share=0.0, least=0.0))
    found = draws(database)
    assert [found[talk].number for talk in told] == [1, 2, 3, 4, 5, 6, 7]
    assert [found[talk].share for talk in told] == [1.0] * 5 + [0.0] * 2
    assert [found[talk].drawn for talk in told] == [True] * 5 + [False] * 2
    assert found[told[0]].pace == 30.0
    draw_ended(database, rule(first=100))
    assert [draws(database)[talk].drawn for talk in told] == [True] * 5 + [False] * 2, "a draw is not repeated"
    late, _ = tell(database, ann, base, Story(NOON + timedelta(days=1)))
    draw_ended(database, rule(first=100))
    assert draws(database)[late].number == 8 and draws(database)[late].drawn
    with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
        session.execute(text("UPDATE review_draws SET drawn = NOT drawn"))


def test_open_empty_and_scripted_conversations_are_not_read(database: Database) -> None:
    base = base_model(database)
    open_talk(database, person(database, "Ann").id, Objective.HELPFUL, 4, "")
    tell(database, person(database, "script", WorkerKind.SCRIPTED), base, Story())
    empty = open_talk(database, person(database, "Bob").id, Objective.HELPFUL, 4, "")
    end_talk(database, empty, Ending())
    draw_ended(database, rule())
    found = draws(database)
    assert list(found) == [empty] and found[empty].number is None and not found[empty].drawn


@pytest.mark.usefixtures("most")
def test_a_fast_pace_raises_the_chance(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    paces = [40.0, 40.0, 40.0, 4.0, 4.0, 4.0]
    told = [
        tell(database, ann, base, Story(NOON + timedelta(hours=hour), seconds=(pace,)))[0]
        for hour, pace in enumerate(paces)
    ]
    draw_ended(database, rule(first=0, fast_seconds=10.0))
    found = [draws(database)[talk] for talk in told]
    assert [row.fast for row in found] == [False] * 5 + [True], "the median of five: 40 40 4 4 4 is the first fast one"
    assert [row.share for row in found] == [0.25] * 5 + [0.5]


@pytest.mark.usefixtures("most")
def test_the_crews_fastest_tenth_is_fast_too(database: Database) -> None:
    base, ann, bob = base_model(database), person(database, "Ann"), person(database, "Bob")
    for hour in range(20):
        tell(database, ann, base, Story(NOON + timedelta(hours=hour), seconds=(60.0 + hour,)))
    quick, _ = tell(database, bob, base, Story(NOON + timedelta(days=2), seconds=(61.0,)))
    other, _ = tell(database, bob, base, Story(NOON + timedelta(days=3), seconds=(50.0,), objective=Objective.HARMLESS))
    draw_ended(database, rule(first=0, fast_quantile=0.1))
    assert draws(database)[quick].fast, "below 62, the third of the twenty"
    assert not draws(database)[other].fast, "red-team work has a pace of its own"


def test_good_verdicts_on_end_are_counted_back_from_the_conversation(database: Database) -> None:
    verdicts = [(NOON + timedelta(hours=hour), verdict) for hour, verdict in enumerate([1, 3, 2, 1, 1])]
    assert good_on_end(verdicts, NOON + timedelta(hours=9)) == 3
    assert good_on_end(verdicts, NOON + timedelta(hours=3)) == 1
    assert good_on_end(verdicts, NOON + timedelta(hours=2)) == 0
    base, ann = base_model(database), person(database, "Ann")
    first, _ = tell(database, ann, base, Story())
    draw_ended(database, rule(first=1, share=0.4, halve_after=1))
    with database.write() as session:
        row = VerdictRow(talk_id=first, place=1, number=1, staff_id="s", verdict=2, note="", key="k")
        row.created = NOON + timedelta(hours=1)
        session.add(row)
    second, _ = tell(database, ann, base, Story(NOON + timedelta(hours=2)))
    draw_ended(database, rule(first=1, share=0.4, halve_after=1))
    assert draws(database)[second].share == 0.2


def test_comparisons_for_a_second_opinion_are_drawn_with_their_conversation(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    _, comparisons = tell(database, ann, base, Story(seconds=(9.0,) * 40, buttons=(2,) * 40))
    draw_ended(database, rule(second_opinions=0.5))
    with database.read() as session:
        asked = list(session.scalars(select(SecondLookRow.comparison_id)))
    expected = [one for one in comparisons if rule().drawn("second opinion", one, 0.5)]
    assert sorted(asked) == sorted(expected) and 5 < len(asked) < 35
