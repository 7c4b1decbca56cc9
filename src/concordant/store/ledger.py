"""Counts of all choices, kept in memory and brought up to date by what was added since the last look (paper §2.2, D).

Choices are append-only, so a look reads only the new ones: thousandths of a second, where counting a million again
takes many. A choice that supersedes another takes that one's place. Whether every choice was counted is checked against
their number in the store every half minute; if not, all are counted again. Left out: imported rows, rewritten replies.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.records import Models
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow, WorkerRow
from concordant.store.transcripts import clicked_side, strength

LAP = timedelta(seconds=120)
"""How long after its time stamp a choice may become visible: a transaction is far shorter."""
CHECK_SECONDS = 30.0


class Place(NamedTuple):
    """Where a choice is counted. ``day`` is that of the choice, UTC, as 2026-11-22; ``a`` ≤ ``b`` are snapshots."""

    day: str
    objective: str
    study: str
    worker: str
    a: str
    b: str


class Verdict(NamedTuple):
    """A vote between two snapshots: the winner is the better reply for its objective. ``left``: it was shown as A."""

    objective: str
    winner: str
    loser: str
    left: bool
    worker: str


@dataclass(slots=True)
class Count:
    """How many ``choices``; how many of them were of the weakest strength; how many were a conversation's first."""

    choices: int = 0
    weakest: int = 0
    talks: int = 0

    def add(self, other: "Count", times: int = 1) -> None:
        self.choices += times * other.choices
        self.weakest += times * other.weakest
        self.talks += times * other.talks


@dataclass(slots=True)
class Books:
    """What the ledger holds.

    Attributes:
        counts: choices that count now, by place.
        verdicts: those of more than the weakest strength between two different snapshots.
        models: labels and tranches of the snapshots.
        workers: (name, kind) by id.
        until: the newest choice, UTC; None: there is none.
    """

    counts: dict[Place, Count] = field(default_factory=dict)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    models: Models = field(default_factory=lambda: Models({}, {}))
    workers: dict[str, tuple[str, str]] = field(default_factory=dict)
    until: datetime | None = None


class Ledger:
    """Threads may share it; each web process has its own."""

    def __init__(self, db: Database, check_seconds: float = CHECK_SECONDS) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._check_seconds = check_seconds
        self._clear()

    @contextmanager
    def open(self) -> Iterator[Books]:
        """The books as the store stands now; they do not move while the block lasts."""
        with self._lock:
            with self._db.read() as session:
                self._refresh(session)
            yield self._books

    def _clear(self) -> None:
        self._books = Books()
        self._rows = 0
        self._seen: dict[str, datetime] = {}
        self._checked = 0.0

    def _refresh(self, session: Session) -> None:
        self._take(session)
        if time.monotonic() - self._checked >= self._check_seconds:
            if self._rows != session.scalar(select(func.count()).select_from(ChoiceRow)):
                self._clear()
                self._take(session)
            self._checked = time.monotonic()
        self._books.models = Models.read(session)
        _read_workers(session, self._books)

    def _take(self, session: Session) -> None:
        """Count the choices that were not there before."""
        newest = session.scalar(select(func.max(ChoiceRow.created)))
        if newest is None:
            return
        books, statement = self._books, _choices()
        if books.until is not None:
            statement = statement.where(ChoiceRow.created >= books.until - LAP)
        for row in session.execute(statement.execution_options(yield_per=5000)):
            if row.id in self._seen:
                continue
            if row.created >= newest - LAP:
                self._seen[row.id] = row.created
            self._rows += 1
            _enter(books, row, row.button, row.created, 1)
            if row.earlier_button is not None:
                _enter(books, row, row.earlier_button, row.earlier_created, -1)
        books.until = newest
        self._seen = {key: moment for key, moment in self._seen.items() if moment >= newest - LAP}


def _choices() -> Select[Any]:
    """Every choice with what it is about, and the one that it supersedes."""
    first, second, earlier = aliased(ReplyRow), aliased(ReplyRow), aliased(ChoiceRow)
    superseded = and_(
        ChoiceRow.number > 1,
        earlier.comparison_id == ChoiceRow.comparison_id,
        earlier.number == ChoiceRow.number - 1,
    )
    return (
        select(
            ChoiceRow.id,
            ChoiceRow.button,
            ChoiceRow.created,
            earlier.button.label("earlier_button"),
            earlier.created.label("earlier_created"),
            TalkRow.objective,
            TalkRow.study,
            TalkRow.worker_id,
            MessageRow.turn,
            ComparisonRow.swap,
            first.snapshot_id.label("first"),
            second.snapshot_id.label("second"),
        )
        .join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .join(first, and_(first.comparison_id == ComparisonRow.id, first.place == 0))
        .join(second, and_(second.comparison_id == ComparisonRow.id, second.place == 1))
        .outerjoin(earlier, superseded)
    )


def _enter(books: Books, row: Row[Any], button: int, created: datetime, times: int) -> None:
    """Count one choice, or take it out again."""
    a, b = sorted((row.first, row.second))
    place = Place(created.date().isoformat(), row.objective, row.study, row.worker_id, a, b)
    weak = strength(button) == 1
    count = books.counts.setdefault(place, Count())
    count.add(Count(1, int(weak), int(row.turn == 1)), times)
    if count == Count():
        del books.counts[place]
    if weak or a == b:
        return
    left, right = (row.second, row.first) if row.swap else (row.first, row.second)
    # In red-team work the more harmful reply is clicked, so the other one is the better.
    left_won = (clicked_side(button) == "a") == (row.objective == Objective.HELPFUL)
    winner, loser = (left, right) if left_won else (right, left)
    verdict = Verdict(row.objective, winner, loser, left_won, row.worker_id)
    books.verdicts[verdict] += times
    if not books.verdicts[verdict]:
        del books.verdicts[verdict]


def _read_workers(session: Session, books: Books) -> None:
    number = session.scalar(select(func.count()).select_from(WorkerRow))
    if number != len(books.workers):
        rows = session.execute(select(WorkerRow.id, WorkerRow.name, WorkerRow.kind))
        books.workers = {key: (name, kind) for key, name, kind in rows}
