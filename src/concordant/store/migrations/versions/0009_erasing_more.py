"""Erasure reaches reviewers' notes and the reasons of failed replies, and a second one is recorded like the first."""

from alembic import op

from concordant.store.migrations.erasable import (
    MARKER,
    OF_REPLY,
    OF_TALK,
    Erasable,
    keep_on_postgres,
    keep_on_sqlite,
    let_go,
)

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    let_go(Erasable("verdicts", OF_TALK, {"note": MARKER}))
    let_go(Erasable("reply_failures", OF_REPLY, {"reason": MARKER}))
    sqlite = op.get_bind().dialect.name == "sqlite"
    same = "IS" if sqlite else "IS NOT DISTINCT FROM"
    stays = " AND ".join(f"NEW.{name} {same} OLD.{name}" for name in ("worker_id", "staff_id", "created"))
    # What was erased stays so; more of it may follow, and then the files are cleaned again.
    allowed = f"{stays} AND (NEW.replies {same} OLD.replies OR NEW.replies)"
    op.execute("DROP TRIGGER keep_erasures_update" + ("" if sqlite else " ON erasures"))
    (keep_on_sqlite if sqlite else keep_on_postgres)("erasures", allowed)
    op.execute("UPDATE erasures SET cleaned = NULL")  # there is more to erase of those who were erased before
