"""Indices for the researcher's pages: new choices since the last look, and who wrote which reply."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_choices_created", "choices", ["created"])
    op.create_index("ix_replies_comparison_id_place_snapshot_id", "replies", ["comparison_id", "place", "snapshot_id"])
