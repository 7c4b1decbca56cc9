"""The table of what staff did. Append-only."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Words, new_id, utc_now


class AuditRow(Base):
    """One act of a member of staff."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_created", "created"), Index("ix_audit_about", "about"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    staff_id: Mapped[str]  # not a reference: an act outlives the account, and the command line has none
    act: Mapped[str]
    about: Mapped[str] = mapped_column(Words())
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created: Mapped[datetime] = mapped_column(default=utc_now)
