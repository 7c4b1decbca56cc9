"""The first tables, and the triggers that keep people's words and choices append-only."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = ("messages", "comparisons", "choices", "imports", "imported_preferences", "datasets")
KEPT_WHEN = {"replies": "OLD.status = 'done'", "talks": "OLD.ended IS NOT NULL"}
"""Tables whose rows move until a condition holds, and then never again; they too are never deleted."""


def upgrade() -> None:
    _people_and_models()
    _talks()
    _imports_and_datasets()
    _journal()
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgres_triggers()


def _id() -> sa.Column[str]:
    return sa.Column("id", sa.Text(), primary_key=True)


def _created() -> sa.Column[object]:
    return sa.Column("created", Instant(), nullable=False)


def _text(name: str, *keys: sa.ForeignKey, nullable: bool = False, unique: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *keys, nullable=nullable, unique=unique)


def _people_and_models() -> None:
    op.create_table(
        "workers",
        _id(),
        sa.Column("name", Words(), nullable=False),
        _text("kind"),
        _text("token_hash"),
        _created(),
        sa.UniqueConstraint("token_hash", name="uq_workers_token_hash"),
        sa.CheckConstraint("kind IN ('person', 'scripted', 'simulated')", name="ck_workers_kind"),
    )
    op.create_table("staff_tokens", sa.Column("token_hash", sa.Text(), primary_key=True), _created())
    op.create_table(
        "snapshots",
        _id(),
        _text("label"),
        _text("kind"),
        sa.Column("spec", sa.JSON(), nullable=False),
        _text("run", nullable=True),
        sa.Column("parents", sa.JSON(), nullable=False),
        _created(),
        sa.UniqueConstraint("label", name="uq_snapshots_label"),
        sa.CheckConstraint("kind IN ('model', 'best_of_k')", name="ck_snapshots_kind"),
    )
    op.create_table(
        "deployments",
        _id(),
        _text("snapshot_id", sa.ForeignKey("snapshots.id")),
        sa.Column("weight", sa.Double(), nullable=False),
        _text("objective", nullable=True),
        _created(),
        sa.Column("retired", Instant()),
        sa.CheckConstraint("weight > 0", name="ck_deployments_weight"),
    )
    op.create_table(
        "runs",
        sa.Column("name", sa.Text(), primary_key=True),
        _text("kind"),
        _text("path"),
        sa.Column("parents", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        _created(),
    )


def _talks() -> None:
    op.create_table(
        "talks",
        _id(),
        _text("worker_id", sa.ForeignKey("workers.id")),
        _text("objective"),
        _text("study"),
        sa.Column("turns", sa.Integer(), nullable=False),
        _created(),
        sa.Column("ended", Instant()),
        sa.Column("rating", sa.Integer()),
        sa.Column("comment", Words()),
        sa.CheckConstraint("objective IN ('helpful', 'harmless')", name="ck_talks_objective"),
        sa.CheckConstraint("turns > 0", name="ck_talks_turns"),
    )
    is_open = sa.text("ended IS NULL")
    op.create_index(
        "uq_talks_open_worker", "talks", ["worker_id"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ix_talks_created", "talks", ["created", "id"])
    op.create_table(
        "messages",
        _id(),
        _text("talk_id", sa.ForeignKey("talks.id")),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("text", Words(), nullable=False),
        sa.Column("key", Words(), nullable=False),
        _created(),
        sa.UniqueConstraint("talk_id", "turn", name="uq_messages_talk_id_turn"),
        sa.UniqueConstraint("talk_id", "key", name="uq_messages_talk_id_key"),
    )
    op.create_table(
        "comparisons",
        _id(),
        _text("message_id", sa.ForeignKey("messages.id")),
        sa.Column("swap", sa.Boolean(), nullable=False),
        _created(),
        sa.UniqueConstraint("message_id", name="uq_comparisons_message_id"),
    )
    _replies()
    op.create_table(
        "choices",
        _id(),
        _text("comparison_id", sa.ForeignKey("comparisons.id")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("button", sa.Integer(), nullable=False),
        sa.Column("key", Words(), nullable=False),
        _created(),
        sa.UniqueConstraint("comparison_id", "number", name="uq_choices_comparison_id_number"),
        sa.UniqueConstraint("comparison_id", "key", name="uq_choices_comparison_id_key"),
        sa.CheckConstraint("button BETWEEN 1 AND 8", name="ck_choices_button"),
    )


def _replies() -> None:
    op.create_table(
        "replies",
        _id(),
        _text("comparison_id", sa.ForeignKey("comparisons.id")),
        sa.Column("place", sa.Integer(), nullable=False),
        _text("snapshot_id", sa.ForeignKey("snapshots.id")),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        _text("status"),
        sa.Column("text", Words(), nullable=False),
        sa.Column("error", Words()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("owner", nullable=True),
        sa.Column("lease_seconds", sa.Double()),
        sa.Column("lease_until", Instant()),
        sa.Column("finished", sa.Boolean()),
        sa.Column("tokens", sa.Integer()),
        sa.Column("score", sa.Double()),
        _created(),
        sa.Column("done", Instant()),
        sa.UniqueConstraint("comparison_id", "place", name="uq_replies_comparison_id_place"),
        sa.CheckConstraint("place IN (0, 1)", name="ck_replies_place"),
        sa.CheckConstraint("status IN ('queued', 'writing', 'done', 'failed')", name="ck_replies_status"),
    )
    op.create_index("ix_replies_status", "replies", ["status", "created", "place", "id"])


def _imports_and_datasets() -> None:
    op.create_table(
        "imports",
        _id(),
        sa.Column("name", Words(), nullable=False),
        _text("digest"),
        _text("objective"),
        _text("tranche"),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.JSON(), nullable=False),
        _created(),
        sa.UniqueConstraint("digest", name="uq_imports_digest"),
    )
    op.create_table(
        "imported_preferences",
        _id(),
        _text("import_id", sa.ForeignKey("imports.id")),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("reply_a", Words(), nullable=False),
        sa.Column("reply_b", Words(), nullable=False),
        _text("preferred"),
        _text("worker_kind", nullable=True),
        sa.UniqueConstraint("import_id", "row", name="uq_imported_preferences_import_id_row"),
    )
    op.create_table(
        "datasets",
        sa.Column("name", sa.Text(), primary_key=True),
        _text("digest"),
        _text("path"),
        sa.Column("filter", sa.JSON(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        _created(),
    )


def _journal() -> None:
    op.create_table(
        "steps",
        sa.Column("iteration", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON()),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("started", Instant(), nullable=False),
        sa.Column("finished", Instant()),
    )
    op.create_table(
        "leases",
        sa.Column("iteration", sa.Integer(), primary_key=True, autoincrement=False),
        _text("owner"),
        _text("host"),
        sa.Column("process", sa.Integer(), nullable=False),
        sa.Column("heartbeat", Instant(), nullable=False),
    )


def _sqlite_triggers() -> None:
    def refuse(table: str, change: str, condition: str = "") -> None:
        when = f"WHEN {condition} " if condition else ""
        op.execute(
            f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} {when}"
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )

    for table in APPEND_ONLY:
        refuse(table, "UPDATE")
        refuse(table, "DELETE")
    for table, condition in KEPT_WHEN.items():
        refuse(table, "UPDATE", condition)
        refuse(table, "DELETE")


def _postgres_triggers() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in (*APPEND_ONLY, *KEPT_WHEN):
        condition = f"WHEN ({KEPT_WHEN[table]})" if table in KEPT_WHEN else ""
        for change, scope in (("UPDATE", f"ROW {condition}"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
                f"FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
            )
