"""The tables of quality: which conversations are read, verdicts, who stands how with us, second opinions (App. D).

Judgements, and what staff decide about workers, are append-only: the row with the highest number counts. Only leases
move: who is reading a conversation, who is looking at a comparison.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Words, new_id, utc_now


class ReviewDrawRow(Base):
    """Whether an ended conversation is to be read, and the chance that it had. Append-only: it is drawn once."""

    __tablename__ = "review_draws"
    __table_args__ = (
        CheckConstraint("share BETWEEN 0 AND 1", "share"),
        UniqueConstraint("worker_id", "number"),
        Index("ix_review_draws_drawn", "drawn"),
    )

    talk_id: Mapped[str] = mapped_column(ForeignKey("talks.id"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    number: Mapped[int | None]  # the worker's first, second, … conversation; None: nothing was written in it
    pace: Mapped[float | None]  # median seconds to a message
    fast: Mapped[bool]
    share: Mapped[float]  # the chance
    drawn: Mapped[bool]
    twice: Mapped[bool]  # to be read by a second reviewer too
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ReviewClaimRow(Base):
    """Who is reading a conversation, as its first reviewer (place 1) or its second (2), and until when it is theirs."""

    __tablename__ = "review_claims"
    __table_args__ = (CheckConstraint("place IN (1, 2)", "place"),)

    talk_id: Mapped[str] = mapped_column(ForeignKey("talks.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    staff_id: Mapped[str]
    until: Mapped[datetime]


class VerdictRow(Base):
    """A verdict on what a worker wrote in a conversation. Append-only: a later ``number`` supersedes the earlier."""

    __tablename__ = "verdicts"
    __table_args__ = (
        CheckConstraint("place IN (1, 2)", "place"),
        CheckConstraint("verdict BETWEEN 1 AND 5", "verdict"),
        UniqueConstraint("talk_id", "place", "number"),
        UniqueConstraint("talk_id", "key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    talk_id: Mapped[str] = mapped_column(ForeignKey("talks.id"))
    place: Mapped[int]
    number: Mapped[int]  # from 1; the highest counts
    staff_id: Mapped[str]  # not a reference, as in the audit log
    verdict: Mapped[int | None]  # 1 excellent … 5 not usable; None: taken back
    note: Mapped[str] = mapped_column(Words())
    key: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class StandingRow(Base):
    """What staff decided about a worker, and why. Append-only; of each kind the highest number counts."""

    __tablename__ = "standings"
    __table_args__ = (
        CheckConstraint("kind IN ('select', 'exclusion')", "kind"),
        UniqueConstraint("worker_id", "kind", "number"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    kind: Mapped[str]
    number: Mapped[int]  # from 1
    holds: Mapped[bool]  # True: put on the list, or excluded; False: taken off, or admitted again
    since: Mapped[datetime | None]  # exclusion: of what was made from this moment on; None: of everything
    reason: Mapped[str] = mapped_column(Words())
    staff_id: Mapped[str]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class SecondLookRow(Base):
    """A comparison that another worker is asked about, and who is looking at it now."""

    __tablename__ = "second_looks"

    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"), primary_key=True)
    maker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    objective: Mapped[str]
    holder_id: Mapped[str | None] = mapped_column(ForeignKey("workers.id"))
    swap: Mapped[bool | None]  # True: the holder sees reply 0 as B
    until: Mapped[datetime | None]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class SecondOpinionRow(Base):
    """What another worker said of a comparison. Append-only; a comparison has one answer at most."""

    __tablename__ = "second_opinions"
    __table_args__ = (
        CheckConstraint("button BETWEEN 1 AND 8", "button"),
        UniqueConstraint("comparison_id", "worker_id"),
        Index(
            "uq_second_opinions_answered",
            "comparison_id",
            unique=True,
            sqlite_where=text("button IS NOT NULL"),
            postgresql_where=text("button IS NOT NULL"),
        ),
        Index("ix_second_opinions_sitting_id", "sitting_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    sitting_id: Mapped[str | None] = mapped_column(ForeignKey("sittings.id"))
    swap: Mapped[bool]
    button: Mapped[int | None]  # 1 to 8, as the sides were shown to them; None: they could not say
    created: Mapped[datetime] = mapped_column(default=utc_now)
