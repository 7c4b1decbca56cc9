"""Finding conversations: by words, and by what is recorded of them; page by page, with links that stay valid.

A word is found where its letters stand in a message, in either reply, or in a rewritten reply: LIKE and ILIKE over the
texts themselves. There is no second copy of what people wrote, so nothing is found that was erased, and nothing missed.
Every word must occur, anywhere in the conversation; "two words" in quotes are one. Case is ignored. The search ends at
the page that is asked for, so common words are found at once, and rare ones by reading every text once. A page is named
by the conversation next to it, so new ones do not move it. Left out: word stems, order by relevance.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.overview import TalkSummary, choices_made, summaries
from concordant.store.people import WorkerKind
from concordant.store.tables import (
    ChoiceRow,
    ComparisonRow,
    Instant,
    MessageRow,
    ReplyRow,
    SnapshotRow,
    TalkRow,
    WorkerRow,
)

_AT_ONCE = 500


class Sort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    BEST = "best"
    WORST = "worst"


class State(StrEnum):
    """OPEN: not ended. LEFT: ended before it was whole."""

    OPEN = "open"
    LEFT = "left"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Query:
    """Which conversations. None or "": whatever it is. Sorted by rating, those without one are left out.

    Attributes:
        words: see above.
        objective: helpful or harmless.
        study: what they were collected for.
        model: label of a snapshot that wrote a reply in them.
        worker: id of whose they are.
        kind: of the worker.
        first: began on this day, UTC, or later.
        last: began on this day, UTC, or before.
        chosen: a choice that counts was made on this day, UTC.
        state: open, left or done.
        strength: a choice that counts was of this strength.
        edited: the worker rewrote a reply; False: none was rewritten.
        rating: the worker's, 1 to 5.
        sort: their order.
    """

    words: str = ""
    objective: Objective | None = None
    study: str | None = None
    model: str = ""
    worker: str = ""
    kind: WorkerKind | None = None
    first: date | None = None
    last: date | None = None
    chosen: date | None = None
    state: State | None = None
    strength: int | None = None
    edited: bool | None = None
    rating: int | None = None
    sort: Sort = Sort.NEWEST


@dataclass(frozen=True, slots=True)
class Found:
    """A page. ``before`` and ``after``: whether there are conversations before its first and after its last."""

    talks: list[TalkSummary]
    before: bool
    after: bool


def find(db: Database, query: Query, most: int, after: str = "", before: str = "") -> Found:
    """A page of at most ``most`` conversations: the first, or the one behind or in front of a conversation.

    Raises:
        UserError: there is no such conversation, or no such model.
    """
    with db.read() as session:
        mark = after or before
        rows = _ids(session, query, most + 1, mark, backwards=bool(before and not after))
        more, ids = len(rows) > most, rows[:most]
        if before and not after:
            return Found(summaries(session, ids[::-1]), more, True)
        return Found(summaries(session, ids), bool(mark), more)


def find_all(db: Database, query: Query) -> Iterator[TalkSummary]:
    """Every conversation, one by one, all from one moment of the store."""
    with db.read() as session:
        mark = ""
        while ids := _ids(session, query, _AT_ONCE, mark):
            yield from summaries(session, ids)
            session.expunge_all()
            mark = ids[-1]


def neighbours(db: Database, query: Query, talk_id: str) -> tuple[str, str]:
    """(the conversation before, the one after) in the order of the query; "": there is none."""
    with db.read() as session:
        found = [_ids(session, query, 1, talk_id, backwards=backwards) for backwards in (True, False)]
    return found[0][0] if found[0] else "", found[1][0] if found[1] else ""


def words_of(text: str) -> list[str]:
    """The words of a search; what stands in double quotes is one."""
    return [quoted or word for quoted, word in re.findall(r'"([^"]+)"|([^\s"]+)', text)]


def _ids(session: Session, query: Query, most: int, mark: str = "", *, backwards: bool = False) -> list[str]:
    """Ids in order, behind the marked conversation, or (in the opposite order) in front of it."""
    ascending = (query.sort in (Sort.OLDEST, Sort.WORST)) != backwards
    by_rating = query.sort in (Sort.BEST, Sort.WORST)
    keys: list[Any] = [*([TalkRow.rating] if by_rating else []), TalkRow.created, TalkRow.id]
    statement = _matching(session, query)
    if by_rating:
        statement = statement.where(TalkRow.rating.is_not(None))
    if mark:
        at = session.get(TalkRow, mark)
        if at is None:
            raise UserError(f"there is no conversation {mark!r} to go on from; begin at the first page")
        values: list[Any] = [
            *([literal(at.rating)] if by_rating else []),
            literal(at.created, Instant()),
            literal(at.id),
        ]
        place, here = tuple_(*keys), tuple_(*values)
        statement = statement.where(place > here if ascending else place < here)
    order = [key.asc() if ascending else key.desc() for key in keys]
    return list(session.scalars(statement.order_by(*order).limit(most)))


def _matching(session: Session, query: Query) -> Select[str]:
    statement = select(TalkRow.id)
    if query.kind is not None:
        statement = statement.join(WorkerRow, WorkerRow.id == TalkRow.worker_id).where(WorkerRow.kind == query.kind)
    equal = (
        (TalkRow.objective, None if query.objective is None else query.objective.value),
        (TalkRow.study, query.study),
        (TalkRow.worker_id, query.worker or None),
        (TalkRow.rating, query.rating),
    )
    conditions: list[ColumnElement[bool]] = [column == value for column, value in equal if value is not None]
    if query.first is not None:
        conditions.append(TalkRow.created >= _midnight(query.first))
    if query.last is not None:
        conditions.append(TalkRow.created < _midnight(query.last) + timedelta(days=1))
    if query.state is not None:
        conditions.append(_is(query.state))
    if query.model:
        conditions.append(_wrote(session, query.model))
    if query.strength is not None:
        conditions.append(_chose(ChoiceRow.button.in_([5 - query.strength, 4 + query.strength])))
    if query.chosen is not None:
        day = _midnight(query.chosen)
        conditions.append(_chose(and_(ChoiceRow.created >= day, ChoiceRow.created < day + timedelta(days=1))))
    if query.edited is not None:
        rewritten = _in_talk(select(EditRow.id).join(ComparisonRow, ComparisonRow.id == EditRow.comparison_id))
        conditions.append(rewritten if query.edited else ~rewritten)
    conditions += [_says(session, word) for word in words_of(query.words)]
    return statement.where(*conditions)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _is(state: State) -> ColumnElement[bool]:
    if state is State.OPEN:
        return TalkRow.ended.is_(None)
    made = choices_made()
    return and_(TalkRow.ended.is_not(None), made < TalkRow.turns if state is State.LEFT else made >= TalkRow.turns)


def _in_talk(statement: Select[str]) -> ColumnElement[bool]:
    """Whether a talk has such a row; the statement selects from comparisons, joined to what hangs on them."""
    within = statement.join(MessageRow, MessageRow.id == ComparisonRow.message_id)
    return exists(within.where(MessageRow.talk_id == TalkRow.id).correlate(TalkRow))


def _wrote(session: Session, label: str) -> ColumnElement[bool]:
    model = session.scalar(select(SnapshotRow.id).where(SnapshotRow.label == label))
    if model is None:
        raise UserError(f"there is no model {label!r}; the page of models lists them")
    replies = select(ReplyRow.id).join(ComparisonRow, ComparisonRow.id == ReplyRow.comparison_id)
    return _in_talk(replies.where(ReplyRow.snapshot_id == model))


def _chose(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a choice of the talk that was not superseded is such a one."""
    later = aliased(ChoiceRow)
    superseded = exists().where(later.comparison_id == ChoiceRow.comparison_id, later.number > ChoiceRow.number)
    chosen = select(ChoiceRow.id).join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
    return _in_talk(chosen.where(condition, ~superseded.correlate(ChoiceRow)))


def _says(session: Session, word: str) -> ColumnElement[bool]:
    """Whether the word stands in a message, a reply or a rewritten reply of the talk."""
    message, reply, edit = (_holds(session, column, word) for column in (MessageRow.text, ReplyRow.text, EditRow.text))
    said = exists().where(MessageRow.talk_id == TalkRow.id, message).correlate(TalkRow)
    replies = select(ReplyRow.id).join(ComparisonRow, ComparisonRow.id == ReplyRow.comparison_id).where(reply)
    edits = select(EditRow.id).join(ComparisonRow, ComparisonRow.id == EditRow.comparison_id).where(edit)
    return or_(said, _in_talk(replies), _in_talk(edits))


def _holds(session: Session, column: InstrumentedAttribute[str], word: str) -> ColumnElement[bool]:
    """Databases fold the case of a to z alone, or as their locale says; so other letters are tried in every case."""
    spellings = {word} if word.isascii() else {word, word.lower(), word.upper(), word.title()}
    patterns = ["%" + re.sub(r"([\\%_])", r"\\\1", spelling) + "%" for spelling in sorted(spellings)]
    like = column.like if session.get_bind().dialect.name == "sqlite" else column.ilike  # LIKE of SQLite folds a to z
    return or_(*(like(pattern, escape="\\") for pattern in patterns))
