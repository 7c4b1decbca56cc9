"""Accounts for staff, their sessions and one-time links. The permanent secrets of researchers' links end."""

import sqlalchemy as sa
from alembic import op

from concordant.store.tables import Instant, Words

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("staff_tokens")
    op.create_table(
        "staff",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", Words(), nullable=False),
        sa.Column("login", Words(), nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("sign_on", Words()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.UniqueConstraint("login", name="uq_staff_login"),
        sa.UniqueConstraint("sign_on", name="uq_staff_sign_on"),
        sa.CheckConstraint("role IN ('researcher', 'reviewer')", name="ck_staff_role"),
    )
    op.create_table(
        "staff_sessions",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("staff_id", sa.Text(), sa.ForeignKey("staff.id"), nullable=False),
        sa.Column("agent", Words(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("last_used", Instant(), nullable=False),
        sa.Column("expires", Instant(), nullable=False),
        sa.Column("revoked", Instant()),
        sa.UniqueConstraint("token_hash", name="uq_staff_sessions_token_hash"),
    )
    op.create_index("ix_staff_sessions_staff_id", "staff_sessions", ["staff_id"])
    op.create_table(
        "staff_links",
        sa.Column("token_hash", sa.Text(), primary_key=True),
        sa.Column("staff_id", sa.Text(), sa.ForeignKey("staff.id"), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created", Instant(), nullable=False),
        sa.Column("expires", Instant(), nullable=False),
        sa.Column("used", Instant()),
        sa.CheckConstraint("purpose IN ('sign-in', 'password')", name="ck_staff_links_purpose"),
    )
    op.create_index("ix_staff_links_staff_id", "staff_links", ["staff_id"])
