"""Columns that must hold the same on both databases, and rows that the database itself refuses to change."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError, IntegrityError

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.registry import deploy
from concordant.store.tables import TalkRow, WorkerRow, new_id
from stories import base_model, draw, person, play


def test_ids_are_32_hex_digits_and_differ() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("grüße 🙂 مرحبا", "grüße 🙂 مرحبا"),
        ("a\x00b", "a\ufffdb"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("\ud83d\ude42", "🙂"),
        ("line\r\nline\u2028line", "line\r\nline\u2028line"),
    ],
)
def test_any_text_comes_back_alike_from_both(database: Database, written: str, read: str) -> None:
    with database.write() as session:
        session.add(WorkerRow(id="w", name=written, kind="person", token_hash="t"))
    with database.read() as session:
        assert session.get_one(WorkerRow, "w").name == read


def test_moments_come_back_in_utc(database: Database) -> None:
    noon_in_delhi = datetime(2024, 5, 17, 12, 0, 0, 123456, timezone(timedelta(hours=5.5)))
    with database.write() as session:
        session.add(WorkerRow(id="w", name="w", kind="person", token_hash="t", created=noon_in_delhi))
    with database.read() as session:
        found = session.get_one(WorkerRow, "w").created
    assert found == datetime(2024, 5, 17, 6, 30, 0, 123456, UTC)
    assert found.tzinfo is UTC


CHANGES = [
    "UPDATE choices SET button = 1",
    "DELETE FROM choices",
    "UPDATE messages SET text = 'what they never wrote'",
    "DELETE FROM messages",
    "UPDATE comparisons SET swap = NOT swap",
    "DELETE FROM comparisons",
    "UPDATE replies SET text = 'what was never shown'",
    "DELETE FROM replies",
    "UPDATE talks SET rating = 1",
    "DELETE FROM talks",
]


def test_what_people_did_is_kept_by_the_database(database: Database) -> None:
    play(database, person(database), draw(base_model(database)), [2])
    for statement in CHANGES:
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))


def test_replacing_a_choice_is_refused_too(database: Database) -> None:
    play(database, person(database), draw(base_model(database)), [2])
    if database.dialect == "postgresql":
        statement = "TRUNCATE choices"
    else:
        statement = "INSERT OR REPLACE INTO choices SELECT id, comparison_id, number, 8, key, created FROM choices"
    with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
        session.execute(text(statement))


def test_a_worker_has_one_open_talk(database: Database) -> None:
    worker = person(database)
    with pytest.raises(IntegrityError), database.write() as session:
        for _ in range(2):
            session.add(TalkRow(worker_id=worker.id, objective=Objective.HELPFUL.value, study="", turns=1))


def test_references_are_checked(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(TalkRow(worker_id="nobody", objective="helpful", study="", turns=1))


def test_checks_are_checked(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(WorkerRow(name="x", kind="robot", token_hash="t"))
    deploy(database, base_model(database).id, 1.0)
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text("UPDATE deployments SET weight = 0"))
    with database.read() as session:
        assert session.scalars(select(WorkerRow)).all() == []
