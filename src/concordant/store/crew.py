"""The crew as researchers look at it: how much each made, how it was judged, and what has changed (App. D).

Reading only. Numbers of a worker are of everything they made, excluded or not, so that a decision can be looked at
again.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from sqlalchemy import Integer, and_, cast, func, select
from sqlalchemy.orm import Session, aliased

from concordant.agreement import VerdictAgreement, verdict_agreement
from concordant.drift import (
    Moment,
    Part,
    Sign,
    Week,
    Work,
    share_of,
    signs,
    verdict_mean,
    weeks,
    within_spread,
)
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.people import Worker, WorkerKind
from concordant.store.quality_tables import ReviewDrawRow, VerdictRow
from concordant.store.review_draws import seconds_of, standing_verdicts
from concordant.store.second_looks import answered
from concordant.store.standing import Standing, standings_in
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, TalkRow, WorkerRow
from concordant.store.transcripts import exchanges

FEWEST_VERDICTS = 5
"""A worker is suggested for the select list from so many verdicts on."""


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the crew.

    Attributes:
        worker: who.
        standing: how they stand with us.
        talks: conversations begun.
        choices: comparisons answered.
        left: share of clicks on the left side.
        pace: median seconds to a message, over their conversations.
        verdict: their mean verdict, 1 (excellent) to 5 (not usable), over all they wrote.
        agreed: how often a second opinion took the same reply.
    """

    worker: Worker
    standing: Standing
    talks: int
    choices: int
    left: Part
    pace: Part
    verdict: Part
    agreed: Part

    @property
    def rank(self) -> float:
        """For suggestions: the worse end of the interval of the mean verdict, so that few verdicts rank lower."""
        return self.verdict.ci95[1] if self.verdict.ci95 is not None else 5.0


@dataclass(frozen=True, slots=True)
class Crew:
    """Everyone with a conversation, best verdicts first, and how far reviewers agree."""

    members: Sequence[Member]
    reviewers: VerdictAgreement

    @property
    def suggestions(self) -> list[Member]:
        """Who might be put on the select list: read often enough, not on it, not excluded; the surest first."""
        return [
            one
            for one in self.members
            if one.verdict.n >= FEWEST_VERDICTS and one.standing.select is None and one.standing.exclusion is None
        ]


@dataclass(frozen=True, slots=True)
class Record:
    """One worker's work over time, with the notes of their reviewers, the newest first."""

    worker: Worker
    standing: Standing
    weeks: Sequence[Week]
    signs: Sequence[Sign]
    verdict: Part
    notes: Sequence[tuple[str, int, str]] = field(default=())


def crew(db: Database) -> Crew:
    """The whole crew, counted in the database."""
    with db.read() as session:
        standings, begun, clicks = standings_in(session), _begun(session), _clicks(session)
        paces, read, agreed = _paces(session), _read(session), _agreed(session)
        spread = within_spread([[verdict for verdict, _ in found] for found in read.values()])
        members = []
        for row in session.scalars(select(WorkerRow).order_by(WorkerRow.created, WorkerRow.id)):
            if row.id not in begun:
                continue
            choices, left = clicks.get(row.id, (0, 0))
            found = read.get(row.id, [])
            same = agreed.get(row.id, [])
            members.append(
                Member(
                    worker=_worker(row),
                    standing=standings.get(row.id, Standing()),
                    talks=begun[row.id],
                    choices=choices,
                    left=share_of(left, choices),
                    pace=Part(len(paces[row.id]), median(paces[row.id])) if row.id in paces else Part(0),
                    verdict=verdict_mean([one for one, _ in found], [weight for _, weight in found], spread),
                    agreed=share_of(sum(same), len(same)),
                )
            )
        members.sort(key=lambda one: (one.verdict.n == 0, one.rank, -one.choices))
        return Crew(members, verdict_agreement(_verdict_pairs(session)))


def record(db: Database, worker_id: str) -> Record:
    """One worker's work over time.

    Raises:
        UserError: there is no such worker.
    """
    with db.read() as session:
        row = session.get(WorkerRow, worker_id)
        if row is None:
            raise UserError(f"there is no worker {worker_id!r}")
        spread = within_spread([[verdict for verdict, _ in found] for found in _read(session).values()])
        work = _work(session, worker_id)
        verdicts = standing_verdicts(session, worker_id, place=None)
        return Record(
            worker=_worker(row),
            standing=standings_in(session).get(worker_id, Standing()),
            weeks=weeks(work, spread),
            signs=signs(work),
            verdict=verdict_mean([one.value for one in work.verdicts], work.weights, spread),
            notes=[(one.talk_id, one.verdict or 0, one.note) for one in reversed(verdicts) if one.note],
        )


def _worker(row: WorkerRow) -> Worker:
    return Worker(row.id, row.name, WorkerKind(row.kind), row.may_edit)


def _begun(session: Session) -> dict[str, int]:
    rows = session.execute(select(TalkRow.worker_id, func.count()).group_by(TalkRow.worker_id))
    return {worker: number for worker, number in rows}


def _clicks(session: Session) -> dict[str, tuple[int, int]]:
    """Worker id → (choices that count, of them on the left)."""
    later = aliased(ChoiceRow)
    rows = session.execute(
        select(TalkRow.worker_id, func.count(), func.sum(cast(ChoiceRow.button <= 4, Integer)))
        .join(MessageRow, MessageRow.talk_id == TalkRow.id)
        .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .join(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .outerjoin(later, and_(later.comparison_id == ComparisonRow.id, later.number > ChoiceRow.number))
        .where(later.id.is_(None))
        .group_by(TalkRow.worker_id)
    )
    return {worker: (number, int(left)) for worker, number, left in rows}


def _paces(session: Session) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    rows = session.execute(select(ReviewDrawRow.worker_id, ReviewDrawRow.pace).where(ReviewDrawRow.pace.is_not(None)))
    for worker, pace in rows:
        found[worker].append(pace or 0.0)
    return found


def _read(session: Session) -> dict[str, list[tuple[float, float]]]:
    """Worker id → (verdict, how many conversations it stands for) of each conversation that was read."""
    drawn = {row.talk_id: row for row in session.scalars(select(ReviewDrawRow).where(ReviewDrawRow.drawn))}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for verdict in standing_verdicts(session):
        draw = drawn[verdict.talk_id]
        found[draw.worker_id].append((float(verdict.verdict or 0), 1 / draw.share))
    return found


def _agreed(session: Session) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = defaultdict(list)
    for pair, _, _ in answered(session):
        found[pair.workers[0]].append((pair.first <= 4) == (pair.second <= 4))
    return found


def _verdict_pairs(session: Session) -> list[tuple[int, int]]:
    """(first, second) verdict of each conversation that two reviewers read."""
    by_talk: dict[str, dict[int, VerdictRow]] = defaultdict(dict)
    for row in standing_verdicts(session, place=None):
        by_talk[row.talk_id][row.place] = row
    both = [(found[1].verdict, found[2].verdict) for found in by_talk.values() if len(found) == 2]
    return [(first, second) for first, second in both if first is not None and second is not None]


def _work(session: Session, worker_id: str) -> Work:
    talks = list(
        session.scalars(select(TalkRow).where(TalkRow.worker_id == worker_id).order_by(TalkRow.created, TalkRow.id))
    )
    turns_of = exchanges(session, [talk.id for talk in talks])
    seconds: list[Moment] = []
    lengths: list[Moment] = []
    buttons: list[Moment] = []
    for talk in talks:
        turns = turns_of[talk.id]
        for turn, pause in zip(turns, seconds_of(talk, turns), strict=True):
            seconds.append(Moment(turn.message.created, pause))
            lengths.append(Moment(turn.message.created, float(len(turn.message.text))))
            if turn.choice is not None:
                buttons.append(Moment(turn.choice.created, float(turn.choice.button)))
    shares = {
        row.talk_id: row.share
        for row in session.scalars(select(ReviewDrawRow).where(ReviewDrawRow.worker_id == worker_id))
    }
    verdicts = standing_verdicts(session, worker_id)
    began = {talk.id: talk.created for talk in talks}
    verdicts.sort(key=lambda row: (began[row.talk_id], row.talk_id))  # by when it was written, not by when it was read
    same = [
        Moment(choice.created, float((pair.first <= 4) == (pair.second <= 4)))
        for pair, _, choice in answered(session)
        if pair.workers[0] == worker_id
    ]
    return Work(
        verdicts=[Moment(began[row.talk_id], float(row.verdict or 0)) for row in verdicts],
        weights=[1 / shares[row.talk_id] for row in verdicts],
        seconds=seconds,
        lengths=lengths,
        buttons=buttons,
        agreed=sorted(same, key=lambda one: one.at),
    )
