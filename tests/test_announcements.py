"""Announcements: to all or to some, until they are put aside or ended."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.errors import UserError
from concordant.store.announcements import announce, announcements, end_announcement, put_aside, shown_to
from concordant.store.audit import acts
from concordant.store.database import Database
from stories import person


def texts(database: Database, worker_id: str) -> list[str]:
    return [words for _, words in shown_to(database, worker_id)]


def test_to_all_and_to_some_until_put_aside_or_ended(database: Database) -> None:
    ann, bob = person(database, "Ann"), person(database, "Bob")
    announce(database, "To all", None, "1", "boss")
    announce(database, "To Ann", [ann.id, ann.id], "2", "boss")
    announce(database, "To Ann again", [ann.id], "2", "boss")  # the same key
    late = person(database, "Late")
    assert texts(database, ann.id) == ["To all", "To Ann"]
    assert texts(database, bob.id) == texts(database, late.id) == ["To all"]
    (everyone, _), (to_ann, _) = shown_to(database, ann.id)
    put_aside(database, everyone, ann.id)
    put_aside(database, everyone, ann.id)
    put_aside(database, to_ann, bob.id)  # not his
    put_aside(database, "none", bob.id)
    assert texts(database, ann.id) == ["To Ann"] and texts(database, bob.id) == ["To all"]
    end_announcement(database, everyone, "boss")
    end_announcement(database, everyone, "boss")
    assert texts(database, bob.id) == []
    newest, oldest = announcements(database)
    assert (newest.text, newest.workers, newest.aside, newest.ended) == ("To Ann", 1, 0, None)
    assert (oldest.text, oldest.workers, oldest.aside) == ("To all", None, 1) and oldest.ended is not None
    assert [act.act for act in acts(database, 9)] == ["announcement ended", "announced", "announced"]


def test_what_cannot_be_announced(database: Database) -> None:
    for words, to, message in (
        (" ", None, "nothing in the announcement"),
        ("x" * 4001, None, "4,001 characters"),
        ("hello", [], "for nobody"),
        ("hello", ["nobody"], "there is no worker 'nobody'"),
    ):
        with pytest.raises(UserError, match=message):
            announce(database, words, to, "k", "boss")
    assert announcements(database) == []
    with pytest.raises(UserError, match="no announcement 'none'"):
        end_announcement(database, "none", "boss")


def test_nothing_that_was_announced_changes(database: Database) -> None:
    announce(database, "hello", None, "k", "boss")
    for change in ("UPDATE announcements SET text = 'x'", "DELETE FROM announcements"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(change))
