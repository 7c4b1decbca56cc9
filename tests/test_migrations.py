"""An old store with people's words in it, brought to the newest form: nothing is lost, and what was kept stays kept."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DatabaseError

import concordant.store
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people import workers
from concordant.store.preferences import Filter, preferences
from concordant.store.talk_views import current_talk, view
from postgres_server import PostgresStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OLD: dict[str, list[dict[str, Any]]] = {
    "workers": [{"id": "w", "name": "Élise", "kind": "person", "token_hash": "h", "created": NOW}],
    "staff_tokens": [{"token_hash": "s", "created": NOW}],
    "snapshots": [
        {"id": "n", "label": "base", "kind": "model", "spec": '{"folder": "base", "adapter": null}', "run": None,
         "parents": "[]", "created": NOW}
    ],
    "deployments": [
        {"id": "d", "snapshot_id": "n", "weight": 1.0, "objective": None, "created": NOW, "retired": None}
    ],
    "runs": [{"name": "r", "kind": "pm", "path": "runs/r", "parents": "{}", "result": "{}", "created": NOW}],
    "talks": [
        {"id": "t1", "worker_id": "w", "objective": "helpful", "study": "x", "turns": 1, "created": NOW, "ended": NOW,
         "rating": 4, "comment": "fine"},
        {"id": "t2", "worker_id": "w", "objective": "harmless", "study": "", "turns": 2, "created": NOW, "ended": None,
         "rating": None, "comment": None},
    ],
    "messages": [
        {"id": f"m{n}", "talk_id": f"t{n}", "turn": 1, "text": f"hello {n} \u05d0", "key": "k", "created": NOW}
        for n in (1, 2)
    ],
    "comparisons": [
        {"id": f"c{n}", "message_id": f"m{n}", "swap": n == 1, "created": NOW} for n in (1, 2)
    ],
    "replies": [
        {"id": f"r{n}{place}", "comparison_id": f"c{n}", "place": place, "snapshot_id": "n", "seed": 2**62,
         "status": "done" if n == 1 else "queued", "text": f"reply {place}" if n == 1 else "", "error": None,
         "attempt": 1, "owner": None, "lease_seconds": None, "lease_until": None, "finished": True, "tokens": 2,
         "score": None, "created": NOW, "done": None}
        for n in (1, 2) for place in (0, 1)
    ],
    "choices": [
        {"id": f"h{number}", "comparison_id": "c1", "number": number, "button": button, "key": f"k{number}",
         "created": NOW}
        for number, button in ((1, 8), (2, 1))
    ],
    "imports": [
        {"id": "i", "name": "f", "digest": "d", "objective": "helpful", "tranche": "base", "rows": 1, "dropped": "{}",
         "created": NOW}
    ],
    "imported_preferences": [
        {"id": "p", "import_id": "i", "row": 0, "prompt": '[["human", "hi"]]', "reply_a": "a", "reply_b": "b",
         "preferred": "a", "worker_kind": None}
    ],
    "datasets": [{"name": "s", "digest": "x", "path": "p", "filter": "{}", "counts": "{}", "created": NOW}],
    "steps": [
        {"iteration": 1, "name": "pm", "inputs": "{}", "outputs": None, "starts": 1, "started": NOW, "finished": None}
    ],
    "leases": [{"iteration": 1, "owner": "o", "host": "h", "process": 1, "heartbeat": NOW}],
}  # fmt: skip
"""A store as the first version left it: every table, a talk that has ended and one that is open."""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a store at revision 0001 with these rows."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.sqlite'}"
        _fill(url)
        yield url
        return
    postgres: PostgresStore = request.getfixturevalue("postgres")
    with postgres.another() as url:
        _fill(url)
        yield url


def _fill(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(concordant.store.__path__[0]) / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table, rows in OLD.items():
            for row in rows:
                values = dict(row)
                if connection.dialect.name == "sqlite":
                    values = {k: v.replace(tzinfo=None).isoformat(" ", "microseconds") if isinstance(v, datetime) else v
                              for k, v in row.items()}  # fmt: skip
                names = ", ".join(values)
                places = ", ".join(f":{name}" for name in values)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)
    engine.dispose()


def test_nothing_is_lost_from_the_first_revision_to_the_newest(old_url: str) -> None:
    before = _rows(old_url)
    database = Database.open(old_url)
    try:
        after = _rows(old_url)
        assert before.keys() - after.keys() == {"staff_tokens"}, "links that never ended, since there are accounts"
        for table, rows in before.items():
            if table not in after:
                continue
            for row, now in zip(rows, after[table], strict=True):
                assert {name: now[name] for name in row} == row, table
        ended, waiting = view(database, "t1"), current_talk(database, "w")
        assert [turn.text for turn in ended.conversation.turns] == ["hello 1 \u05d0", "reply 1"], "the newest choice"
        assert waiting is not None and waiting.id == "t2" and waiting.sitting is None
        (worker,) = workers(database)
        assert worker.name == "Élise" and not worker.may_edit
        kept = [one for _, one in preferences(database, Filter(objective=Objective.HELPFUL))]
        assert len(kept) == 2, "one that was made here, and one that was imported"
        for change in ("UPDATE messages SET text = 'x'", "DELETE FROM choices", "UPDATE talks SET rating = 1"):
            with (
                pytest.raises((DatabaseError, sqlite3.DatabaseError), match="append-only"),
                database.write() as session,
            ):
                session.execute(text(change))
    finally:
        database.close()


def test_the_revisions_are_one_chain() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(concordant.store.__path__[0]) / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1 and len(script.get_bases()) == 1


def _rows(url: str) -> dict[str, list[dict[str, Any]]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {
            table: sorted(
                (dict(row) for row in connection.execute(text(f"SELECT * FROM {table}")).mappings()),
                key=lambda row: str([row.get(name) for name in ("id", "name", "token_hash")]),
            )
            for table in inspect(engine).get_table_names()
            if table in OLD
        }
    engine.dispose()
    return found
