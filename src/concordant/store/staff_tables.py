"""The tables of staff: accounts, the sessions of their browsers, and links that work once.

Sessions and links hold hashes of secrets alone. What staff did is in ``audit_table.py``.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Words, new_id, utc_now


class StaffRow(Base):
    """A member of staff. Never deleted, because verdicts and the audit log name them; who has gone is not active."""

    __tablename__ = "staff"
    __table_args__ = (CheckConstraint("role IN ('researcher', 'reviewer')", "role"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Words())
    login: Mapped[str] = mapped_column(Words(), unique=True)  # case-folded
    password_hash: Mapped[str | None]  # argon2; None: none chosen yet, or single sign-on alone
    sign_on: Mapped[str | None] = mapped_column(Words(), unique=True)  # issuer and subject of single sign-on
    role: Mapped[str]
    active: Mapped[bool] = mapped_column(default=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class StaffSessionRow(Base):
    """A browser in which a member of staff has signed in."""

    __tablename__ = "staff_sessions"
    __table_args__ = (Index("ix_staff_sessions_staff_id", "staff_id"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[str] = mapped_column(unique=True)  # sha256 of the cookie
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"))
    agent: Mapped[str] = mapped_column(Words())  # what the browser calls itself, shortened
    created: Mapped[datetime] = mapped_column(default=utc_now)
    last_used: Mapped[datetime] = mapped_column(default=utc_now)
    expires: Mapped[datetime]
    revoked: Mapped[datetime | None]


class StaffLinkRow(Base):
    """A link that works once: it signs in, or lets a password be chosen."""

    __tablename__ = "staff_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('sign-in', 'password')", "purpose"),
        Index("ix_staff_links_staff_id", "staff_id"),
    )

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    staff_id: Mapped[str] = mapped_column(ForeignKey("staff.id"))
    purpose: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    expires: Mapped[datetime]
    used: Mapped[datetime | None]  # or withdrawn
