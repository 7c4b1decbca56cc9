"""Which conversations are read, and which comparisons get a second opinion: drawn once, when a conversation has ended.

The rule (the paper only says "spot checks of writing", App. D): a worker's first ``first`` conversations are all read.
Each later one has the chance share · ½^⌊g / halve_after⌋, and at least ``least``; g is how many verdicts, counted back
from the conversation's end, were good or better without a break. Where the worker's pace, the median over this and
their four conversations before, is below ``fast_seconds`` or below the crew's ``fast_quantile``, the chance is at least
``fast_share``. The draw is a hash of a secret seed and the conversation's id, so it depends on nothing that anybody
wrote or chose, and can be repeated. The chance stands in the row, so that means over what was read can be put right.
Left out: conversations by scripts, and empty ones.
"""

import hashlib
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from concordant.drift import GOOD
from concordant.programme_config import ReviewConfig
from concordant.store.database import Database
from concordant.store.deployment_tables import GivenRow
from concordant.store.people import WorkerKind
from concordant.store.quality_tables import ReviewDrawRow, SecondLookRow, VerdictRow
from concordant.store.tables import TalkRow, WorkerRow
from concordant.store.transcripts import Exchange, exchanges

PACES = 5
"""Conversations in a worker's pace."""
CREW_PACES = 500
FEWEST_PACES = 20
_AT_ONCE = 200
_MOST_DRAWN = 5000
"""Conversations in one transaction; each looks through all that have ended, so it should not be few."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule's numbers, and the secret of its draws."""

    config: ReviewConfig
    seed: str

    def chance(self, number: int, good: int, fast: bool) -> float:
        """Of a worker's ``number``-th conversation (from 1) to be read, after ``good`` good verdicts on end."""
        config = self.config
        if number <= config.first:
            return 1.0
        later = max(config.least, config.share * 0.5 ** (good // config.halve_after))
        return max(later, config.fast_share) if fast else later

    def drawn(self, what: str, key: str, chance: float) -> bool:
        """The draw for one thing: the same for the same seed, and independent of all others."""
        digest = hashlib.sha256(f"{self.seed}:{what}:{key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < chance * 2**64


def seconds_of(talk: TalkRow, turns: Sequence[Exchange]) -> list[float]:
    """Seconds to each message, from the talk's beginning or the choice before it."""
    starts = [talk.created, *(turn.choice.created if turn.choice else turn.message.created for turn in turns)]
    return [
        max(0.0, (turn.message.created - start).total_seconds()) for start, turn in zip(starts, turns, strict=False)
    ]


def draw_ended(db: Database, rule: Rule) -> None:
    """Draw for every conversation that has ended since the last time. Cheap where there is none.

    Where there are many, as after years without reviews, other writers get their turn between the transactions.
    """
    while _draw_some(db, rule):
        pass


def _draw_some(db: Database, rule: Rule) -> bool:
    """One transaction; returns whether there may be more."""
    with db.read() as session:
        if session.scalar(_undrawn().limit(1)) is None:
            return False
    with db.write_alone() as session:
        found = session.execute(_undrawn().add_columns(GivenRow.talk_id).limit(_MOST_DRAWN)).all()
        talks, given = [talk for talk, _ in found], {talk_id for _, talk_id in found}
        drawing = _Drawing(session, rule)
        for start in range(0, len(talks), _AT_ONCE):
            batch = talks[start : start + _AT_ONCE]
            turns = exchanges(session, [talk.id for talk in batch])
            for talk in batch:
                drawing.draw(talk, turns[talk.id], talk.id not in given)
    return len(talks) == _MOST_DRAWN


def good_on_end(verdicts: Collection[tuple[datetime, int]], until: datetime) -> int:
    """How many verdicts before a moment were good or better, counted back to the last lesser one."""
    good = 0
    for at, verdict in sorted(verdicts, reverse=True):
        if at < until:
            if verdict > GOOD:
                break
            good += 1
    return good


@dataclass(slots=True)
class _Past:
    """What is known of a worker: how many conversations, the newest paces, verdicts (when, which)."""

    number: int
    paces: deque[float]
    verdicts: list[tuple[datetime, int]] = field(default_factory=list)


class _Drawing:
    """Draws one conversation after the other, in the order of their ends."""

    def __init__(self, session: Session, rule: Rule) -> None:
        self._session = session
        self._rule = rule
        self._pasts: dict[str, _Past] = {}
        self._crew: dict[str, deque[float]] = {}

    def draw(self, talk: TalkRow, turns: Sequence[Exchange], own: bool) -> None:
        """``own``: the worker wrote it; else there is nothing to read, but there are choices all the same."""
        row = ReviewDrawRow(talk_id=talk.id, worker_id=talk.worker_id, fast=False, share=0.0, drawn=False, twice=False)
        if turns and own:
            self._fill(row, talk, turns)
        self._session.add(row)  # not before: what is added is written at the next query, and then stays as it is
        for turn in turns:
            asked = self._rule.drawn("second opinion", turn.comparison.id, self._rule.config.second_opinions)
            if turn.choice is not None and asked:
                look = SecondLookRow(comparison_id=turn.comparison.id, maker_id=talk.worker_id)
                look.objective = talk.objective
                self._session.add(look)

    def _fill(self, row: ReviewDrawRow, talk: TalkRow, turns: Sequence[Exchange]) -> None:
        assert talk.ended is not None
        past, crew = self._past(talk.worker_id), self._paces(talk.objective)
        row.pace = median(seconds_of(talk, turns))
        past.paces.append(row.pace)
        past.number += 1
        row.number, row.fast = past.number, self._is_fast(median(past.paces), crew)
        crew.append(row.pace)
        row.share = self._rule.chance(past.number, good_on_end(past.verdicts, talk.ended), row.fast)
        row.drawn = self._rule.drawn("review", talk.id, row.share)
        row.twice = row.drawn and self._rule.drawn("second review", talk.id, self._rule.config.second_reviews)

    def _is_fast(self, pace: float, crew: Collection[float]) -> bool:
        config = self._rule.config
        if pace < config.fast_seconds:
            return True
        enough = config.fast_quantile > 0 and len(crew) >= FEWEST_PACES
        return enough and pace < sorted(crew)[int(config.fast_quantile * len(crew))]

    def _past(self, worker_id: str) -> _Past:
        if worker_id not in self._pasts:
            mine = ReviewDrawRow.worker_id == worker_id
            number = self._session.scalar(select(func.max(ReviewDrawRow.number)).where(mine)) or 0
            newest = (
                select(ReviewDrawRow.pace)
                .where(mine, ReviewDrawRow.pace.is_not(None))
                .order_by(ReviewDrawRow.number.desc())
                .limit(PACES - 1)
            )
            paces = [pace for pace in self._session.scalars(newest) if pace is not None]
            verdicts = [(row.created, row.verdict or 0) for row in standing_verdicts(self._session, worker_id)]
            self._pasts[worker_id] = _Past(number, deque(reversed(paces), PACES), verdicts)
        return self._pasts[worker_id]

    def _paces(self, objective: str) -> deque[float]:
        if objective not in self._crew:
            newest = (
                select(ReviewDrawRow.pace)
                .join(TalkRow, TalkRow.id == ReviewDrawRow.talk_id)
                .where(TalkRow.objective == objective, ReviewDrawRow.pace.is_not(None))
                .order_by(TalkRow.ended.desc(), TalkRow.id)
                .limit(CREW_PACES)
            )
            paces = [pace for pace in self._session.scalars(newest) if pace is not None]
            self._crew[objective] = deque(reversed(paces), CREW_PACES)
        return self._crew[objective]


def standing_verdicts(session: Session, worker_id: str | None = None, place: int | None = 1) -> list[VerdictRow]:
    """The verdicts that count, by first (1) or second (2) reviewers or (None) all, in the order of time."""
    newest = (
        select(VerdictRow.talk_id, VerdictRow.place, func.max(VerdictRow.number).label("number"))
        .group_by(VerdictRow.talk_id, VerdictRow.place)
        .subquery()
    )
    statement = (
        select(VerdictRow)
        .join(
            newest,
            (newest.c.talk_id == VerdictRow.talk_id)
            & (newest.c.place == VerdictRow.place)
            & (newest.c.number == VerdictRow.number),
        )
        .where(VerdictRow.verdict.is_not(None))
        .order_by(VerdictRow.created, VerdictRow.id)
    )
    if worker_id is not None:
        statement = statement.join(TalkRow, TalkRow.id == VerdictRow.talk_id).where(TalkRow.worker_id == worker_id)
    if place is not None:
        statement = statement.where(VerdictRow.place == place)
    return list(session.scalars(statement))


def _undrawn() -> Select[TalkRow]:
    return (
        select(TalkRow)
        .join(WorkerRow, WorkerRow.id == TalkRow.worker_id)
        .outerjoin(ReviewDrawRow, ReviewDrawRow.talk_id == TalkRow.id)
        .outerjoin(GivenRow, GivenRow.talk_id == TalkRow.id)
        .where(TalkRow.ended.is_not(None), ReviewDrawRow.talk_id.is_(None), WorkerRow.kind == WorkerKind.PERSON.value)
        .order_by(TalkRow.ended, TalkRow.id)
    )
