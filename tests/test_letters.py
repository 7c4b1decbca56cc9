"""The thread between staff and a worker: who has read what, once each, and not too much of it."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.errors import UserError
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.letters import (
    LONGEST_LETTER,
    MOST_AN_HOUR,
    TooMany,
    correspondents,
    open_thread,
    thread,
    threads,
    unread_by_worker,
    write_letter,
)
from concordant.store.people import WorkerKind
from stories import person


def test_a_thread_is_read_by_the_side_that_opens_it(database: Database) -> None:
    ann = person(database, "Ann")
    write_letter(database, ann.id, "  Are you\r\nwell?  ", "1", "boss")
    assert unread_by_worker(database, ann.id) == 1
    (letter,) = open_thread(database, ann.id, by_staff=True)
    assert (letter.text, letter.staff_id, letter.seen) == ("Are you\nwell?", "boss", False)
    assert unread_by_worker(database, ann.id) == 1, "staff read their own"
    assert [one.seen for one in open_thread(database, ann.id, by_staff=False)] == [False], "new as it was opened"
    assert unread_by_worker(database, ann.id) == 0
    write_letter(database, ann.id, "Very.", "2")
    assert [(one.unread, one.waiting, one.letters) for one in threads(database)] == [(1, 0, 2)]
    open_thread(database, ann.id, by_staff=True)
    assert [one.unread for one in threads(database)] == [0]
    assert [one.seen for one in thread(database, ann.id)] == [True, True]
    assert [(act.act, act.about) for act in acts(database, 9)] == [("message sent", ann.id)], "staff's acts alone"


def test_the_same_submit_is_one_message(database: Database) -> None:
    ann = person(database)
    for _ in range(3):
        write_letter(database, ann.id, "once", "key")
    assert [one.text for one in thread(database, ann.id)] == ["once"]


def test_unread_threads_come_first(database: Database) -> None:
    ann, bob, cat = (person(database, name) for name in ("Ann", "Bob", "Cat"))
    write_letter(database, ann.id, "first", "k")
    write_letter(database, bob.id, "to you", "k", "boss")
    write_letter(database, cat.id, "third", "k")
    assert [one.name for one in threads(database)] == ["Cat", "Ann", "Bob"]


def test_what_cannot_be_sent(database: Database) -> None:
    ann = person(database)
    for worker, words, message in (
        (ann.id, " \n", "nothing in the message"),
        (ann.id, "x" * (LONGEST_LETTER + 1), "4,001 characters; 4,000 fit"),
        ("nobody", "hello", "there is no worker 'nobody'"),
    ):
        with pytest.raises(UserError, match=message):
            write_letter(database, worker, words, "k")


def test_a_worker_writes_so_often_an_hour_and_staff_as_often_as_they_like(database: Database) -> None:
    ann = person(database)
    for number in range(MOST_AN_HOUR):
        write_letter(database, ann.id, "hello", f"{number}")
    with pytest.raises(TooMany, match="a little later"):
        write_letter(database, ann.id, "hello", "one more")
    write_letter(database, ann.id, "hello", "0")  # sent again: nothing new, so no refusal
    write_letter(database, ann.id, "calm down", "s", "boss")


def test_only_people_are_written_to(database: Database) -> None:
    ann = person(database, "Ann")
    person(database, "script", WorkerKind.SCRIPTED)
    assert correspondents(database) == [(ann.id, "Ann")]


def test_nothing_that_was_said_changes(database: Database) -> None:
    ann = person(database)
    write_letter(database, ann.id, "hello", "k", "boss")
    open_thread(database, ann.id, by_staff=False)
    for table in ("letters", "letters_seen"):
        for change in (f"UPDATE {table} SET created = created", f"DELETE FROM {table}"):
            with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
                session.execute(text(change))
