"""Tables around workers: what they were paid, what staff and they wrote to each other, whose text was erased (App. D).

All are append-only; that something is over (an announcement ended, a file cleaned) is a row or a moment of its own.
Amounts are whole numbers of the currency's smallest unit.
"""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Words, new_id, utc_now

MARKER = "[erased]"
"""What stands in the place of an erased text. Migration 0007 has it too: the database takes no other."""


class BonusRow(Base):
    """Something earned beside the rates: a top-up, or the price of a failure of ours. Append-only."""

    __tablename__ = "bonuses"
    __table_args__ = (UniqueConstraint("worker_id", "key"), CheckConstraint("amount > 0", "amount"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    key: Mapped[str] = mapped_column(Words())  # made by the form: the same submit twice is one bonus
    currency: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Words())
    staff_id: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class PaymentRow(Base):
    """One worker's part of a payment. Append-only. ``key`` is the payment's: its workers share it."""

    __tablename__ = "payments"
    __table_args__ = (UniqueConstraint("key", "worker_id"), CheckConstraint("amount > 0", "amount"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    key: Mapped[str] = mapped_column(Words())
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    currency: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)  # the sum of its lines
    reference: Mapped[str] = mapped_column(Words())
    staff_id: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class PaymentLineRow(Base):
    """What a payment is for: a sitting or a bonus, each of which the database takes once. Append-only."""

    __tablename__ = "payment_lines"
    __table_args__ = (
        CheckConstraint("(sitting_id IS NULL) <> (bonus_id IS NULL)", "what"),
        CheckConstraint("amount > 0", "amount"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"))
    sitting_id: Mapped[str | None] = mapped_column(ForeignKey("sittings.id"), unique=True)
    bonus_id: Mapped[str | None] = mapped_column(ForeignKey("bonuses.id"), unique=True)
    amount: Mapped[int] = mapped_column(BigInteger)


class LetterRow(Base):
    """A message between the staff and one worker. Append-only. ``staff_id`` None: by the worker."""

    __tablename__ = "letters"
    __table_args__ = (
        UniqueConstraint("worker_id", "key"),
        Index("ix_letters_worker_id_created", "worker_id", "created"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    staff_id: Mapped[str | None]
    text: Mapped[str] = mapped_column(Words())
    key: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class LetterSeenRow(Base):
    """A message was read by the other side. Append-only."""

    __tablename__ = "letters_seen"

    letter_id: Mapped[str] = mapped_column(ForeignKey("letters.id"), primary_key=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class AnnouncementRow(Base):
    """What staff tell many workers. Append-only. ``everyone``: else those in ``announcement_workers``."""

    __tablename__ = "announcements"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    text: Mapped[str] = mapped_column(Words())
    everyone: Mapped[bool]
    staff_id: Mapped[str]
    key: Mapped[str] = mapped_column(Words(), unique=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class AnnouncementWorkerRow(Base):
    """Whom an announcement is for. Append-only."""

    __tablename__ = "announcement_workers"

    announcement_id: Mapped[str] = mapped_column(ForeignKey("announcements.id"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)


class AnnouncementSeenRow(Base):
    """A worker put an announcement aside. Append-only."""

    __tablename__ = "announcements_seen"

    announcement_id: Mapped[str] = mapped_column(ForeignKey("announcements.id"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    created: Mapped[datetime] = mapped_column(default=utc_now)


class AnnouncementEndRow(Base):
    """An announcement is shown to nobody any more. Append-only."""

    __tablename__ = "announcements_ended"

    announcement_id: Mapped[str] = mapped_column(ForeignKey("announcements.id"), primary_key=True)
    staff_id: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ErasureRow(Base):
    """A worker's text was erased. Only for them do the triggers let texts, and nothing else, become the marker."""

    __tablename__ = "erasures"

    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    replies: Mapped[bool]  # also the models' replies to them
    staff_id: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)
    cleaned: Mapped[datetime | None]  # when the store's file held none of it any more; the one thing that changes, once
