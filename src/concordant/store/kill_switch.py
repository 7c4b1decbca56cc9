"""Stopping a deployment at once: what is not yet written of it goes to another deployment, or fails and can be retried.

Nobody loses text: the worker's message stays, and what was complete before stays too, because people may be reading it.
A message that was on its way when the switch was pressed, and a retry after it, meet ``rescue``, which the generator
asks before it takes anything from the queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.deployment_tables import FailureRow
from concordant.store.registry import Deployment, State, deployments_in, label_of, standing_row
from concordant.store.tables import ComparisonRow, DeploymentRow, MessageRow, ReplyRow, TalkRow

STOPPED = "its deployment was stopped"
FAILED = "This reply could not be written. The reason is in the generator's log."
"""What a worker may read of any failure: the same whatever happened."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A reply that its snapshot may not write any more.

    Attributes:
        objective: of the talk.
        other: id of who writes, or wrote, the other reply of the pair; it may just have been drawn anew itself.
        same: whether one snapshot was to write both replies of the pair.
    """

    objective: Objective
    other: str
    same: bool


Redraw = Callable[[Sequence[Deployment], Orphan], str | None]
"""Given what is live, the id of the snapshot that writes the reply instead; None: there is none."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of the replies that waited: how many go to another deployment, how many failed."""

    redrawn: int
    failed: int


def stop(db: Database, deployment_id: str, redraw: Redraw, by: str = COMMAND_LINE) -> Rescued:
    """Stop a deployment at once. Stopping it twice changes nothing.

    Raises:
        UserError: there is no such deployment, or it was retired.
    """
    with db.write_alone() as session:
        row = standing_row(session, deployment_id)
        again = row.state == State.STOPPED
        row.state = State.STOPPED.value
        session.flush()
        rescued = _rescue(session, redraw)
        if not again:
            detail = {"snapshot": label_of(session, row), "redrawn": rescued.redrawn, "failed": rescued.failed}
            note(session, by, "deployment stopped", row.id, **detail)
    return rescued


def rescue(db: Database, redraw: Redraw) -> Rescued:
    """Take from stopped deployments what came to them since; cheap where none is stopped."""
    with db.read() as session:
        if not _orphans(session, lock=False):
            return Rescued(0, 0)
    with db.write_alone() as session:
        return _rescue(session, redraw)


def blocked_replies(session: Session) -> set[str]:
    """Ids of the replies that nobody may write now, because their snapshot was stopped."""
    return {one.reply.id for one in _orphans(session, lock=False) if one.reply.status != "failed"}


def blocked(session: Session) -> set[tuple[str, Objective]]:
    """(snapshot id, objective) of all that were stopped and not deployed again since.

    A stopped deployment blocks even when it is retired afterwards, until the snapshot is deployed for that work anew.
    """
    stopped = select(DeploymentRow.snapshot_id).where(DeploymentRow.state == State.STOPPED.value)
    rows = session.scalars(
        select(DeploymentRow)
        .where(DeploymentRow.snapshot_id.in_(stopped))
        .order_by(DeploymentRow.created, DeploymentRow.id)
    )
    newest: dict[tuple[str, Objective], str] = {}
    covered: set[tuple[str, Objective]] = set()
    for row in rows:
        for objective in Objective if row.objective is None else (Objective(row.objective),):
            newest[row.snapshot_id, objective] = row.state
            if row.retired is None and row.state != State.STOPPED:
                covered.add((row.snapshot_id, objective))
    return {key for key, state in newest.items() if state == State.STOPPED} - covered


@dataclass(frozen=True, slots=True)
class _Found:
    """An orphan with its row and that of the other reply."""

    reply: ReplyRow
    other: ReplyRow
    objective: Objective


def _rescue(session: Session, redraw: Redraw) -> Rescued:
    live = [one for one in deployments_in(session) if one.state is State.LIVE]
    found = _orphans(session, lock=True)
    same = {one.reply.id: one.reply.snapshot_id == one.other.snapshot_id for one in found}
    redrawn = failed = 0
    for one in found:
        reply = one.reply
        new = redraw(live, Orphan(one.objective, one.other.snapshot_id, same[reply.id]))
        session.add(FailureRow(reply_id=reply.id, snapshot_id=reply.snapshot_id, reason=STOPPED))
        waits = reply.status != "failed"  # a failed one keeps waiting for the worker's retry
        reply.text, reply.owner, reply.lease_until, reply.attempt = "", None, None, 0
        if new is None:
            reply.status, reply.error = "failed", FAILED
            failed += 1
        else:
            reply.snapshot_id, reply.status = new, "queued" if waits else "failed"
            redrawn += 1
    return Rescued(redrawn, failed)


def _orphans(session: Session, lock: bool) -> list[_Found]:
    """Replies of open talks that are not written, and whose snapshot is blocked.

    Failed ones are among them only where something is live that could take them, so that a retry is not in vain.
    """
    closed = blocked(session)
    if not closed:
        return []
    deployed = deployments_in(session)
    live = {work for work in Objective if any(one.answers(work) for one in deployed if one.state is State.LIVE)}
    other = aliased(ReplyRow)
    statement = (
        select(ReplyRow, other, TalkRow.objective)
        .join(ComparisonRow, ComparisonRow.id == ReplyRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .join(other, (other.comparison_id == ReplyRow.comparison_id) & (other.place != ReplyRow.place))
        .where(
            ReplyRow.snapshot_id.in_({snapshot for snapshot, _ in closed}),
            ReplyRow.status.in_(["queued", "writing", "failed"]),
            TalkRow.ended.is_(None),
        )
        .order_by(ReplyRow.id)
    )
    rows = session.execute(statement.with_for_update(of=ReplyRow) if lock else statement)
    found = [_Found(reply, beside, Objective(objective)) for reply, beside, objective in rows]
    return [
        one
        for one in found
        if (one.reply.snapshot_id, one.objective) in closed and (one.reply.status != "failed" or one.objective in live)
    ]
