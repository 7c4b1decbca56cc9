"""Deployments with a state, two more kinds of snapshots, failures, written replies, API keys and requests."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

APPEND_ONLY = ("reply_failures", "written_replies", "given_openings")
KINDS_BEFORE = "kind IN ('model', 'best_of_k')"
KINDS = "kind IN ('model', 'best_of_k', 'endpoint', 'written')"


def upgrade() -> None:
    # Written out, because Alembic cannot add a column with a check to a table of SQLite.
    op.execute(
        "ALTER TABLE deployments ADD COLUMN state TEXT NOT NULL DEFAULT 'live' "
        "CONSTRAINT ck_deployments_state CHECK (state IN ('live', 'draining', 'stopped'))"
    )
    op.create_index("ix_replies_snapshot_id", "replies", ["snapshot_id", "created"])
    _failures_and_people()
    _api()
    if op.get_bind().dialect.name == "sqlite":
        _sqlite()
    else:
        _postgres()


def _text(name: str, *keys: sa.ForeignKey, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *keys, nullable=nullable, primary_key=primary_key)


def _moment(name: str, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, Instant(), nullable=nullable)


def _failures_and_people() -> None:
    op.create_table(
        "reply_failures",
        _text("id", primary_key=True),
        _text("reply_id", sa.ForeignKey("replies.id")),
        _text("snapshot_id", sa.ForeignKey("snapshots.id")),
        sa.Column("reason", Words(), nullable=False),
        _moment("created"),
    )
    op.create_index("ix_reply_failures_snapshot_id", "reply_failures", ["snapshot_id", "created"])
    op.create_table(
        "written_replies",
        _text("id", primary_key=True),
        _text("snapshot_id", sa.ForeignKey("snapshots.id")),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("prompt", Words(), nullable=False),
        sa.Column("reply", Words(), nullable=False),
        sa.Column("writer", Words(), nullable=False),
        sa.UniqueConstraint("snapshot_id", "row", name="uq_written_replies_snapshot_id_row"),
    )
    op.create_table(
        "given_openings",
        _text("talk_id", sa.ForeignKey("talks.id"), primary_key=True),
        _text("written_id", sa.ForeignKey("written_replies.id")),
        _moment("created"),
    )
    op.create_index("ix_given_openings_written_id", "given_openings", ["written_id"])


def _api() -> None:
    op.create_table(
        "api_keys",
        _text("id", primary_key=True),
        sa.Column("name", Words(), nullable=False),
        _text("key_hash"),
        sa.Column("snapshots", sa.JSON()),
        _moment("created"),
        _moment("expires", nullable=True),
        _moment("revoked", nullable=True),
        _moment("last_used", nullable=True),
        sa.UniqueConstraint("name", name="uq_api_keys_name"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )
    op.create_table(
        "api_requests",
        _text("id", primary_key=True),
        _text("key_id", sa.ForeignKey("api_keys.id")),
        _text("snapshot_id", sa.ForeignKey("snapshots.id")),
        _text("status"),
        sa.Column("prompt", sa.JSON()),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("texts", sa.JSON()),
        sa.Column("finished", sa.JSON()),
        sa.Column("prompt_tokens", sa.Integer()),
        sa.Column("completion_tokens", sa.Integer()),
        sa.Column("error", Words()),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("owner", nullable=True),
        _moment("lease_until", nullable=True),
        _moment("seen"),
        _moment("created"),
        _moment("done", nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'writing', 'done', 'failed', 'refused', 'cancelled')", name="ck_api_requests_status"
        ),
    )
    op.create_index("ix_api_requests_status", "api_requests", ["status", "created"])
    op.create_index("ix_api_requests_kept", "api_requests", ["kept", "seen"])
    op.create_index("ix_api_requests_key_id", "api_requests", ["key_id", "created"])


def _sqlite() -> None:
    # SQLite cannot alter a check. To make the table anew would break every row that refers to it, so the check's own
    # words are exchanged, as https://sqlite.org/lang_altertable.html (section 7) describes; no row changes its form.
    version = op.get_bind().exec_driver_sql("PRAGMA schema_version").scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    before, now = (words.replace("'", "''") for words in (KINDS_BEFORE, KINDS))
    op.execute(
        f"UPDATE sqlite_master SET sql = replace(sql, '{before}', '{now}') WHERE type = 'table' AND name = 'snapshots'"
    )
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _postgres() -> None:
    op.drop_constraint("ck_snapshots_kind", "snapshots")
    op.create_check_constraint(sa.schema.conv("ck_snapshots_kind"), "snapshots", KINDS)
    for table in APPEND_ONLY:
        for change, scope in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER keep_{table}_{change.lower()} BEFORE {change} ON {table} "
                f"FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
            )
