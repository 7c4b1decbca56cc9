"""What pages read: pairs while they are written, and talks as a researcher sees them, models' names included.

Reading only. Left out: preferences as training data (``preferences.py``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ScalarSelect, bindparam, func, or_, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective, Side
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.people import WorkerKind
from concordant.store.reply_queue import lease_expired
from concordant.store.tables import (
    ChoiceRow,
    ComparisonRow,
    MessageRow,
    ReplyRow,
    SnapshotRow,
    TalkRow,
    WorkerRow,
    utc_now,
)
from concordant.store.talk_views import PendingComparison, ReplyStatus, ReplyView
from concordant.store.transcripts import Exchange, clicked_side, exchanges, strength


@dataclass(frozen=True, slots=True)
class WatchedPair:
    """A pair being written. ``ahead``: how many comparisons wait in the queue before it."""

    pair: PendingComparison
    ahead: int


@dataclass(frozen=True, slots=True)
class TalkSummary:
    """One line about a talk. ``choices``: how many were made."""

    id: str
    worker: str
    kind: WorkerKind
    objective: Objective
    study: str
    turns: int
    choices: int
    opening: str
    created: datetime
    ended: datetime | None
    rating: int | None
    comment: str
    harm: int | None = None
    actionability: int | None = None
    worker_id: str = ""
    models: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """open; left: ended before it was whole; done."""
        if self.ended is None:
            return "open"
        return "left" if self.choices < self.turns else "done"


@dataclass(frozen=True, slots=True)
class ShownReply:
    """A reply with its writer's label. ``status`` as in ``ReplyView``; ``row``: everything else of it."""

    model: str
    status: ReplyStatus
    text: str
    row: ReplyRow | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn of a talk: the message, both replies as shown, and what was clicked (None: nothing yet).

    ``rewritten``: what the worker made of the clicked reply; ``choices``: how often they chose between them. ``rows``:
    everything else that is recorded.
    """

    message: str
    a: ShownReply
    b: ShownReply
    clicked: Side | None
    strength: int | None
    rewritten: str | None = None
    choices: int = 0
    rows: Exchange | None = field(default=None, compare=False)


# Columns and not rows of a class, which take three times as long: this runs five times a second.
_WATCHED = (
    select(
        ComparisonRow.id,
        ComparisonRow.swap,
        MessageRow.turn,
        *(ReplyRow.id, ReplyRow.status, ReplyRow.text, ReplyRow.error),
    )
    .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
    .join(ReplyRow, ReplyRow.comparison_id == ComparisonRow.id)
    .where(ComparisonRow.id.in_(bindparam("comparisons", expanding=True)))
    .order_by(ReplyRow.place)
)


def watched_pairs(db: Database, comparison_ids: Collection[str]) -> dict[str, WatchedPair]:
    """The state of these comparisons, by id, in two cheap queries however many they are."""
    with db.read() as session:
        rows = session.execute(_WATCHED, {"comparisons": list(comparison_ids)})
        pairs: dict[str, PendingComparison] = {}
        first: dict[str, ReplyView] = {}
        for comparison_id, swap, turn, reply_id, status, text, error in rows:
            reply = ReplyView(reply_id, ReplyStatus(status), text, error)
            if comparison_id not in first:
                first[comparison_id] = reply
                continue
            a, b = (reply, first[comparison_id]) if swap else (first[comparison_id], reply)
            pairs[comparison_id] = PendingComparison(comparison_id, turn, a, b)
        queued = any(ReplyStatus.QUEUED in (pair.a.status, pair.b.status) for pair in pairs.values())
        places = _places(session) if queued else {}
        return {name: WatchedPair(pair, places.get(name, 0)) for name, pair in pairs.items()}


def ended_talks(db: Database, worker_id: str) -> int:
    """How many talks the worker has ended."""
    statement = select(func.count(TalkRow.ended)).where(TalkRow.worker_id == worker_id)
    with db.read() as session:
        return session.execute(statement).scalar_one()


def ended_in_study(db: Database, study: str) -> int:
    """How many talks of a study have been ended."""
    statement = select(func.count(TalkRow.ended)).where(TalkRow.study == study)
    with db.read() as session:
        return session.execute(statement).scalar_one()


def choices_made() -> ScalarSelect[int]:
    """How many comparisons of a talk were answered; part of a statement over talks."""
    return (
        select(func.count(ChoiceRow.comparison_id.distinct()))
        .join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .where(MessageRow.talk_id == TalkRow.id)
        .correlate(TalkRow)
        .scalar_subquery()
    )


def summaries(session: Session, ids: Sequence[str]) -> list[TalkSummary]:
    """One line about each of these talks, in this order; at most a few hundred at once."""
    opening = (
        select(MessageRow.text)
        .where(MessageRow.talk_id == TalkRow.id, MessageRow.turn == 1)
        .correlate(TalkRow)
        .scalar_subquery()
    )
    statement = (
        select(TalkRow, WorkerRow, choices_made(), opening)
        .join(WorkerRow, WorkerRow.id == TalkRow.worker_id)
        .where(TalkRow.id.in_(ids))
    )
    wrote: dict[str, set[str]] = {}
    for talk_id, label in session.execute(
        select(MessageRow.talk_id, SnapshotRow.label)
        .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .join(ReplyRow, ReplyRow.comparison_id == ComparisonRow.id)
        .join(SnapshotRow, SnapshotRow.id == ReplyRow.snapshot_id)
        .where(MessageRow.talk_id.in_(ids))
        .distinct()
    ):
        wrote.setdefault(talk_id, set()).add(label)
    found = {
        talk.id: _summary(talk, worker, choices, first, wrote.get(talk.id, set()))
        for talk, worker, choices, first in session.execute(statement)
    }
    return [found[talk_id] for talk_id in ids if talk_id in found]


def recent_talks(db: Database, limit: int) -> list[TalkSummary]:
    """The newest talks first."""
    newest = select(TalkRow.id).order_by(TalkRow.created.desc(), TalkRow.id).limit(limit)
    with db.read() as session:
        return summaries(session, list(session.scalars(newest)))


def talk_summaries(db: Database, ids: Sequence[str]) -> list[TalkSummary]:
    """``summaries`` in a transaction of their own."""
    with db.read() as session:
        return summaries(session, ids)


def talk_record(db: Database, talk_id: str) -> tuple[TalkSummary, list[TurnRecord]]:
    """A whole talk with the models' labels: for researchers, never for workers.

    Raises:
        UserError: there is no such talk.
    """
    with db.read() as session:
        found = summaries(session, [talk_id])
        if not found:
            raise UserError(f"there is no conversation {talk_id!r}")
        labels = dict(session.execute(select(SnapshotRow.id, SnapshotRow.label)).all())
        turns = []
        for turn in exchanges(session, [talk_id])[talk_id]:
            a, b = (
                ShownReply(labels[reply.snapshot_id], ReplyStatus(reply.status), reply.text, reply)
                for reply in turn.replies
            )
            button = None if turn.choice is None else turn.choice.button
            clicked = (None, None) if button is None else (clicked_side(button), strength(button))
            rewritten = None if turn.edit is None else turn.edit.text
            made = 0 if turn.choice is None else turn.choice.number
            turns.append(TurnRecord(turn.message.text, a, b, clicked[0], clicked[1], rewritten, made, turn))
    return found[0], turns


def _places(session: Session) -> dict[str, int]:
    """Comparison id → how many comparisons wait before it."""
    waiting = session.scalars(
        select(ReplyRow.comparison_id)
        .where(or_(ReplyRow.status == "queued", lease_expired(utc_now())))
        .order_by(ReplyRow.created, ReplyRow.place, ReplyRow.id)
    )
    return {comparison_id: place for place, comparison_id in enumerate(dict.fromkeys(waiting))}


def _summary(talk: TalkRow, worker: WorkerRow, choices: int, opening: str | None, models: set[str]) -> TalkSummary:
    return TalkSummary(
        id=talk.id,
        worker=worker.name,
        kind=WorkerKind(worker.kind),
        objective=Objective(talk.objective),
        study=talk.study,
        turns=talk.turns,
        choices=choices,
        opening=opening or "",
        created=talk.created,
        ended=talk.ended,
        rating=talk.rating,
        comment=talk.comment or "",
        harm=talk.harm,
        actionability=talk.actionability,
        worker_id=worker.id,
        models=tuple(sorted(models)),
    )
