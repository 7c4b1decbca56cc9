"""A worker's day: consent, panels, sittings, how people feel, the three red-team ratings, edited replies."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("consent_texts", "consents", "participants", "wellbeing", "edits")
KEPT_WHEN = {"sittings": "OLD.ended IS NOT NULL"}


def upgrade() -> None:
    _people()
    _sittings()
    _edits()
    # Written out, because Alembic cannot add a column with a reference to a table of SQLite.
    op.execute("ALTER TABLE talks ADD COLUMN sitting_id TEXT CONSTRAINT fk_talks_sitting_id REFERENCES sittings(id)")
    op.add_column("talks", sa.Column("harm", sa.Integer()))
    op.add_column("talks", sa.Column("actionability", sa.Integer()))
    op.create_index("ix_talks_worker_id_created", "talks", ["worker_id", "created"])
    op.create_index("ix_talks_sitting_id", "talks", ["sitting_id"])
    op.add_column("workers", sa.Column("may_edit", sa.Boolean(), nullable=False, server_default=sa.false()))
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgres_triggers()


def _text(name: str, *keys: sa.ForeignKey, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *keys, nullable=nullable, primary_key=primary_key)


def _created() -> sa.Column[object]:
    return sa.Column("created", Instant(), nullable=False)


def _people() -> None:
    op.create_table(
        "consent_texts",
        _text("digest", primary_key=True),
        sa.Column("text", Words(), nullable=False),
        _created(),
    )
    op.create_table(
        "consents",
        _text("id", primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id")),
        _text("digest", sa.ForeignKey("consent_texts.digest")),
        _created(),
        sa.UniqueConstraint("worker_id", "digest", name="uq_consents_worker_id_digest"),
    )
    op.create_table(
        "participants",
        _text("worker_id", sa.ForeignKey("workers.id"), primary_key=True),
        sa.Column("panel", Words(), nullable=False),
        sa.Column("participant", Words(), nullable=False),
        _created(),
        sa.UniqueConstraint("panel", "participant", name="uq_participants_panel_participant"),
    )
    op.create_table(
        "worker_tokens",
        _text("token_hash", primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id")),
        _created(),
    )
    op.create_table(
        "wellbeing",
        _text("key", primary_key=True),
        _text("respondent"),
        _text("week"),
        sa.Column("answer", sa.Integer(), nullable=False),
        sa.CheckConstraint("answer BETWEEN 1 AND 5", name="ck_wellbeing_answer"),
    )


def _sittings() -> None:
    op.create_table(
        "sittings",
        _text("id", primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id")),
        sa.Column("panel", Words()),
        sa.Column("panel_study", Words()),
        sa.Column("panel_session", Words()),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("everyday", sa.Boolean(), nullable=False),
        sa.Column("code", Words(), nullable=False),
        sa.Column("part_code", Words(), nullable=False),
        _created(),
        sa.Column("ended", Instant()),
        _text("outcome", nullable=True),
        sa.UniqueConstraint("worker_id", "panel_session", name="uq_sittings_worker_id_panel_session"),
        sa.CheckConstraint("tasks > 0", name="ck_sittings_tasks"),
        sa.CheckConstraint(
            "outcome IN ('completed', 'left', 'broken', 'declined', 'abandoned')", name="ck_sittings_outcome"
        ),
        sa.CheckConstraint("(outcome IS NULL) = (ended IS NULL)", name="ck_sittings_ended"),
    )
    is_open = sa.text("ended IS NULL")
    op.create_index(
        "uq_sittings_open_worker",
        "sittings",
        ["worker_id"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )


def _edits() -> None:
    op.create_table(
        "edits",
        _text("id", primary_key=True),
        _text("comparison_id", sa.ForeignKey("comparisons.id")),
        _text("reply_id", sa.ForeignKey("replies.id")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", Words(), nullable=False),
        sa.Column("key", Words(), nullable=False),
        _created(),
        sa.UniqueConstraint("comparison_id", "number", name="uq_edits_comparison_id_number"),
        sa.UniqueConstraint("comparison_id", "key", name="uq_edits_comparison_id_key"),
    )


def _sqlite_triggers() -> None:
    for table in (*APPEND_ONLY, *KEPT_WHEN):
        when = f"WHEN {KEPT_WHEN[table]} " if table in KEPT_WHEN else ""
        for change, condition in (("UPDATE", when), ("DELETE", "")):
            op.execute(
                f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} {condition}"
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _postgres_triggers() -> None:
    for table in (*APPEND_ONLY, *KEPT_WHEN):
        when = f"WHEN ({KEPT_WHEN[table]})" if table in KEPT_WHEN else ""
        for change, scope in (("UPDATE", f"ROW {when}"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
                f"FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
            )
