"""Tables beside deployments: replies that failed and why, replies that people wrote, and API keys with their requests.

What people wrote and what went wrong is append-only. An API request's texts are cleared once they are handed over; its
row stays for the counts. Left out: the deployments themselves (``tables.py``).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from concordant.store.tables import Base, Json, Words, new_id, utc_now

_NullJson = JSON(none_as_null=True)


class FailureRow(Base):
    """A reply that could not be written, or was taken from a stopped deployment. Append-only; for researchers alone."""

    __tablename__ = "reply_failures"
    __table_args__ = (Index("ix_reply_failures_snapshot_id", "snapshot_id", "created"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    reply_id: Mapped[str] = mapped_column(ForeignKey("replies.id"))
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"))  # whose reply it was then
    reason: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class WrittenRow(Base):
    """A reply that a person wrote to a prompt, from an imported file. Append-only."""

    __tablename__ = "written_replies"
    __table_args__ = (UniqueConstraint("snapshot_id", "row"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"))
    row: Mapped[int]  # order in the file, from 1
    prompt: Mapped[str] = mapped_column(Words())
    reply: Mapped[str] = mapped_column(Words())
    writer: Mapped[str] = mapped_column(Words())


class GivenRow(Base):
    """A talk whose first message was given to the worker, with the reply that a person wrote to it. Append-only."""

    __tablename__ = "given_openings"
    __table_args__ = (Index("ix_given_openings_written_id", "written_id"),)

    talk_id: Mapped[str] = mapped_column(ForeignKey("talks.id"), primary_key=True)
    written_id: Mapped[str] = mapped_column(ForeignKey("written_replies.id"))
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ApiKeyRow(Base):
    """A key to ``/v1``. Only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Words(), unique=True)
    key_hash: Mapped[str] = mapped_column(unique=True)  # sha256
    snapshots: Mapped[list[Any] | None] = mapped_column(_NullJson)  # ids that it may use; None: all that are deployed
    created: Mapped[datetime] = mapped_column(default=utc_now)
    expires: Mapped[datetime | None]
    revoked: Mapped[datetime | None]
    last_used: Mapped[datetime | None]


class ApiRequestRow(Base):
    """A request to ``/v1/chat/completions``. ``prompt`` and ``texts`` are None once it is over, and ``kept`` False."""

    __tablename__ = "api_requests"
    __table_args__ = (
        CheckConstraint("status IN ('queued', 'writing', 'done', 'failed', 'refused', 'cancelled')", "status"),
        Index("ix_api_requests_status", "status", "created"),
        Index("ix_api_requests_kept", "kept", "seen"),
        Index("ix_api_requests_key_id", "key_id", "created"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"))
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"))
    status: Mapped[str] = mapped_column(default="queued")
    prompt: Mapped[list[Any] | None] = mapped_column(_NullJson)  # [[speaker, text], …]
    asked: Mapped[Json]  # {n, max_tokens, temperature}
    seed: Mapped[int] = mapped_column(BigInteger)
    texts: Mapped[list[Any] | None] = mapped_column(_NullJson)  # so far, one a reply
    finished: Mapped[list[Any] | None] = mapped_column(_NullJson)  # one a reply: the model ended its turn by itself
    prompt_tokens: Mapped[int | None]
    completion_tokens: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Words())
    kept: Mapped[bool] = mapped_column(default=True)  # somebody waits for it, and it may hold texts
    attempt: Mapped[int] = mapped_column(default=0)
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    seen: Mapped[datetime] = mapped_column(default=utc_now)  # when its client was last there
    created: Mapped[datetime] = mapped_column(default=utc_now)
    done: Mapped[datetime | None]
