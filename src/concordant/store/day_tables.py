"""The tables of a worker's day: consent, hand-off, sittings, how people feel, topics, edits (paper App. D).

A *sitting* is one stretch of tasks by one worker, from arriving to going. What people agreed to, said and rewrote is
append-only; a sitting moves until it has ended.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Words, new_id, utc_now


class ConsentTextRow(Base):
    """A consent text that somebody agreed to, word for word. Append-only."""

    __tablename__ = "consent_texts"

    digest: Mapped[str] = mapped_column(primary_key=True)  # sha256 of the text
    text: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ConsentRow(Base):
    """Who agreed to which text, and when. Append-only."""

    __tablename__ = "consents"
    __table_args__ = (UniqueConstraint("worker_id", "digest"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    digest: Mapped[str] = mapped_column(ForeignKey("consent_texts.digest"))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ParticipantRow(Base):
    """Which worker a panel's participant is. Append-only."""

    __tablename__ = "participants"
    __table_args__ = (UniqueConstraint("panel", "participant"),)

    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    panel: Mapped[str] = mapped_column(Words())
    participant: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class WorkerTokenRow(Base):
    """Further secrets of a worker, hashed: who comes from a panel gets a new one in each browser."""

    __tablename__ = "worker_tokens"

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class SittingRow(Base):
    """One stretch of tasks. An ended sitting does not change any more."""

    __tablename__ = "sittings"
    __table_args__ = (
        UniqueConstraint("worker_id", "panel_session"),
        CheckConstraint("tasks > 0", "tasks"),
        CheckConstraint("outcome IN ('completed', 'left', 'broken', 'declined', 'abandoned')", "outcome"),
        CheckConstraint("(outcome IS NULL) = (ended IS NULL)", "ended"),
        Index(
            "uq_sittings_open_worker",
            "worker_id",
            unique=True,
            sqlite_where=text("ended IS NULL"),
            postgresql_where=text("ended IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    panel: Mapped[str | None] = mapped_column(Words())  # None: by their own link
    panel_study: Mapped[str | None] = mapped_column(Words())
    panel_session: Mapped[str | None] = mapped_column(Words())
    tasks: Mapped[int]  # whole conversations wanted
    everyday: Mapped[bool] = mapped_column(default=False)  # no red-team work, please
    code: Mapped[str] = mapped_column(Words())  # what is handed out for the whole of it, as it stood at the beginning
    part_code: Mapped[str] = mapped_column(Words())  # and for a part
    created: Mapped[datetime] = mapped_column(default=utc_now)
    ended: Mapped[datetime | None]
    outcome: Mapped[str | None]


class WellbeingRow(Base):
    """How somebody felt after red-team work. Append-only; neither worker nor sitting nor hour can be read from it.

    ``key`` and ``respondent`` are keyed hashes of the sitting and of the worker, under a secret that the store does not
    hold.
    """

    __tablename__ = "wellbeing"
    # On SQLite the key is the table: rows that are numbered as they come would tell who answered after whom.
    __table_args__ = (CheckConstraint("answer BETWEEN 1 AND 5", "answer"), {"sqlite_with_rowid": False})

    key: Mapped[str] = mapped_column(primary_key=True)
    respondent: Mapped[str]
    week: Mapped[str]  # ISO: 2026-W47
    answer: Mapped[int]  # 1 bad … 5 good


class OptOutRow(Base):
    """The topics that a worker would rather not meet, all of them. Append-only: the highest ``number`` counts."""

    __tablename__ = "opt_outs"
    __table_args__ = (UniqueConstraint("worker_id", "number"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    number: Mapped[int]  # from 1
    topics: Mapped[list[Any]]  # names, as the settings had them
    created: Mapped[datetime] = mapped_column(default=utc_now)


class EditRow(Base):
    """A chosen reply as a worker rewrote it. Append-only: a later ``number`` supersedes the earlier ones."""

    __tablename__ = "edits"
    __table_args__ = (UniqueConstraint("comparison_id", "number"), UniqueConstraint("comparison_id", "key"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    reply_id: Mapped[str] = mapped_column(ForeignKey("replies.id"))
    number: Mapped[int]  # from 1
    text: Mapped[str] = mapped_column(Words())
    key: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)
