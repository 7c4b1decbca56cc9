"""Erasing what a person wrote, so that everything counted stays as it was.

Erased, that is overwritten by a fixed marker: their messages to models, rewritten replies, comments, their side and the
staff's of their message thread, reviewers' notes on their conversations, their name, and the ids by which a panel knows
them and their sessions. Unless asked otherwise, the models' replies to them too, because a reply may repeat what it
answers (its token count stays), and why a reply failed. Kept: choices, strengths, times, sides, ratings, verdicts, ids,
agreements, sittings, payments, and the topics that they opted out of, which no page shows. So every count and every
rating of models is the same before and after. Their links end. Answers on how they feel bear no name, so nobody can
find theirs.

The database itself allows it, for workers with a row in ``erasures`` and for these columns only (migrations 0007 and
0009). Left out: what has left the store (exports, reports, copies, logs), and what staff wrote of them elsewhere, in
announcements, reasons of bonuses, of exclusions and of the select list, payments' references, and the audit log.
``holdings.py`` lists the data sets and models that hold the texts.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.day_tables import EditRow, ParticipantRow, SittingRow, WorkerTokenRow
from concordant.store.deployment_tables import FailureRow
from concordant.store.endings import close_talk
from concordant.store.people_tables import MARKER, ErasureRow, LetterRow
from concordant.store.quality_tables import VerdictRow
from concordant.store.sittings import Outcome, end_sitting
from concordant.store.tables import ComparisonRow, MessageRow, ReplyRow, TalkRow, WorkerRow, new_id, utc_now


@dataclass(frozen=True, slots=True)
class Erasure:
    """That a worker's text was erased.

    Attributes:
        worker_id: whose.
        replies: also the models' replies to them.
        at: when, UTC.
        cleaned: when the store's files were rid of what was overwritten; None: not yet, so do it again.
    """

    worker_id: str
    replies: bool
    at: datetime
    cleaned: datetime | None


@dataclass(frozen=True, slots=True)
class Written:
    """How much of a worker's text the store holds, by kind, before it is erased."""

    name: str
    messages: int
    replies: int
    edits: int
    comments: int
    letters: int


def erase(db: Database, worker_id: str, staff_id: str, replies: bool = True) -> Erasure:
    """Erase a worker's text, in one transaction, then clean the store's files of it. Doing it again goes on with it.

    Args:
        db: the store.
        worker_id: whose text.
        staff_id: for the audit log.
        replies: also the models' replies to them. What was erased once is not brought back by a later ``False``.

    Raises:
        UserError: there is no such worker.
    """
    with db.read() as session:
        if session.get(WorkerRow, worker_id) is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        sitting = session.scalar(
            select(SittingRow.id).where(SittingRow.worker_id == worker_id, SittingRow.ended.is_(None))
        )
    if sitting is not None:
        end_sitting(db, sitting, Outcome.LEFT)
    with db.write_alone() as session:
        worker = session.get_one(WorkerRow, worker_id, with_for_update=True)
        row = session.get(ErasureRow, worker_id)
        if row is None:
            row = ErasureRow(worker_id=worker_id, replies=replies, staff_id=staff_id)
            session.add(row)
            session.flush()
            note(session, staff_id, "text erased", worker_id, replies=replies)
        elif replies and not row.replies:
            row.replies = True
            note(session, staff_id, "replies erased too", worker_id)
        _end_everything(session, worker)
        if _overwrite(session, worker, row.replies):
            row.cleaned = None
    if db.forget_freed():
        with db.write() as session:
            session.execute(
                update(ErasureRow)
                .where(ErasureRow.worker_id == worker_id, ErasureRow.cleaned.is_(None))
                .values(cleaned=utc_now())
            )
    found = erasure_of(db, worker_id)
    assert found is not None
    return found


def erasure_of(db: Database, worker_id: str) -> Erasure | None:
    """Whether, when and how far a worker's text was erased."""
    with db.read() as session:
        row = session.get(ErasureRow, worker_id)
        return None if row is None else Erasure(row.worker_id, row.replies, row.created, row.cleaned)


def erased_workers(db: Database) -> set[str]:
    """Ids of those whose text was erased."""
    with db.read() as session:
        return set(session.scalars(select(ErasureRow.worker_id)))


def written_by(db: Database, worker_id: str) -> Written:
    """What would be erased.

    Raises:
        UserError: there is no such worker.
    """
    with db.read() as session:
        worker = session.get(WorkerRow, worker_id)
        if worker is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        talks = select(TalkRow.id).where(TalkRow.worker_id == worker_id)
        comparisons = (
            select(ComparisonRow.id)
            .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
            .where(MessageRow.talk_id.in_(talks))
        )

        def count(*found: object) -> int:
            return len(session.execute(*found).all())  # type: ignore[call-overload]

        return Written(
            worker.name,
            count(select(MessageRow.id).where(MessageRow.talk_id.in_(talks), MessageRow.text != MARKER)),
            count(select(ReplyRow.id).where(ReplyRow.comparison_id.in_(comparisons), ReplyRow.text != MARKER)),
            count(select(EditRow.id).where(EditRow.comparison_id.in_(comparisons), EditRow.text != MARKER)),
            count(select(TalkRow.id).where(TalkRow.worker_id == worker_id, TalkRow.comment.not_in(["", MARKER]))),
            count(select(LetterRow.id).where(LetterRow.worker_id == worker_id, LetterRow.text != MARKER)),
        )


def _end_everything(session: Session, worker: WorkerRow) -> None:
    """Nothing more comes in: open conversations end, replies in writing are given up, links open nothing."""
    for talk in session.scalars(
        select(TalkRow).where(TalkRow.worker_id == worker.id, TalkRow.ended.is_(None)).with_for_update()
    ):
        close_talk(session, talk)
    # A secret that nobody was ever told.
    worker.token_hash = hashlib.sha256(f"ended:{new_id()}{new_id()}".encode()).hexdigest()
    session.execute(delete(WorkerTokenRow).where(WorkerTokenRow.worker_id == worker.id))
    session.flush()


def _overwrite(session: Session, worker: WorkerRow, replies: bool) -> int:
    """Put the marker in the place of every text; returns how many rows had one."""
    talks = select(TalkRow.id).where(TalkRow.worker_id == worker.id)
    comparisons = (
        select(ComparisonRow.id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .where(MessageRow.talk_id.in_(talks))
    )
    of_theirs = ReplyRow.comparison_id.in_(comparisons)
    waiting = (of_theirs, ReplyRow.status.in_(["queued", "writing"]))
    gone = f"{MARKER} {worker.id}"
    sittings = (SittingRow.worker_id == worker.id, SittingRow.panel_session.is_not(None))
    statements = [
        update(MessageRow).where(MessageRow.talk_id.in_(talks), MessageRow.text != MARKER).values(text=MARKER),
        update(EditRow).where(EditRow.comparison_id.in_(comparisons), EditRow.text != MARKER).values(text=MARKER),
        update(TalkRow)
        .where(TalkRow.worker_id == worker.id, TalkRow.comment.not_in(["", MARKER]))
        .values(comment=MARKER),
        update(VerdictRow)
        .where(VerdictRow.talk_id.in_(talks), VerdictRow.note.not_in(["", MARKER]))
        .values(note=MARKER),
        update(LetterRow).where(LetterRow.worker_id == worker.id, LetterRow.text != MARKER).values(text=MARKER),
        update(SittingRow).where(*sittings).values(panel_session=None),
        update(ParticipantRow)
        .where(ParticipantRow.worker_id == worker.id, ParticipantRow.participant != gone)
        .values(participant=gone),
        update(ReplyRow).where(*waiting).values(status="failed", error=MARKER, owner=None, lease_until=None),
    ]
    if replies:
        failed = select(ReplyRow.id).where(of_theirs)
        statements += [
            update(ReplyRow).where(of_theirs, ReplyRow.text != MARKER).values(text=MARKER),
            update(ReplyRow).where(of_theirs, ReplyRow.error != MARKER).values(error=MARKER),
            update(FailureRow)
            .where(FailureRow.reply_id.in_(failed), FailureRow.reason != MARKER)
            .values(reason=MARKER),
        ]
    changed = 0
    for statement in statements:
        done = session.execute(statement.execution_options(synchronize_session=False))
        changed += done.rowcount  # type: ignore[attr-defined]
    worker.name = MARKER
    return changed
