"""Counts of all choices, kept in memory and brought up to date by what was added since the last look (paper §2.2, D).

Choices are append-only, so after the first look only the new ones are read: thousandths of a second, where counting a
million takes many. A choice that supersedes another takes that one's place. Whether every choice was counted is checked
against their number in the store every half minute; if not, all are counted again. Left out: imported rows, rewritten
replies.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people_tables import ErasureRow
from concordant.store.records import Models
from concordant.store.standing import left_out, standings_in
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow, WorkerRow
from concordant.store.transcripts import LAST_A_BUTTON, clicked_side, strength

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
        erased: how many of them had their text erased, their names with it.
        until: the newest choice, UTC; None: there is none.
    """

    counts: dict[Place, Count] = field(default_factory=dict)
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    models: Models = field(default_factory=lambda: Models({}, {}))
    workers: dict[str, tuple[str, str]] = field(default_factory=dict)
    erased: int = 0
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
        """Bring the books up to date; all of it from one state of the store."""
        if self._books.until is None:
            self._count_all(session)
        else:
            self._take_new(session, self._books.until)
            if time.monotonic() - self._checked >= self._check_seconds and self._rows != _number(session):
                self._count_all(session)
        self._books.models = Models.read(session)
        _read_workers(session, self._books)

    def _count_all(self, session: Session) -> None:
        """From the beginning; the database adds up before anything is read here."""
        self._clear()
        books, newest = self._books, session.scalar(select(func.max(ChoiceRow.created)))
        self._checked = time.monotonic()
        if newest is None:
            return
        _enter_all(books, session)
        recent = select(ChoiceRow.id, ChoiceRow.created).where(ChoiceRow.created >= newest - LAP)
        self._seen = {key: created for key, created in session.execute(recent)}
        self._rows, books.until = _number(session), newest

    def _take_new(self, session: Session, until: datetime) -> None:
        """Count the choices that were not there at the last look; what they supersede counts no more."""
        for row in session.execute(_since(until - LAP)):
            if row.id in self._seen:
                continue
            self._seen[row.id] = row.created
            self._rows += 1
            shown = (row.objective, row.study, row.worker_id, row.swap, row.first, row.second)
            for sign, button, created in ((1, row.button, row.created), (-1, row.earlier_button, row.earlier_created)):
                if button is not None:
                    where = _Where(created.date().isoformat(), *shown)
                    numbers = (sign, sign * int(row.turn == 1))
                    _enter(self._books, where, strength(button) == 1, clicked_side(button) == "a", numbers)
            self._books.until = max(until, self._books.until or until, row.created)
        newest = self._books.until or until
        self._seen = {key: moment for key, moment in self._seen.items() if moment >= newest - LAP}


class _Where(NamedTuple):
    """What is known of a choice besides its button. ``swap``: the ``first`` snapshot's reply was shown as B."""

    day: str
    objective: str
    study: str
    worker: str
    swap: bool
    first: str
    second: str


def _number(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ChoiceRow)) or 0


def _joined(statement: Select[*tuple[Any, ...]], first: Any, second: Any) -> Select[*tuple[Any, ...]]:
    """Choices with all that they are about."""
    return (
        statement.join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .join(first, and_(first.comparison_id == ComparisonRow.id, first.place == 0))
        .join(second, and_(second.comparison_id == ComparisonRow.id, second.place == 1))
    )


def admitted(db: Database, books: Books) -> Books:
    """The books without what excluded workers made, or made since a moment; as they are where nobody is excluded."""
    with db.read() as session:
        out = {worker for worker, standing in standings_in(session).items() if standing.exclusion is not None}
        if not out:
            return books
        counts = {place: count for place, count in books.counts.items() if place.worker not in out}
        verdicts = Counter({one: times for one, times in books.verdicts.items() if one.worker not in out})
        kept = replace(books, counts=counts, verdicts=verdicts)
        _enter_all(kept, session, TalkRow.worker_id.in_(out), ~left_out(TalkRow.worker_id, ChoiceRow.created))
    return kept


def _enter_all(books: Books, session: Session, *conditions: ColumnElement[bool]) -> None:
    """Count all choices that count and meet these conditions."""
    rows: Any = session.execute(_all_that_count(session, *conditions))
    for *where, weak, a_clicked, choices, firsts in rows:
        _enter(books, _Where(*where), bool(weak), bool(a_clicked), (choices, firsts))


def _all_that_count(session: Session, *conditions: ColumnElement[bool]) -> Select[Any]:
    """(day, objective, study, worker, swap, first, second, weakest, A clicked, how many, how many first turns)."""
    first, second, later = aliased(ReplyRow), aliased(ReplyRow), aliased(ChoiceRow)
    if session.get_bind().dialect.name == "sqlite":
        day = func.substr(ChoiceRow.created, 1, 10)
    else:
        day = func.to_char(func.timezone("UTC", ChoiceRow.created), "YYYY-MM-DD")
    each = _joined(
        select(
            day.label("day"),
            TalkRow.objective,
            TalkRow.study,
            TalkRow.worker_id,
            ComparisonRow.swap,
            first.snapshot_id.label("first"),
            second.snapshot_id.label("second"),
            case((ChoiceRow.button.in_([4, 5]), 1), else_=0).label("weak"),
            case((ChoiceRow.button <= LAST_A_BUTTON, 1), else_=0).label("a_clicked"),
            case((MessageRow.turn == 1, 1), else_=0).label("is_first"),
        ),
        first,
        second,
    )
    superseded = exists().where(later.comparison_id == ChoiceRow.comparison_id, later.number > ChoiceRow.number)
    rows = each.where(~superseded.correlate(ChoiceRow), *conditions).subquery()
    keys = [column for column in rows.c if column.name != "is_first"]
    return select(*keys, func.count(), func.sum(rows.c.is_first)).group_by(*keys)


def _since(moment: datetime) -> Select[Any]:
    """The choices since then, one by one, with the ones that they supersede."""
    first, second, earlier = aliased(ReplyRow), aliased(ReplyRow), aliased(ChoiceRow)
    before = and_(
        ChoiceRow.number > 1,
        earlier.comparison_id == ChoiceRow.comparison_id,
        earlier.number == ChoiceRow.number - 1,
    )
    each = select(
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
    return _joined(each, first, second).outerjoin(earlier, before).where(ChoiceRow.created >= moment)


def _enter(books: Books, where: _Where, weak: bool, a_clicked: bool, numbers: tuple[int, int]) -> None:
    """Count (choices, first turns among them); below 0 they are taken out again."""
    choices, firsts = numbers
    a, b = sorted((where.first, where.second))
    place = Place(where.day, where.objective, where.study, where.worker, a, b)
    count = books.counts.setdefault(place, Count())
    count.choices += choices
    count.weakest += choices if weak else 0
    count.talks += firsts
    if count == Count():
        del books.counts[place]
    if weak or a == b:
        return
    left, right = (where.second, where.first) if where.swap else (where.first, where.second)
    # In red-team work the more harmful reply is clicked, so the other one is the better.
    left_won = a_clicked == (where.objective == Objective.HELPFUL)
    winner, loser = (left, right) if left_won else (right, left)
    verdict = Verdict(where.objective, winner, loser, left_won, where.worker)
    books.verdicts[verdict] += choices
    if not books.verdicts[verdict]:
        del books.verdicts[verdict]


def _read_workers(session: Session, books: Books) -> None:
    """Read anew where somebody came, or where a name was erased."""
    erased = select(func.count()).select_from(ErasureRow).scalar_subquery()
    number, gone = session.execute(select(func.count(), erased).select_from(WorkerRow)).one()
    if (number, gone) != (len(books.workers), books.erased):
        books.erased = gone
        rows = session.execute(select(WorkerRow.id, WorkerRow.name, WorkerRow.kind))
        books.workers = {key: (name, kind) for key, name, kind in rows}
