"""How each deployment has done: replies, failures, what it has still to write, and how long its replies take.

A reply belongs to the deployment of its snapshot that stood when it was asked for, in talks of its objective. Left out:
what people thought of the replies (``live_board.py``).
"""

from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from sqlalchemy import and_, func, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

from concordant.store.database import Database
from concordant.store.deployment_tables import FailureRow, GivenRow, WrittenRow
from concordant.store.registry import Deployment
from concordant.store.tables import ComparisonRow, MessageRow, ReplyRow, TalkRow

TIMED = 500
"""The median is over so many of the newest replies."""


@dataclass(frozen=True, slots=True)
class DeploymentCounts:
    """One deployment's figures.

    Attributes:
        replies: that are complete.
        failures: how often a reply could not be written, retries included.
        waiting: queued or being written.
        seconds: median from the worker's message to the complete reply, waiting included; None: none is complete.
        timed: over how many replies.
        reason: of the newest failure, or "".
        given: talks that began with one of its prompts (people's written replies).
    """

    replies: int
    failures: int
    waiting: int
    seconds: float | None
    timed: int
    reason: str
    given: int


def counts_of(db: Database, deployments: list[Deployment]) -> dict[str, DeploymentCounts]:
    """Figures by deployment id."""
    with db.read() as session:
        return {one.id: _counts(session, one) for one in deployments}


def _counts(session: Session, of: Deployment) -> DeploymentCounts:
    mine, failures = _stood(of, ReplyRow.snapshot_id, ReplyRow.created), _failures(of)
    statuses: dict[str, int] = dict(
        session.execute(
            _of_talks(select(ReplyRow.status, func.count()).select_from(ReplyRow), of)
            .where(mine)
            .group_by(ReplyRow.status)
        ).all()
    )
    times = session.execute(
        _of_talks(select(ReplyRow.created, ReplyRow.done).select_from(ReplyRow), of)
        .where(mine, ReplyRow.status == "done")
        .order_by(ReplyRow.created.desc())
        .limit(TIMED)
    ).all()
    seconds = [(done - created).total_seconds() for created, done in times]
    return DeploymentCounts(
        replies=statuses.get("done", 0),
        failures=session.execute(failures.with_only_columns(func.count())).scalar_one(),
        waiting=statuses.get("queued", 0) + statuses.get("writing", 0),
        seconds=round(median(seconds), 1) if seconds else None,
        timed=len(seconds),
        reason=session.scalar(failures.order_by(FailureRow.created.desc()).limit(1)) or "",
        given=session.execute(
            select(func.count())
            .select_from(GivenRow)
            .join(WrittenRow, WrittenRow.id == GivenRow.written_id)
            .where(_stood(of, WrittenRow.snapshot_id, GivenRow.created))
        ).scalar_one(),
    )


def _failures(of: Deployment) -> Any:
    reasons = select(FailureRow.reason).select_from(FailureRow).join(ReplyRow, ReplyRow.id == FailureRow.reply_id)
    return _of_talks(reasons, of).where(_stood(of, FailureRow.snapshot_id, FailureRow.created))


def _of_talks(statement: Any, of: Deployment) -> Any:
    """Only replies of talks that the deployment is for."""
    if of.objective is None:
        return statement
    return (
        statement.join(ComparisonRow, ComparisonRow.id == ReplyRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .where(TalkRow.objective == of.objective.value)
    )


def _stood(of: Deployment, snapshot: InstrumentedAttribute[str], when: InstrumentedAttribute[datetime]) -> Any:
    """SQL: it is the deployment's snapshot, and the deployment stood then."""
    until = true() if of.retired is None else when < of.retired
    return and_(snapshot == of.snapshot.id, true() if of.created is None else when >= of.created, until)
