"""What staff changed, when, and by whom: written in the transaction of the change itself, so neither is without the
other."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import literal, select, tuple_
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.audit_table import AuditRow
from concordant.store.database import Database
from concordant.store.tables import Instant

_AT_ONCE = 500

COMMAND_LINE = "command line"
"""``staff_id`` of what is done by a command."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act.

    Attributes:
        staff_id: who, as ``Staff.id``, or ``COMMAND_LINE``.
        act: what, two or three words: "worker excluded".
        about: id of what it was done to.
        detail: what else belongs to it; JSON.
        at: when, UTC.
    """

    staff_id: str
    act: str
    about: str
    detail: dict[str, Any]
    at: datetime


def note(session: Session, staff_id: str, act: str, about: str, **detail: Any) -> None:
    """Record an act in the transaction that carries it out."""
    session.add(AuditRow(staff_id=staff_id, act=act, about=about, detail=detail))


@dataclass(frozen=True, slots=True)
class ActQuery:
    """Which acts. "" or None: whatever it is.

    Attributes:
        staff_id: who.
        act: what.
        about: id of what it was done to.
        first: on this day, UTC, or later.
        last: on this day, UTC, or before.
    """

    staff_id: str = ""
    act: str = ""
    about: str = ""
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Acts:
    """A page of the log, newest first. ``after``: what to give for the next page; "": there is none."""

    acts: list[Act]
    after: str


def acts(db: Database, most: int, about: str | None = None) -> list[Act]:
    """The newest acts, newest first; with ``about``, those done to one thing."""
    return find_acts(db, ActQuery(about=about or ""), most).acts


def find_acts(db: Database, query: ActQuery, most: int, after: str = "") -> Acts:
    """A page of the log.

    Raises:
        UserError: there is no act ``after``.
    """
    with db.read() as session:
        rows = _rows(session, query, most + 1, after)
    return Acts([_act(row) for row in rows[:most]], rows[most - 1].id if len(rows) > most else "")


def all_acts(db: Database, query: ActQuery) -> Iterator[Act]:
    """The whole log, one by one, newest first, all from one moment of the store."""
    after = ""
    with db.read() as session:
        while rows := _rows(session, query, _AT_ONCE, after):
            yield from [_act(row) for row in rows]
            after = rows[-1].id
            session.expunge_all()


def known_acts(db: Database) -> tuple[list[str], list[str]]:
    """(staff ids, acts) that occur in the log, sorted."""
    with db.read() as session:
        return (
            sorted(session.scalars(select(AuditRow.staff_id).distinct())),
            sorted(session.scalars(select(AuditRow.act).distinct())),
        )


def _rows(session: Session, query: ActQuery, most: int, after: str) -> list[AuditRow]:
    statement = select(AuditRow).order_by(AuditRow.created.desc(), AuditRow.id.desc()).limit(most)
    for column, value in (
        (AuditRow.staff_id, query.staff_id),
        (AuditRow.act, query.act),
        (AuditRow.about, query.about),
    ):
        if value:
            statement = statement.where(column == value)
    if query.first is not None:
        statement = statement.where(AuditRow.created >= _midnight(query.first))
    if query.last is not None:
        statement = statement.where(AuditRow.created < _midnight(query.last) + timedelta(days=1))
    if after:
        mark = session.get(AuditRow, after)
        if mark is None:
            raise UserError(f"there is no act {after!r} to go on from; begin at the first page")
        here = tuple_(literal(mark.created, Instant()), literal(mark.id))
        statement = statement.where(tuple_(AuditRow.created, AuditRow.id) < here)
    return list(session.scalars(statement))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _act(row: AuditRow) -> Act:
    return Act(row.staff_id, row.act, row.about, row.detail, row.created)
