"""What staff did."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("staff_id", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("about", Words(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
    )
    op.create_index("ix_audit_created", "audit", ["created"])
    op.create_index("ix_audit_about", "audit", ["about"])
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER keep_audit_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END"
            )
        return
    for change, scope in (("UPDATE", "ROW"), ("DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
        op.execute(
            f"CREATE TRIGGER keep_audit_{change.lower()} BEFORE {change} ON audit "
            f"FOR EACH {scope} EXECUTE FUNCTION refuse_change()"
        )
