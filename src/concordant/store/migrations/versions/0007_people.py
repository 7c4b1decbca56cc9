"""Pay, messages between staff and workers, erasure of a person's text; wellbeing answers in no order.

Erasure is an exception that stands in the triggers themselves (``erasable.py``); their conditions name all columns that
a table has when this migration runs.
"""

import sqlalchemy as sa
from alembic import op

from concordant.store.migrations.erasable import (
    MARKER,
    OF_COMPARISON,
    OF_TALK,
    Erasable,
    keep_on_postgres,
    keep_on_sqlite,
    let_go,
)
from concordant.store.tables import Instant, Words

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    *("bonuses", "payments", "payment_lines", "letters_seen"),
    *("announcements", "announcement_workers", "announcements_seen", "announcements_ended"),
)
ERASABLE = (
    Erasable("messages", OF_TALK, {"text": MARKER}),
    Erasable("edits", OF_COMPARISON, {"text": MARKER}),
    Erasable("replies", OF_COMPARISON, {"text": MARKER, "error": MARKER}, "OLD.status = 'done'"),
    Erasable("talks", "OLD.worker_id", {"comment": MARKER}, "OLD.ended IS NOT NULL"),
    Erasable("sittings", "OLD.worker_id", {"panel_session": "NULL"}, "OLD.ended IS NOT NULL"),
    Erasable("participants", "OLD.worker_id", {"participant": f"{MARKER} || ' ' || OLD.worker_id"}),
    Erasable("letters", "OLD.worker_id", {"text": MARKER}),
)


def upgrade() -> None:
    _pay()
    _letters()
    _announcements()
    op.create_table(
        "erasures",
        _text("worker_id", sa.ForeignKey("workers.id"), primary_key=True),
        sa.Column("replies", sa.Boolean(), nullable=False),
        _text("staff_id"),
        _created(),
        sa.Column("cleaned", Instant()),
    )
    if op.get_bind().dialect.name == "sqlite":
        _wellbeing_without_order()
        _sqlite_triggers()
    else:
        _postgres_triggers()


def _text(name: str, *keys: sa.ForeignKey, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *keys, nullable=nullable, primary_key=primary_key)


def _words(name: str) -> sa.Column[str]:
    return sa.Column(name, Words(), nullable=False)


def _amount() -> sa.Column[int]:
    return sa.Column("amount", sa.BigInteger(), nullable=False)


def _created() -> sa.Column[object]:
    return sa.Column("created", Instant(), nullable=False)


def _worker() -> sa.Column[str]:
    return _text("worker_id", sa.ForeignKey("workers.id"))


def _pay() -> None:
    op.create_table(
        "bonuses",
        _text("id", primary_key=True),
        _worker(),
        _words("key"),
        _text("currency"),
        _amount(),
        _words("reason"),
        _text("staff_id"),
        _created(),
        sa.UniqueConstraint("worker_id", "key", name="uq_bonuses_worker_id_key"),
        sa.CheckConstraint("amount > 0", name="ck_bonuses_amount"),
    )
    op.create_table(
        "payments",
        _text("id", primary_key=True),
        _words("key"),
        _worker(),
        _text("currency"),
        _amount(),
        _words("reference"),
        _text("staff_id"),
        _created(),
        sa.UniqueConstraint("key", "worker_id", name="uq_payments_key_worker_id"),
        sa.CheckConstraint("amount > 0", name="ck_payments_amount"),
    )
    op.create_table(
        "payment_lines",
        _text("id", primary_key=True),
        _text("payment_id", sa.ForeignKey("payments.id")),
        _text("sitting_id", sa.ForeignKey("sittings.id"), nullable=True),
        _text("bonus_id", sa.ForeignKey("bonuses.id"), nullable=True),
        _amount(),
        sa.UniqueConstraint("sitting_id", name="uq_payment_lines_sitting_id"),
        sa.UniqueConstraint("bonus_id", name="uq_payment_lines_bonus_id"),
        sa.CheckConstraint("(sitting_id IS NULL) <> (bonus_id IS NULL)", name="ck_payment_lines_what"),
        sa.CheckConstraint("amount > 0", name="ck_payment_lines_amount"),
    )


def _letters() -> None:
    op.create_table(
        "letters",
        _text("id", primary_key=True),
        _worker(),
        _text("staff_id", nullable=True),
        _words("text"),
        _words("key"),
        _created(),
        sa.UniqueConstraint("worker_id", "key", name="uq_letters_worker_id_key"),
    )
    op.create_index("ix_letters_worker_id_created", "letters", ["worker_id", "created"])
    op.create_table(
        "letters_seen",
        _text("letter_id", sa.ForeignKey("letters.id"), primary_key=True),
        _created(),
    )


def _announcements() -> None:
    op.create_table(
        "announcements",
        _text("id", primary_key=True),
        _words("text"),
        sa.Column("everyone", sa.Boolean(), nullable=False),
        _text("staff_id"),
        _words("key"),
        _created(),
        sa.UniqueConstraint("key", name="uq_announcements_key"),
    )
    op.create_table(
        "announcement_workers",
        _text("announcement_id", sa.ForeignKey("announcements.id"), primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id"), primary_key=True),
    )
    op.create_table(
        "announcements_seen",
        _text("announcement_id", sa.ForeignKey("announcements.id"), primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id"), primary_key=True),
        _created(),
    )
    op.create_table(
        "announcements_ended",
        _text("announcement_id", sa.ForeignKey("announcements.id"), primary_key=True),
        _text("staff_id"),
        _created(),
    )


def _wellbeing_without_order() -> None:
    """SQLite numbers the rows of a table in their order, unless its key is the table: then the order is the hash's."""
    op.execute(
        "CREATE TABLE wellbeing_anew (key TEXT NOT NULL, respondent TEXT NOT NULL, week TEXT NOT NULL, "
        "answer INTEGER NOT NULL, CONSTRAINT pk_wellbeing PRIMARY KEY (key), "
        "CONSTRAINT ck_wellbeing_answer CHECK (answer BETWEEN 1 AND 5)) WITHOUT ROWID"
    )
    op.execute("INSERT INTO wellbeing_anew SELECT key, respondent, week, answer FROM wellbeing ORDER BY key")
    op.execute("DROP TABLE wellbeing")  # and its triggers with it
    op.execute("ALTER TABLE wellbeing_anew RENAME TO wellbeing")


def _sqlite_triggers() -> None:
    def refuse(table: str, change: str) -> None:
        op.execute(
            f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )

    for table in (*APPEND_ONLY, "wellbeing"):
        refuse(table, "UPDATE")
        refuse(table, "DELETE")
    refuse("letters", "DELETE")
    refuse("erasures", "DELETE")
    keep_on_sqlite("erasures", _cleaned("IS"))
    for one in ERASABLE:
        let_go(one)


def _postgres_triggers() -> None:
    for table in APPEND_ONLY:
        for change, scope in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            _refuse_on_postgres(table, change, scope)
    for table in ("letters", "erasures"):
        for change, scope in (("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            _refuse_on_postgres(table, change, scope)
    keep_on_postgres("erasures", _cleaned("IS NOT DISTINCT FROM"))
    for one in ERASABLE:
        let_go(one)


def _refuse_on_postgres(table: str, change: str, scope: str) -> None:
    op.execute(
        f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
        f"FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
    )


def _cleaned(same: str) -> str:
    rest = ("worker_id", "replies", "staff_id", "created")
    return "OLD.cleaned IS NULL AND " + " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in rest)
