"""Migration 0007: what a store of before keeps, and that its triggers know every column."""

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url, text
from sqlalchemy.exc import DatabaseError

import concordant.store.migrations as migrations
from concordant.store.database import Database, _sqlite_engine
from concordant.store.tables import Base

ERASABLE = ("messages", "edits", "replies", "talks", "sittings", "participants", "letters")


def at_revision(path: Path, revision: str) -> None:
    """A SQLite store as an earlier program left it."""
    engine = _sqlite_engine(make_url(f"sqlite:///{path}"))
    with engine.connect() as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_answers_given_before_are_kept_without_their_order(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    at_revision(path, "0003")
    with sqlite3.connect(path) as raw:
        for key in ("c", "a", "b"):
            raw.execute("INSERT INTO wellbeing VALUES (?, 'someone', '2026-W47', 3)", (key,))
    raw.close()
    db = Database.open(f"sqlite:///{path}")
    with db.read() as session:
        assert [row.key for row in session.execute(text("SELECT * FROM wellbeing"))] == ["a", "b", "c"]
        with pytest.raises(DatabaseError, match="no such column: rowid"):
            session.execute(text("SELECT rowid FROM wellbeing"))
    for change in ("UPDATE wellbeing SET answer = 1", "DELETE FROM wellbeing"):
        with pytest.raises(DatabaseError, match="append-only"), db.write() as session:
            session.execute(text(change))
    db.close()


def test_the_exception_names_every_column_of_its_table(sqlite_template: Path) -> None:
    """SQLite cannot compare whole rows, so a column that is added later must make its trigger anew."""
    db = Database.open(f"sqlite:///{sqlite_template}")
    with db.read() as session:
        found = session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
        written: dict[str, str] = {name: sql for name, sql in found}
    db.close()
    for table in ERASABLE:
        sql = written[f"keep_{table}_update"]
        names = [column.name for column in Base.metadata.tables[table].columns]
        assert [name for name in names if f"NEW.{name} IS OLD.{name}" not in sql] == [], table
