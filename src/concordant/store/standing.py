"""How a worker stands with us: on the select list or not, excluded or not; decided by staff, with a reason (App. D).

Nothing is ever deleted. What an excluded worker made is left out by a filter, so that admitting them again brings back
exactly the same rows. The paper's select list is its 20 to 30 best workers, chosen by reading what they wrote.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, SQLColumnExpression, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.people_tables import ErasureRow
from concordant.store.quality_tables import StandingRow
from concordant.store.tables import WorkerRow


class Kind(StrEnum):
    """What is decided about a worker."""

    SELECT = "select"
    EXCLUSION = "exclusion"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    Attributes:
        kind: what about.
        holds: put on the list, or excluded; False takes it back.
        reason: in words.
        staff_id: who decided, as in the audit log.
        at: when, UTC.
        since: of an exclusion: what was made from this moment on is left out; None: everything.
    """

    kind: Kind
    holds: bool
    reason: str
    staff_id: str
    at: datetime
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a worker stands now; None where nothing of the kind holds."""

    select: Decision | None = None
    exclusion: Decision | None = None


def put_on_select(db: Database, staff_id: str, worker_id: str, reason: str) -> None:
    """Put a worker on the select list.

    Raises:
        UserError: no reason, no such worker, or they are on it.
    """
    _decide(db, staff_id, worker_id, (Kind.SELECT, True), reason)


def take_off_select(db: Database, staff_id: str, worker_id: str, reason: str) -> None:
    """Take a worker off the select list; raises as ``put_on_select``."""
    _decide(db, staff_id, worker_id, (Kind.SELECT, False), reason)


def exclude(db: Database, staff_id: str, worker_id: str, reason: str, since: datetime | None = None) -> None:
    """Leave out what a worker made, or what they made from a moment on, and give them no more work.

    Raises:
        UserError: no reason, no such worker, or they are excluded in the same way.
    """
    _decide(db, staff_id, worker_id, (Kind.EXCLUSION, True), reason, since)


def admit(db: Database, staff_id: str, worker_id: str, reason: str) -> None:
    """Admit an excluded worker again: everything that was left out is there again.

    Raises:
        UserError: no reason, no such worker, or they are not excluded.
    """
    _decide(db, staff_id, worker_id, (Kind.EXCLUSION, False), reason)


def moment(text: str) -> datetime | None:
    """The beginning of a day (2026-11-22), or a moment (2026-11-22T14:30), in UTC; None for "".

    Raises:
        UserError: it is neither.
    """
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UserError(f"{text!r} is no day; write one as 2026-11-22, or a moment as 2026-11-22T14:30") from None


def is_excluded(db: Database, worker_id: str) -> bool:
    """Whether there is no more work for them."""
    with db.read() as session:
        newest = _newest(session, worker_id, Kind.EXCLUSION)
        return newest is not None and newest.holds


def standings(db: Database) -> dict[str, Standing]:
    """Worker id → how they stand, of everyone about whom something holds."""
    with db.read() as session:
        return standings_in(session)


def standings_in(session: Session) -> dict[str, Standing]:
    """``standings`` inside a transaction."""
    newest: dict[tuple[str, Kind], StandingRow] = {}
    for row in session.scalars(select(StandingRow).order_by(StandingRow.number)):
        newest[row.worker_id, Kind(row.kind)] = row
    held: dict[str, dict[Kind, Decision]] = {}
    for (worker_id, kind), row in newest.items():
        if row.holds:
            held.setdefault(worker_id, {})[kind] = _decision(row)
    return {key: Standing(found.get(Kind.SELECT), found.get(Kind.EXCLUSION)) for key, found in held.items()}


def decisions(db: Database, worker_id: str) -> list[Decision]:
    """Everything that was decided about a worker, the newest first."""
    statement = (
        select(StandingRow)
        .where(StandingRow.worker_id == worker_id)
        .order_by(StandingRow.created.desc(), StandingRow.id)
    )
    with db.read() as session:
        return [_decision(row) for row in session.scalars(statement)]


def left_out(worker_id: SQLColumnExpression[str], made: SQLColumnExpression[datetime]) -> ColumnElement[bool]:
    """SQL: what this worker made at this moment is left out."""
    row, later = aliased(StandingRow), aliased(StandingRow)
    superseded = exists().where(later.worker_id == row.worker_id, later.kind == row.kind, later.number > row.number)
    return exists().where(
        row.worker_id == worker_id,
        row.kind == Kind.EXCLUSION.value,
        row.holds,
        or_(row.since.is_(None), row.since <= made),
        ~superseded,
    )


def excluded_now(worker_id: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """SQL: there is no more work for this worker."""
    row, later = aliased(StandingRow), aliased(StandingRow)
    superseded = exists().where(later.worker_id == row.worker_id, later.kind == row.kind, later.number > row.number)
    return exists().where(and_(row.worker_id == worker_id, row.kind == Kind.EXCLUSION.value, row.holds, ~superseded))


def text_erased(worker_id: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """SQL: what this worker wrote was erased, so that there is nothing of theirs to read or to judge."""
    return exists().where(ErasureRow.worker_id == worker_id)


_DONE = {
    (Kind.SELECT, True): "put on select list",
    (Kind.SELECT, False): "taken off select list",
    (Kind.EXCLUSION, True): "worker excluded",
    (Kind.EXCLUSION, False): "worker admitted",
}
_SO_ALREADY = {
    (Kind.SELECT, True): "is on the select list already",
    (Kind.SELECT, False): "is not on the select list",
    (Kind.EXCLUSION, True): "is excluded in this way already",
    (Kind.EXCLUSION, False): "is not excluded",
}


def _decide(
    db: Database,
    staff_id: str,
    worker_id: str,
    which: tuple[Kind, bool],
    reason: str,
    since: datetime | None = None,
) -> None:
    kind, holds = which
    reason = reason.strip()
    if not reason:
        raise UserError("a decision about a worker needs a reason; write one")
    with db.write() as session:
        if session.get(WorkerRow, worker_id, with_for_update=True) is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        last = _newest(session, worker_id, kind)
        if (last is not None and last.holds) == holds and (last is None or last.since == since):
            raise UserError(f"worker {worker_id} {_SO_ALREADY[which]}; nothing was changed")
        row = StandingRow(worker_id=worker_id, kind=kind.value, number=1 if last is None else last.number + 1)
        row.holds, row.since, row.reason, row.staff_id = holds, since, reason, staff_id
        session.add(row)
        detail = {} if since is None else {"since": since.isoformat()}
        note(session, staff_id, _DONE[which], worker_id, reason=reason, **detail)


def _newest(session: Session, worker_id: str, kind: Kind) -> StandingRow | None:
    rows = select(StandingRow).where(StandingRow.worker_id == worker_id, StandingRow.kind == kind.value)
    newest = select(func.max(StandingRow.number)).where(
        StandingRow.worker_id == worker_id, StandingRow.kind == kind.value
    )
    return session.scalar(rows.where(StandingRow.number == newest.scalar_subquery()))


def _decision(row: StandingRow) -> Decision:
    return Decision(Kind(row.kind), row.holds, row.reason, row.staff_id, row.created, row.since)
