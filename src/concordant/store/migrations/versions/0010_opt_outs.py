"""Topics that workers would rather not meet in red-team work."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "opt_outs",
        sa.Column("id", sa.Text(), primary_key=True, nullable=False),
        sa.Column("worker_id", sa.Text(), sa.ForeignKey("workers.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("topics", sa.JSON(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.UniqueConstraint("worker_id", "number", name="uq_opt_outs_worker_id_number"),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for change, scope in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        name = f"keep_opt_outs_{change.lower()}"
        if not sqlite:
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON opt_outs FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
            )
        elif change != "TRUNCATE":
            op.execute(
                f"CREATE TRIGGER {name} BEFORE {change} ON opt_outs "
                "BEGIN SELECT RAISE(ABORT, 'opt_outs is append-only'); END"
            )
