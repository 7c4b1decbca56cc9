"""What staff changed, when, and by whom: written in the transaction of the change itself, so neither is without the
other."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from concordant.store.audit_table import AuditRow
from concordant.store.database import Database

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


def acts(db: Database, most: int, about: str | None = None) -> list[Act]:
    """The newest acts, newest first; with ``about``, those done to one thing."""
    statement = select(AuditRow).order_by(AuditRow.created.desc(), AuditRow.id).limit(most)
    if about is not None:
        statement = statement.where(AuditRow.about == about)
    with db.read() as session:
        return [Act(row.staff_id, row.act, row.about, row.detail, row.created) for row in session.scalars(statement)]
