"""Replies waiting to be written: claimed under a lease, streamed into their rows, finished or failed.

A writer that dies loses its lease, and another goes on; what it writes after that is ignored. So a reply is done once,
by whoever holds it. Leases are measured by the clock of the claiming process, so writers on several machines need
clocks that agree to well within a lease.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from concordant.conversation import Conversation
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.deployment_tables import FailureRow
from concordant.store.kill_switch import blocked_replies
from concordant.store.registry import SnapshotKind
from concordant.store.reply_locks import locked_replies
from concordant.store.tables import ComparisonRow, MessageRow, ReplyRow, SnapshotRow, utc_now
from concordant.store.transcripts import exchanges, prompt_of

MOST_ATTEMPTS = 5
"""A reply whose writer died this often is given up, lest it takes down every writer in turn."""


@dataclass(frozen=True, slots=True)
class ReplyJob:
    """A reply to be written. ``attempt`` counts from 1."""

    reply_id: str
    prompt: Conversation
    snapshot_id: str
    seed: int
    attempt: int


Kinds = Collection[SnapshotKind] | None
"""Whose replies are meant: those of snapshots of these kinds; None: of all."""


def claim(db: Database, owner: str, limit: int, lease_seconds: float, kinds: Kinds = None) -> list[ReplyJob]:
    """Take up to ``limit`` waiting replies, the longest waiting first; those with an expired lease wait too.

    Those of stopped deployments are left where they are (``kill_switch.rescue`` takes care of them).

    Args:
        db: the store.
        owner: who writes them; unique to one writer.
        limit: most replies to take.
        lease_seconds: how long they stay the owner's; each ``write_text`` begins the lease anew.
        kinds: of the snapshots.
    """
    now = utc_now()
    with db.write() as session:
        _give_up(session, now)
        chosen = list(
            session.scalars(
                select(ReplyRow)
                .where(_waiting(now, kinds), ReplyRow.id.not_in(blocked_replies(session)))
                .order_by(ReplyRow.created, ReplyRow.place, ReplyRow.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
        )
        for reply in chosen:
            reply.status, reply.owner, reply.attempt = "writing", owner, reply.attempt + 1
            reply.lease_seconds, reply.lease_until = lease_seconds, now + timedelta(seconds=lease_seconds)
        session.flush()
        prompts = _prompts(session, {reply.comparison_id for reply in chosen})
        return [
            ReplyJob(reply.id, prompts[reply.comparison_id], reply.snapshot_id, reply.seed, reply.attempt)
            for reply in chosen
        ]


def write_text(db: Database, reply_id: str, owner: str, text: str) -> None:
    """Show the whole text so far, and begin the lease anew. Ignored if the lease was lost."""
    write_texts(db, owner, {reply_id: text})


def write_texts(db: Database, owner: str, texts: Mapping[str, str]) -> set[str]:
    """``write_text`` for several replies (id → whole text so far) in one transaction; returns the ids still held.

    Readers never see a text shrink: where a second writer starts over, the first one's longer text stays until it is
    passed.
    """
    with db.write() as session:
        held = _held(session, owner, texts)
        for reply in held:
            text = texts[reply.id]
            if len(text) >= len(reply.text):
                reply.text = text
            reply.lease_until = utc_now() + timedelta(seconds=reply.lease_seconds or 0)
        return {reply.id for reply in held}


def finish(db: Database, owner: str, replies: Mapping[str, Reply]) -> None:
    """Replies (by id) are complete. Those whose lease was lost are ignored."""
    with db.write() as session:
        for row in _held(session, owner, replies):
            reply = replies[row.id]
            row.status, row.text, row.error = "done", reply.text, None
            row.finished, row.tokens, row.score = reply.finished, reply.tokens, reply.score
            row.done, row.lease_until = utc_now(), None


def fail(db: Database, owner: str, reply_id: str, error: str, reason: str = "") -> None:
    """A reply cannot be written. Ignored if the lease was lost.

    Args:
        db: the store.
        owner: who holds it.
        reply_id: the reply.
        error: shown to the worker, so it must not hint at a model.
        reason: kept for researchers; "": the same.
    """
    with db.write() as session:
        for row in _held(session, owner, [reply_id]):
            row.status, row.error, row.lease_until = "failed", error, None
            session.add(FailureRow(reply_id=row.id, snapshot_id=row.snapshot_id, reason=reason or error))


def queue_length(db: Database, kinds: Kinds = None) -> int:
    """How many replies wait for a writer."""
    with db.read() as session:
        waiting = _waiting(utc_now(), kinds)
        return session.execute(select(func.count()).select_from(ReplyRow).where(waiting)).scalar_one()


def _waiting(now: datetime, kinds: Kinds) -> ColumnElement[bool]:
    waiting = or_(ReplyRow.status == "queued", lease_expired(now))
    if kinds is None:
        return waiting
    return and_(waiting, ReplyRow.snapshot_id.in_(select(SnapshotRow.id).where(SnapshotRow.kind.in_(kinds))))


def lease_expired(now: datetime) -> ColumnElement[bool]:
    """SQL: the reply was being written, and its writer has not been heard of in time."""
    return and_(ReplyRow.status == "writing", ReplyRow.lease_until < now)


def _give_up(session: Session, now: datetime) -> None:
    for reply in locked_replies(session, lease_expired(now), ReplyRow.attempt >= MOST_ATTEMPTS, skip=True):
        reply.status, reply.error, reply.lease_until = "failed", f"its writer stopped {MOST_ATTEMPTS} times", None
    session.flush()


def _held(session: Session, owner: str, reply_ids: Collection[str]) -> list[ReplyRow]:
    """Rows that the owner still holds, locked."""
    return locked_replies(session, ReplyRow.id.in_(reply_ids), ReplyRow.status == "writing", ReplyRow.owner == owner)


def _prompts(session: Session, comparison_ids: Collection[str]) -> dict[str, Conversation]:
    """What the replies of each comparison answer."""
    talk_ids = set(
        session.scalars(
            select(MessageRow.talk_id)
            .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
            .where(ComparisonRow.id.in_(comparison_ids))
        )
    )
    return {
        turn.comparison.id: prompt_of(turns, index)
        for turns in exchanges(session, talk_ids).values()
        for index, turn in enumerate(turns)
        if turn.comparison.id in comparison_ids
    }
