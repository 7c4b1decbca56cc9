from datetime import timedelta

import pytest

from concordant.errors import UserError
from concordant.store.crew import crew, record
from concordant.store.database import Database
from concordant.store.people import Worker
from concordant.store.review_draws import draw_ended
from concordant.store.reviews import held, judge, take
from concordant.store.second_looks import Looker, give_opinion, held_look, take_look
from concordant.store.sittings import Offer, open_sitting
from concordant.store.standing import exclude, put_on_select
from readings import NOON, Story, rule, tell
from stories import base_model, person

ALL = rule(first=1000, second_opinions=1.0)


@pytest.fixture
def told(database: Database) -> tuple[Worker, Worker, list[str]]:
    """Ann wrote five conversations in two weeks, Bob six; Carl came and wrote nothing. Talks in the order of ends."""
    base = base_model(database)
    ann, bob = person(database, "Ann"), person(database, "Bob")
    person(database, "Carl")
    talks = [tell(database, ann, base, Story(NOON + timedelta(days=2 * day), buttons=(1,)))[0] for day in range(5)]
    later = NOON + timedelta(days=20)
    talks += [
        tell(database, bob, base, Story(later + timedelta(hours=hour), seconds=(8.0,), buttons=(8,)))[0]
        for hour in range(6)
    ]
    return ann, bob, talks


def read_all(db: Database, verdicts: list[int]) -> None:
    for verdict in verdicts:
        take(db, "eve", ALL)
        found = held(db, "eve")
        assert found is not None
        judge(db, "eve", found.talk_id, verdict, "worth reading" if verdict == 1 else "")


def test_everybody_with_their_numbers_best_first(database: Database, told: tuple[Worker, Worker, list[str]]) -> None:
    ann, bob, _ = told
    read_all(database, [3, 3, 4, 3, 4, 1, 2, 1, 1, 2, 1])
    found = crew(database)
    assert [one.worker.name for one in found.members] == ["Bob", "Ann"], "who wrote nothing is not among them"
    best, other = found.members
    assert (best.talks, best.choices, best.left.value, best.pace.value) == (6, 6, 0.0, 8.0)
    assert best.verdict.value == pytest.approx(8 / 6) and best.verdict.n == 6
    assert other.left.value == 1.0 and other.pace.value == 30.0 and other.verdict.value == pytest.approx(17 / 5)
    assert [one.worker.name for one in found.suggestions] == ["Bob", "Ann"]
    put_on_select(database, "s", bob.id, "excellent")
    exclude(database, "s", ann.id, "poor")
    assert crew(database).suggestions == [], "on the list, and excluded"
    assert [one.worker.name for one in crew(database).members] == ["Bob", "Ann"], "an excluded worker can be looked at"


def test_a_record_by_the_week_with_notes(database: Database, told: tuple[Worker, Worker, list[str]]) -> None:
    ann, _, talks = told
    read_all(database, [1, 2, 3, 4, 5])
    found = record(database, ann.id)
    assert [(str(week.monday), week.left.n) for week in found.weeks] == [("2026-03-02", 4), ("2026-03-09", 1)]
    assert [week.verdict.value for week in found.weeks] == [2.5, 5.0], "a verdict is of the week of the writing"
    assert found.weeks[0].length.value == len("question 1") and found.weeks[0].pace.value == 30.0
    assert found.notes == [(talks[0], 1, "worth reading")]
    assert found.signs == [] and found.verdict.value == 3.0
    with pytest.raises(UserError, match="there is no worker"):
        record(database, "x")


def test_agreement_with_second_opinions_is_the_first_workers(
    database: Database, told: tuple[Worker, Worker, list[str]]
) -> None:
    ann, bob, _ = told
    draw_ended(database, ALL)
    looker = Looker(bob.id, False, open_sitting(database, bob.id, Offer(5)).id)
    for alike in (True, True, True, False):
        take_look(database, looker, ALL)
        look = held_look(database, looker)
        assert look is not None
        give_opinion(database, looker, look.comparison_id, 1 if (look.a == "reply 0") == alike else 8)
    by_name = {one.worker.name: one.agreed for one in crew(database).members}
    assert (by_name["Ann"].value, by_name["Ann"].n) == (0.75, 4) and by_name["Bob"].n == 0
    assert record(database, ann.id).weeks[0].agreed.value == 0.75
