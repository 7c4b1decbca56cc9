"""The tables: what is recorded, and in which column (paper §2.1 to §2.4 for what people do).

Rows are added and hardly ever changed: what people wrote and chose is append-only, and triggers in the database keep it
so (``migrations``). Only replies being written, open talks, deployments and the journal move. Left out: the tables of a
worker's day (``day_tables.py``), how rows become nouns (``talks.py``, ``records.py``), and the migrations, which are
never edited and so repeat these definitions.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Json = dict[str, Any]


class Words(TypeDecorator[str]):
    """Text from people and models. Both databases must hold the same, so what PostgreSQL cannot hold, the NUL
    character and halves of surrogate pairs, is stored as U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


def storable(value: str) -> str:
    """A text as both databases can hold it."""
    return value.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Instant(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no time zone, so it is taken off there and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def new_id() -> str:
    """A fresh id: 32 hex digits."""
    return uuid4().hex


def utc_now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map = {str: Text(), datetime: Instant(), Json: JSON(), list[Any]: JSON(), float: Double()}  # noqa: RUF012


class WorkerRow(Base):
    """Who talks and chooses. ``kind`` says whether it is a person, a script, or a model standing in for one."""

    __tablename__ = "workers"
    __table_args__ = (CheckConstraint("kind IN ('person', 'scripted', 'simulated')", "kind"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Words())
    kind: Mapped[str]
    token_hash: Mapped[str] = mapped_column(unique=True)  # sha256 of the secret in the worker's link
    may_edit: Mapped[bool] = mapped_column(default=False)  # may rewrite the reply that they took
    created: Mapped[datetime] = mapped_column(default=utc_now)


class SnapshotRow(Base):
    """A model version that people can meet."""

    __tablename__ = "snapshots"
    __table_args__ = (CheckConstraint("kind IN ('model', 'best_of_k', 'endpoint', 'written')", "kind"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    label: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    spec: Mapped[Json]  # by kind, as ``registry.Snapshot`` says
    run: Mapped[str | None]
    parents: Mapped[list[Any]]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class DeploymentRow(Base):
    """A snapshot with a weight, from when to when, and how it stands, or stood at its end."""

    __tablename__ = "deployments"
    __table_args__ = (
        CheckConstraint("weight > 0", "weight"),
        CheckConstraint("state IN ('live', 'draining', 'stopped')", "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"))
    weight: Mapped[float]
    objective: Mapped[str | None]  # None: for both
    created: Mapped[datetime] = mapped_column(default=utc_now)
    retired: Mapped[datetime | None]
    state: Mapped[str] = mapped_column(default="live", server_default="live")


class RunRow(Base):
    """A finished training run: where its folder is, what it came from."""

    __tablename__ = "runs"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    path: Mapped[str]
    parents: Mapped[Json]  # role → id
    result: Mapped[Json]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class TalkRow(Base):
    """One worker's conversation with the models. An ended talk does not change any more."""

    __tablename__ = "talks"
    __table_args__ = (
        CheckConstraint("objective IN ('helpful', 'harmless')", "objective"),
        CheckConstraint("turns > 0", "turns"),
        Index(
            "uq_talks_open_worker",
            "worker_id",
            unique=True,
            sqlite_where=text("ended IS NULL"),
            postgresql_where=text("ended IS NULL"),
        ),
        Index("ix_talks_created", "created", "id"),
        Index("ix_talks_worker_id_created", "worker_id", "created"),
        Index("ix_talks_sitting_id", "sitting_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    worker_id: Mapped[str] = mapped_column(ForeignKey("workers.id"))
    objective: Mapped[str]
    study: Mapped[str]
    turns: Mapped[int]  # choices wanted
    created: Mapped[datetime] = mapped_column(default=utc_now)
    ended: Mapped[datetime | None]
    rating: Mapped[int | None]  # in red-team work: how successful
    harm: Mapped[int | None]  # red-team work: how harmful
    actionability: Mapped[int | None]  # red-team work: how much of it could be acted upon
    comment: Mapped[str | None] = mapped_column(Words())
    sitting_id: Mapped[str | None] = mapped_column(ForeignKey("sittings.id"))  # None: not part of a sitting


class MessageRow(Base):
    """What a worker wrote. Append-only. The models' side of a talk is not stored twice: it is the chosen replies."""

    __tablename__ = "messages"
    __table_args__ = (UniqueConstraint("talk_id", "turn"), UniqueConstraint("talk_id", "key"))

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    talk_id: Mapped[str] = mapped_column(ForeignKey("talks.id"))
    turn: Mapped[int]  # from 1
    text: Mapped[str] = mapped_column(Words())
    key: Mapped[str] = mapped_column(
        Words()
    )  # made by the client for each submit: the same submit twice is one message
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ComparisonRow(Base):
    """Two replies to one message. Append-only."""

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id"), unique=True)
    swap: Mapped[bool]  # True: reply 0 is shown as B
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ReplyRow(Base):
    """One of the two replies, from waiting in the queue to done. A done reply does not change any more."""

    __tablename__ = "replies"
    __table_args__ = (
        UniqueConstraint("comparison_id", "place"),
        CheckConstraint("place IN (0, 1)", "place"),
        CheckConstraint("status IN ('queued', 'writing', 'done', 'failed')", "status"),
        Index("ix_replies_status", "status", "created", "place", "id"),
        Index("ix_replies_snapshot_id", "snapshot_id", "created"),
        # who wrote what, without reading the texts: all counts by model go through it
        Index("ix_replies_comparison_id_place_snapshot_id", "comparison_id", "place", "snapshot_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    place: Mapped[int]
    snapshot_id: Mapped[str] = mapped_column(ForeignKey("snapshots.id"))
    seed: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(default="queued")
    text: Mapped[str] = mapped_column(Words(), default="")
    error: Mapped[str | None] = mapped_column(Words())
    attempt: Mapped[int] = mapped_column(default=0)  # how often it was claimed
    owner: Mapped[str | None]  # who is writing it
    lease_seconds: Mapped[float | None]
    lease_until: Mapped[datetime | None]
    finished: Mapped[bool | None]  # the model ended its turn by itself
    tokens: Mapped[int | None]
    score: Mapped[float | None]  # by the preference model, where one chose the reply
    created: Mapped[datetime] = mapped_column(default=utc_now)
    done: Mapped[datetime | None]


class ChoiceRow(Base):
    """Which button a worker pressed. Append-only: a later ``number`` supersedes the earlier ones, none is erased."""

    __tablename__ = "choices"
    __table_args__ = (
        UniqueConstraint("comparison_id", "number"),
        UniqueConstraint("comparison_id", "key"),
        CheckConstraint("button BETWEEN 1 AND 8", "button"),
        Index("ix_choices_created", "created"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    comparison_id: Mapped[str] = mapped_column(ForeignKey("comparisons.id"))
    number: Mapped[int]  # from 1; the highest counts
    button: Mapped[int]  # 1 "A is much better" … 8 "B is much better", as the sides were shown
    key: Mapped[str] = mapped_column(Words())
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ImportRow(Base):
    """A file that was imported. Append-only."""

    __tablename__ = "imports"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(Words())
    digest: Mapped[str] = mapped_column(unique=True)  # sha256 of the file
    objective: Mapped[str]
    tranche: Mapped[str]
    rows: Mapped[int]
    dropped: Mapped[Json]  # reason → rows
    created: Mapped[datetime] = mapped_column(default=utc_now)


class ImportedRow(Base):
    """A preference from a file. Append-only."""

    __tablename__ = "imported_preferences"
    __table_args__ = (UniqueConstraint("import_id", "row"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    import_id: Mapped[str] = mapped_column(ForeignKey("imports.id"))
    row: Mapped[int]  # order in the file
    prompt: Mapped[list[Any]]  # [[speaker, text], …]
    reply_a: Mapped[str] = mapped_column(Words())
    reply_b: Mapped[str] = mapped_column(Words())
    preferred: Mapped[str]
    worker_kind: Mapped[str | None]  # where the file says so


class DatasetRow(Base):
    """A frozen data set: the file's place and the hash of its content. Append-only."""

    __tablename__ = "datasets"

    name: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    path: Mapped[str]
    filter: Mapped[Json]
    counts: Mapped[Json]
    created: Mapped[datetime] = mapped_column(default=utc_now)


class StepRow(Base):
    """A step of an iteration of the online loop: what went in, and, once it is finished, what came out."""

    __tablename__ = "steps"

    iteration: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(primary_key=True)
    inputs: Mapped[Json]
    outputs: Mapped[Json | None]
    starts: Mapped[int]
    started: Mapped[datetime]
    finished: Mapped[datetime | None]


class LeaseRow(Base):
    """Which process works on an iteration, and when it last said so."""

    __tablename__ = "leases"

    iteration: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[str]
    host: Mapped[str]
    process: Mapped[int]
    heartbeat: Mapped[datetime]
