"""Every worker with what they did and how: the researcher's table, and one worker's sittings, talks and agreements.

Names are for staff: whoever shows these lines shows them to researchers only. Left out: judgements of what somebody
wrote; they come in as ``marks``.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.activity import Pace, active_seconds, paces
from concordant.store.database import Database
from concordant.store.day_tables import ConsentRow, ParticipantRow, SittingRow
from concordant.store.people import WorkerKind
from concordant.store.people_tables import MARKER, ErasureRow
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, TalkRow, WorkerRow

OWN_LINK = "own link"


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker did.

    Attributes:
        first: beginning of their first conversation, UTC; None: none yet.
        last: beginning of their newest one.
        tasks: whole conversations.
        red_team: conversations for red-team work, of ``begun`` ones.
        begun: conversations.
        choices: comparisons answered.
    """

    first: datetime | None = None
    last: datetime | None = None
    tasks: int = 0
    red_team: int = 0
    begun: int = 0
    choices: int = 0

    @property
    def red_share(self) -> float | None:
        """Share of the conversations that were red-team work."""
        return self.red_team / self.begun if self.begun else None


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker.

    Attributes:
        id: 32 hex digits.
        name: for staff only.
        kind: person, scripted or simulated.
        source: the panel they come from, or "own link".
        participant: the id by which the panel knows them, or "".
        since: when they were made, UTC.
        work: what they did.
        seconds: active time.
        pace: how long they take.
        may_edit: may rewrite replies.
        erased: their text was erased.
    """

    id: str
    name: str
    kind: WorkerKind
    source: str
    participant: str
    since: datetime
    work: Work
    seconds: int
    pace: Pace
    may_edit: bool
    erased: bool

    @property
    def marks(self) -> tuple[str, ...]:
        """What staff have said of them, in words."""
        found = (("may rewrite", self.may_edit), ("text erased", self.erased))
        return tuple(word for word, holds in found if holds)


@dataclass(frozen=True, slots=True)
class Agreement:
    """That a worker agreed to a consent text, by the text's sha256."""

    digest: str
    at: datetime


def workforce(db: Database, idle_seconds: int, worker_id: str | None = None) -> list[WorkerLine]:
    """Every worker (or one), in the order in which they came; ``idle_seconds`` as in ``activity.py``."""
    with db.read() as session:
        done, seconds = _work(session, worker_id), _seconds(session, idle_seconds, worker_id)
        pace = paces(session, worker_id)
        statement = (
            select(WorkerRow, ParticipantRow, ErasureRow.worker_id)
            .outerjoin(ParticipantRow, ParticipantRow.worker_id == WorkerRow.id)
            .outerjoin(ErasureRow, ErasureRow.worker_id == WorkerRow.id)
            .order_by(WorkerRow.created, WorkerRow.id)
        )
        if worker_id is not None:
            statement = statement.where(WorkerRow.id == worker_id)
        return [
            WorkerLine(
                row.id,
                row.name,
                WorkerKind(row.kind),
                OWN_LINK if panel is None else panel.panel,
                "" if panel is None or panel.participant.startswith(MARKER) else panel.participant,
                row.created,
                done.get(row.id, Work()),
                seconds.get(row.id, 0),
                pace.get(row.id, Pace()),
                row.may_edit,
                erased is not None,
            )
            for row, panel, erased in session.execute(statement)
        ]


def worker_line(db: Database, idle_seconds: int, worker_id: str) -> WorkerLine:
    """One worker.

    Raises:
        UserError: there is none of that id.
    """
    found = workforce(db, idle_seconds, worker_id)
    if not found:
        raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
    return found[0]


def agreements(db: Database, worker_id: str) -> list[Agreement]:
    """To which texts a worker agreed, oldest first."""
    statement = select(ConsentRow).where(ConsentRow.worker_id == worker_id).order_by(ConsentRow.created)
    with db.read() as session:
        return [Agreement(row.digest, row.created) for row in session.scalars(statement)]


def talks_of(db: Database, worker_id: str, limit: int) -> list[str]:
    """Ids of a worker's newest conversations."""
    statement = (
        select(TalkRow.id)
        .where(TalkRow.worker_id == worker_id)
        .order_by(TalkRow.created.desc(), TalkRow.id)
        .limit(limit)
    )
    with db.read() as session:
        return list(session.scalars(statement))


def _work(session: Session, worker_id: str | None) -> dict[str, Work]:
    """Worker id → what they did."""
    made = func.count(ChoiceRow.comparison_id.distinct())
    per_talk = (
        select(TalkRow.worker_id, TalkRow.objective, TalkRow.turns, TalkRow.created, TalkRow.ended, made.label("made"))
        .outerjoin(MessageRow, MessageRow.talk_id == TalkRow.id)
        .outerjoin(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .outerjoin(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .group_by(TalkRow.id, TalkRow.worker_id, TalkRow.objective, TalkRow.turns, TalkRow.created, TalkRow.ended)
    )
    if worker_id is not None:
        per_talk = per_talk.where(TalkRow.worker_id == worker_id)
    talks = per_talk.subquery()
    whole = talks.c.ended.is_not(None) & (talks.c.made >= talks.c.turns)
    rows = session.execute(
        select(
            talks.c.worker_id,
            func.min(talks.c.created),
            func.max(talks.c.created),
            func.sum(case((whole, 1), else_=0)),
            func.sum(case((talks.c.objective == Objective.HARMLESS.value, 1), else_=0)),
            func.count(),
            func.sum(talks.c.made),
        ).group_by(talks.c.worker_id)
    )
    return {worker: Work(first, last, *map(int, numbers)) for worker, first, last, *numbers in rows}


def _seconds(session: Session, idle_seconds: int, worker_id: str | None) -> dict[str, int]:
    """Worker id → active seconds, of all sittings and of conversations outside them."""
    by_stretch = active_seconds(session, idle_seconds, worker_id)
    owners = dict(session.execute(select(SittingRow.id, SittingRow.worker_id)).all())
    outside = select(TalkRow.id, TalkRow.worker_id).where(TalkRow.sitting_id.is_(None))
    owners |= dict(session.execute(outside).all())
    found: dict[str, int] = {}
    for stretch, seconds in by_stretch.items():
        found[owners[stretch]] = found.get(owners[stretch], 0) + seconds
    return found
