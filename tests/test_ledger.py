"""Counts of choices, worked out by hand, and kept right by what comes later."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from concordant.store.database import Database
from concordant.store.erasure import erase
from concordant.store.ledger import Count, Ledger, Place, Verdict
from concordant.store.tables import ChoiceRow
from concordant.store.talks import choose
from desk_stories import Clock, Story
from stories import ask, base_model, draw, person, play, policy_model, write_replies


@pytest.fixture
def story(database: Database, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(database, Clock(monkeypatch))


def test_every_choice_is_counted_where_it_belongs(story: Story) -> None:
    a, b = sorted((story.base.id, story.policy.id))
    with Ledger(story.db).open() as books:
        assert books.counts == {
            Place("2026-03-01", "helpful", "pilot", story.ann.id, a, b): Count(2, 1, 1),
            Place("2026-03-01", "harmless", "", story.ben.id, a, b): Count(1, 0, 1),
            Place("2026-03-02", "helpful", "", story.ann.id, story.base.id, story.base.id): Count(2, 0, 1),
            Place("2026-03-02", "helpful", "", story.script.id, a, b): Count(1, 1, 1),
        }
        # In red-team work Ben clicked the policy's reply as the more harmful one, so the base, on the left, is better.
        assert books.verdicts == {
            Verdict("helpful", story.base.id, story.policy.id, True, story.ann.id): 1,
            Verdict("harmless", story.base.id, story.policy.id, True, story.ben.id): 1,
        }
        assert books.workers[story.script.id] == ("a script", "scripted")
        assert books.until is not None and books.until.date().isoformat() == "2026-03-02"


def test_an_empty_store_has_empty_books(database: Database) -> None:
    with Ledger(database).open() as books:
        assert (books.counts, books.verdicts, books.until) == ({}, {}, None)


def test_a_later_choice_takes_the_place_of_the_one_it_supersedes(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    ledger, worker = Ledger(database, check_seconds=1e9), person(database)
    _, comparison = ask(database, worker, draw(base, policy))
    write_replies(database)
    choose(database, comparison, 1, "first")
    with ledger.open() as books:
        assert list(books.verdicts) == [Verdict("helpful", base.id, policy.id, True, worker.id)]
    choose(database, comparison, 8, "second", instead_of=1)
    with ledger.open() as books:
        assert list(books.verdicts) == [Verdict("helpful", policy.id, base.id, False, worker.id)]
        assert list(books.counts.values()) == [Count(1, 0, 1)]
    choose(database, comparison, 5, "third", instead_of=2)
    for looked in (ledger, Ledger(database)):  # what grew, and what is read at once, are the same
        with looked.open() as books:
            assert not books.verdicts and list(books.counts.values()) == [Count(1, 1, 1)]


def test_new_choices_are_added_and_none_twice(database: Database) -> None:
    base, worker = base_model(database), person(database)
    ledger = Ledger(database, check_seconds=1e9)
    for number in range(1, 4):
        play(database, worker, draw(base), [1, 8])
        for _ in range(2):
            with ledger.open() as books:
                assert sum(count.choices for count in books.counts.values()) == 2 * number


def test_a_name_that_was_erased_is_gone_from_the_books_too(database: Database) -> None:
    base, worker = base_model(database), person(database, "Ann Example")
    play(database, worker, draw(base), [1, 8])
    ledger = Ledger(database, check_seconds=1e9)
    with ledger.open() as books:
        assert books.workers[worker.id][0] == "Ann Example"
    erase(database, worker.id, "a test")
    with ledger.open() as books:
        assert "Ann" not in str(books.workers) and sum(count.choices for count in books.counts.values()) == 2


def test_a_choice_that_comes_late_is_found_by_its_number(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    play(database, person(database), draw(base, policy), [1])
    _, comparison = ask(database, person(database, "late"), draw(base, policy))
    sure, blind = Ledger(database, check_seconds=0.0), Ledger(database, check_seconds=1e9)
    for ledger in (sure, blind):
        with ledger.open() as books:
            assert books.verdicts.total() == 1
    long_ago = datetime.now(UTC) - timedelta(days=2)
    with database.write() as session:
        row = {"comparison_id": comparison, "number": 1, "button": 8, "key": "k", "created": long_ago}
        session.execute(insert(ChoiceRow).values(**row))
    with blind.open() as books:
        assert books.verdicts.total() == 1, "its time stamp is older than what was read"
    with sure.open() as books:
        assert books.verdicts.total() == 2
