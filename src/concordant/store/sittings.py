"""Sittings: one worker's stretch of tasks, from arriving to going, with what is needed to pay for it (paper App. D).

A task is done when its conversation has all its choices and was ended; one that was left before is counted apart. A
worker has one open sitting. How it ended is recorded once and stays; one that nobody comes back to stays open and shows
by its last sign of life, so that a part of it can be paid all the same. Left out: rates and sums.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from sqlalchemy import bindparam, literal, select, tuple_
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import Refusal, UserError
from concordant.store.database import Database
from concordant.store.day_tables import SittingRow
from concordant.store.endings import close_open_talk
from concordant.store.quality_tables import SecondLookRow, SecondOpinionRow
from concordant.store.sitting_counts import Counts, counts, counts_of
from concordant.store.tables import Instant, TalkRow, WorkerRow, new_id, utc_now

LOOKS_IN_A_STINT = 4
"""The paper's red-team conversations have four turns."""
_AT_ONCE = 500


class Outcome(StrEnum):
    """How a sitting ended. ABANDONED: another one was begun instead; BROKEN: a failure of ours stood in the way."""

    COMPLETED = "completed"
    LEFT = "left"
    BROKEN = "broken"
    DECLINED = "declined"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Handoff:
    """What a panel says of who comes: its name, its study and its session. A session comes once."""

    panel: str
    study: str
    session: str


@dataclass(frozen=True, slots=True)
class Offer:
    """What a sitting asks for and gives: whole conversations, and the panel's codes for all of them or for a part."""

    tasks: int
    code: str = ""
    part_code: str = ""


@dataclass(frozen=True, slots=True)
class Sitting:
    """A sitting as it stands.

    Attributes:
        id: 32 hex digits.
        worker_id: whose it is.
        handoff: where they came from; None: by their own link.
        offer: what it asks for and gives.
        everyday: the worker wants no red-team work in it.
        done: whole conversations.
        left: conversations that were ended before they were whole.
        choices: comparisons answered in it.
        red_team: red-team conversations begun in it.
        began: when, UTC.
        last: the last sign of life, UTC: a message, a choice, a second opinion, or the end of a conversation.
        ended: when, UTC; None: open.
        outcome: how it ended; None: open.
        messages: how often the worker wrote in it.
        looks: comparisons of others that the worker was asked about.
    """

    id: str
    worker_id: str
    handoff: Handoff | None
    offer: Offer
    everyday: bool
    done: int
    left: int
    choices: int
    red_team: int
    began: datetime
    last: datetime
    ended: datetime | None
    outcome: Outcome | None
    messages: int = 0
    looks: int = 0

    @property
    def code(self) -> str:
        """The panel's code for how it ended, or "".

        Who leaves, or does not come back, has done a part from their first message or choice on; before that there is
        nothing to pay. Who could not go on because of us gets the code for a part in any case.
        """
        if self.outcome is Outcome.COMPLETED:
            return self.offer.code
        worked = self.messages + self.choices > 0
        partly = self.outcome is Outcome.BROKEN or (worked and self.outcome in (Outcome.LEFT, Outcome.ABANDONED))
        return self.offer.part_code if partly else ""


@dataclass(frozen=True, slots=True)
class Stint:
    """One conversation of a worker, or as many comparisons of others, as the rules on red-team work look at it.

    ``here``: it is of the open sitting. ``looks``: they are comparisons of others.
    """

    objective: Objective
    began: datetime
    ended: datetime | None
    here: bool
    looks: bool = False


def open_sitting(db: Database, worker_id: str, offer: Offer, handoff: Handoff | None = None) -> Sitting:
    """The worker's open sitting, or a new one. A panel's session that came before is the sitting that it was.

    An open sitting of another session ends as abandoned, and its conversation with it.

    Raises:
        UserError: there is no such worker.
    """
    with db.write() as session:
        if session.get(WorkerRow, worker_id, with_for_update=True) is None:
            raise UserError(f"there is no worker {worker_id!r}")
        current = _open_row(session, worker_id)
        same = current if handoff is None else _of_session(session, worker_id, handoff)
        if same is not None:
            return _sitting(session, same)
        if current is not None:
            _end(session, current, Outcome.ABANDONED)
        row = SittingRow(id=new_id(), worker_id=worker_id, tasks=offer.tasks, everyday=False)
        row.code, row.part_code = offer.code, offer.part_code
        if handoff is not None:
            row.panel, row.panel_study, row.panel_session = handoff.panel, handoff.study, handoff.session
        session.add(row)
        session.flush()
        return _sitting(session, row)


_LAST = (
    select(SittingRow)
    .where(SittingRow.worker_id == bindparam("worker"))
    .order_by(SittingRow.ended.is_not(None), SittingRow.created.desc(), SittingRow.id)
    .limit(1)
)


def last_sitting(db: Database, worker_id: str) -> Sitting | None:
    """The worker's open sitting, else the newest."""
    with db.read() as session:
        row = session.scalar(_LAST, {"worker": worker_id})
        return None if row is None else _sitting(session, row)


def sitting_of(db: Database, sitting_id: str, worker_id: str) -> Sitting | None:
    """A sitting, if it is this worker's."""
    with db.read() as session:
        row = session.get(SittingRow, sitting_id)
        return None if row is None or row.worker_id != worker_id else _sitting(session, row)


def end_sitting(db: Database, sitting_id: str, outcome: Outcome, silent_since: datetime | None = None) -> Sitting:
    """End a sitting, and its open conversation, at once. An ended one stays as it is.

    ``silent_since``: only if there has been no sign of life since then.

    Raises:
        UserError: there is no such sitting.
    """
    with db.write() as session:
        row = session.get(SittingRow, sitting_id)
        if row is None:
            raise UserError(f"there is no sitting {sitting_id!r}")
        session.get_one(WorkerRow, row.worker_id, with_for_update=True)
        if silent_since is None or _sitting(session, row).last <= silent_since:
            _end(session, row, outcome)
        return _sitting(session, row)


def prefer_everyday(db: Database, sitting_id: str, everyday: bool) -> None:
    """No red-team work in the rest of the sitting, or some again."""
    with db.write() as session:
        row = session.get_one(SittingRow, sitting_id, with_for_update=True)
        if row.ended is None:
            row.everyday = everyday


Decide = Callable[[Sitting, Sequence[Stint], datetime], tuple[Objective, int]]
"""From the sitting, what ``stints`` gives, and the time: (objective, turns)."""


def begin_task(db: Database, sitting_id: str, decide: Decide) -> str:
    """Begin the next conversation of a sitting; returns its id, or that of the one that is open.

    What it is for is decided under the lock that opens it, so no two tabs begin one red-team task too many.

    Raises:
        UserError: the sitting has ended.
    """
    with db.write() as session:
        row = session.get_one(SittingRow, sitting_id)
        session.get_one(WorkerRow, row.worker_id, with_for_update=True)
        session.refresh(row, with_for_update=True)
        if row.ended is not None:
            raise Refusal("refused.session_ended", "this session has ended; begin a new one")
        known = session.scalar(select(TalkRow.id).where(TalkRow.worker_id == row.worker_id, TalkRow.ended.is_(None)))
        if known is not None:
            return known
        now = utc_now()
        objective, turns = decide(_sitting(session, row), _stints(session, row.worker_id, sitting_id, now), now)
        talk = TalkRow(
            id=new_id(), worker_id=row.worker_id, objective=objective.value, turns=turns, study="", sitting_id=row.id
        )
        session.add(talk)
    return talk.id


def stints(db: Database, worker_id: str, sitting_id: str) -> list[Stint]:
    """The worker's conversations that were open in the last 24 hours, and all of a sitting; oldest first."""
    with db.read() as session:
        return _stints(session, worker_id, sitting_id, utc_now())


def sittings(db: Database, limit: int | None = None) -> list[tuple[str, Sitting]]:
    """(worker's name, sitting), the newest first."""
    return list(islice(each_sitting(db), limit))


def each_sitting(db: Database) -> Iterator[tuple[str, Sitting]]:
    """``sittings`` of any number, one by one, all from one moment of the store."""
    newest = select(WorkerRow.name, SittingRow).join(WorkerRow, WorkerRow.id == SittingRow.worker_id)
    newest = newest.order_by(SittingRow.created.desc(), SittingRow.id.desc()).limit(_AT_ONCE)
    place = tuple_(SittingRow.created, SittingRow.id)
    with db.read() as session:
        found = list(session.execute(newest))
        while found:
            counted = counts(session, SittingRow.id.in_([row.id for _, row in found]))
            yield from [(name, _made(row, counted.get(row.id, Counts()))) for name, row in found]
            last = found[-1][1]
            here = tuple_(literal(last.created, Instant()), literal(last.id))
            session.expunge_all()
            found = list(session.execute(newest.where(place < here)))


def complete_if_done(session: Session, sitting_id: str) -> None:
    """End the sitting as completed if it has all its tasks; for the transaction that ends a conversation."""
    row = session.get_one(SittingRow, sitting_id, with_for_update=True, populate_existing=True)
    if row.ended is None and _sitting(session, row).done >= row.tasks:
        row.ended, row.outcome = utc_now(), Outcome.COMPLETED.value


def _end(session: Session, row: SittingRow, outcome: Outcome) -> None:
    """End the open conversation, then the sitting; who has done every task has completed it, however they go.

    Locks are taken in one order everywhere: worker, talk, sitting.
    """
    close_open_talk(session, row.id)
    session.flush()
    session.refresh(row, with_for_update=True)
    if row.ended is None:
        whole = _sitting(session, row).done >= row.tasks
        row.ended, row.outcome = utc_now(), (Outcome.COMPLETED if whole else outcome).value
        session.flush()


def _open_row(session: Session, worker_id: str) -> SittingRow | None:
    return session.scalar(select(SittingRow).where(SittingRow.worker_id == worker_id, SittingRow.ended.is_(None)))


def _of_session(session: Session, worker_id: str, handoff: Handoff) -> SittingRow | None:
    return session.scalar(
        select(SittingRow).where(SittingRow.worker_id == worker_id, SittingRow.panel_session == handoff.session)
    )


def _stints(session: Session, worker_id: str, sitting_id: str, now: datetime) -> list[Stint]:
    since = now - timedelta(days=1)
    recent = TalkRow.ended.is_(None) | (TalkRow.ended >= since) | (TalkRow.sitting_id == sitting_id)
    rows = session.scalars(
        select(TalkRow).where(TalkRow.worker_id == worker_id, recent).order_by(TalkRow.created, TalkRow.id)
    )
    found = [Stint(Objective(row.objective), row.created, row.ended, row.sitting_id == sitting_id) for row in rows]
    return sorted(found + _dark_looks(session, worker_id, sitting_id, since), key=lambda stint: stint.began)


def _dark_looks(session: Session, worker_id: str, sitting_id: str, since: datetime) -> list[Stint]:
    """Red-team comparisons of others that the worker was asked about: as many as a conversation has weigh as one."""
    statement = (
        select(SecondOpinionRow.created, SecondOpinionRow.sitting_id)
        .join(SecondLookRow, SecondLookRow.comparison_id == SecondOpinionRow.comparison_id)
        .where(SecondOpinionRow.worker_id == worker_id, SecondLookRow.objective == Objective.HARMLESS.value)
        .where((SecondOpinionRow.created >= since) | (SecondOpinionRow.sitting_id == sitting_id))
        .order_by(SecondOpinionRow.created, SecondOpinionRow.id)
    )
    looks = session.execute(statement).all()
    ends = range(LOOKS_IN_A_STINT, len(looks) + 1, LOOKS_IN_A_STINT)
    parts = [looks[end - LOOKS_IN_A_STINT : end] for end in ends]
    return [Stint(Objective.HARMLESS, part[0][0], part[-1][0], part[-1][1] == sitting_id, True) for part in parts]


def _sitting(session: Session, row: SittingRow) -> Sitting:
    return _made(row, counts_of(session, row.id))


def _made(row: SittingRow, counts: Counts) -> Sitting:
    handoff = None
    if row.panel is not None:
        handoff = Handoff(row.panel, row.panel_study or "", row.panel_session or "")
    return Sitting(
        id=row.id,
        worker_id=row.worker_id,
        handoff=handoff,
        offer=Offer(row.tasks, row.code, row.part_code),
        everyday=row.everyday,
        done=counts.done,
        left=counts.left,
        messages=counts.messages,
        choices=counts.choices,
        red_team=counts.red_team,
        began=row.created,
        last=counts.last or row.created,
        ended=row.ended,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        looks=counts.looks,
    )
