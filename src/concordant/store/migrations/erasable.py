"""Triggers that keep a table append-only, save that the texts of erased workers may become the marker.

The condition stands in the trigger itself: where ``erasures`` has a row for the worker behind a row, these columns may
become the marker. Every other column, and every row of anybody else, is kept as before.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

MARKER = "'[erased]'"
OF_TALK = "(SELECT t.worker_id FROM talks t WHERE t.id = OLD.talk_id)"
OF_COMPARISON = (
    "(SELECT t.worker_id FROM comparisons c JOIN messages m ON m.id = c.message_id "
    "JOIN talks t ON t.id = m.talk_id WHERE c.id = OLD.comparison_id)"
)
OF_REPLY = (
    "(SELECT t.worker_id FROM replies r JOIN comparisons c ON c.id = r.comparison_id "
    "JOIN messages m ON m.id = c.message_id JOIN talks t ON t.id = m.talk_id WHERE r.id = OLD.reply_id)"
)


@dataclass(frozen=True, slots=True)
class Erasable:
    """A table with texts that may go.

    Attributes:
        table: its name.
        worker: SQL of the id of the worker behind a row.
        texts: column → SQL of what it may become.
        kept: SQL of when a row is kept at all; "": always.
    """

    table: str
    worker: str
    texts: dict[str, str]
    kept: str = ""


def let_go(one: Erasable) -> None:
    """Put this rule in the place of the one that the table's updates had."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    erased = f"EXISTS (SELECT 1 FROM erasures e WHERE e.worker_id = {one.worker})"
    if sqlite:
        same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _columns(one.table) if name not in one.texts)
        op.execute(f"DROP TRIGGER IF EXISTS keep_{one.table}_update")
        keep_on_sqlite(one.table, f"{same} AND {_marked(one, 'IS')} AND {erased}", one.kept)
    else:
        names = ", ".join(f"'{name}'" for name in one.texts)
        # Compared as a whole, so that a column that comes later is kept as well.
        rest = f"to_jsonb(NEW) - ARRAY[{names}] = to_jsonb(OLD) - ARRAY[{names}]"
        op.execute(f"DROP TRIGGER IF EXISTS keep_{one.table}_update ON {one.table}")
        keep_on_postgres(one.table, f"{rest} AND {_marked(one, 'IS NOT DISTINCT FROM')} AND {erased}", one.kept)


def keep_on_sqlite(table: str, allowed: str, kept: str = "") -> None:
    """Refuse updates that are not allowed."""
    when = f"{kept} AND NOT ({allowed})" if kept else f"NOT ({allowed})"
    op.execute(
        f"CREATE TRIGGER keep_{table}_update BEFORE UPDATE ON {table} WHEN {when} "
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def keep_on_postgres(table: str, allowed: str, kept: str = "") -> None:
    """A trigger's own condition may not look into other tables there, so the exception stands in a function."""
    op.execute(
        f"CREATE OR REPLACE FUNCTION keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {allowed} THEN RETURN NEW; END IF; RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    when = f"WHEN ({kept}) " if kept else ""
    op.execute(
        f"CREATE TRIGGER keep_{table}_update BEFORE UPDATE ON {table} FOR EACH ROW {when}"
        f"EXECUTE FUNCTION keep_{table}()"
    )


def _columns(table: str) -> list[str]:
    return [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]


def _marked(one: Erasable, same: str) -> str:
    return " AND ".join(
        f"(NEW.{name} {same} OLD.{name} OR NEW.{name} {same} {marker})" for name, marker in one.texts.items()
    )
