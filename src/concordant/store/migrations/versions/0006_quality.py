"""Quality: conversations drawn for review, verdicts, the select list and exclusions, second opinions."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

APPEND_ONLY = ("review_draws", "verdicts", "standings", "second_opinions")


def upgrade() -> None:
    _reviews()
    _standings()
    _opinions()
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table in APPEND_ONLY:
        for change, scope in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            name = f"keep_{table}_{change.lower()}"
            if not sqlite:
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} FOR EACH {scope} "
                    "EXECUTE FUNCTION refuse_change()"
                )
            elif change != "TRUNCATE":
                op.execute(
                    f"CREATE TRIGGER {name} BEFORE {change} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )


def _text(name: str, *keys: sa.ForeignKey, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), *keys, nullable=nullable, primary_key=primary_key)


def _created() -> sa.Column[object]:
    return sa.Column("created", Instant(), nullable=False)


def _reviews() -> None:
    op.create_table(
        "review_draws",
        _text("talk_id", sa.ForeignKey("talks.id"), primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id")),
        sa.Column("number", sa.Integer()),
        sa.Column("pace", sa.Double()),
        sa.Column("fast", sa.Boolean(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("drawn", sa.Boolean(), nullable=False),
        sa.Column("twice", sa.Boolean(), nullable=False),
        _created(),
        sa.CheckConstraint("share BETWEEN 0 AND 1", name="ck_review_draws_share"),
        sa.UniqueConstraint("worker_id", "number", name="uq_review_draws_worker_id_number"),
    )
    op.create_index("ix_review_draws_drawn", "review_draws", ["drawn"])
    op.create_table(
        "review_claims",
        _text("talk_id", sa.ForeignKey("talks.id"), primary_key=True),
        sa.Column("place", sa.Integer(), primary_key=True, autoincrement=False),
        _text("staff_id"),
        sa.Column("until", Instant(), nullable=False),
        sa.CheckConstraint("place IN (1, 2)", name="ck_review_claims_place"),
    )
    op.create_table(
        "verdicts",
        _text("id", primary_key=True),
        _text("talk_id", sa.ForeignKey("talks.id")),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("staff_id"),
        sa.Column("verdict", sa.Integer()),
        sa.Column("note", Words(), nullable=False),
        sa.Column("key", Words(), nullable=False),
        _created(),
        sa.CheckConstraint("place IN (1, 2)", name="ck_verdicts_place"),
        sa.CheckConstraint("verdict BETWEEN 1 AND 5", name="ck_verdicts_verdict"),
        sa.UniqueConstraint("talk_id", "place", "number", name="uq_verdicts_talk_id_place_number"),
        sa.UniqueConstraint("talk_id", "key", name="uq_verdicts_talk_id_key"),
    )


def _standings() -> None:
    op.create_table(
        "standings",
        _text("id", primary_key=True),
        _text("worker_id", sa.ForeignKey("workers.id")),
        _text("kind"),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("since", Instant()),
        sa.Column("reason", Words(), nullable=False),
        _text("staff_id"),
        _created(),
        sa.CheckConstraint("kind IN ('select', 'exclusion')", name="ck_standings_kind"),
        sa.UniqueConstraint("worker_id", "kind", "number", name="uq_standings_worker_id_kind_number"),
    )


def _opinions() -> None:
    op.create_table(
        "second_looks",
        _text("comparison_id", sa.ForeignKey("comparisons.id"), primary_key=True),
        _text("maker_id", sa.ForeignKey("workers.id")),
        _text("objective"),
        _text("holder_id", sa.ForeignKey("workers.id"), nullable=True),
        sa.Column("swap", sa.Boolean()),
        sa.Column("until", Instant()),
        _created(),
    )
    op.create_table(
        "second_opinions",
        _text("id", primary_key=True),
        _text("comparison_id", sa.ForeignKey("comparisons.id")),
        _text("worker_id", sa.ForeignKey("workers.id")),
        _text("sitting_id", sa.ForeignKey("sittings.id"), nullable=True),
        sa.Column("swap", sa.Boolean(), nullable=False),
        sa.Column("button", sa.Integer()),
        _created(),
        sa.CheckConstraint("button BETWEEN 1 AND 8", name="ck_second_opinions_button"),
        sa.UniqueConstraint("comparison_id", "worker_id", name="uq_second_opinions_comparison_id_worker_id"),
    )
    answered = sa.text("button IS NOT NULL")
    op.create_index(
        "uq_second_opinions_answered",
        "second_opinions",
        ["comparison_id"],
        unique=True,
        sqlite_where=answered,
        postgresql_where=answered,
    )
    op.create_index("ix_second_opinions_sitting_id", "second_opinions", ["sitting_id"])
