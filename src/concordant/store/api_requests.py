"""Requests to ``/v1/chat/completions`` on their way from the pages to the generator and back.

They are no part of any comparison. The prompt and the texts are erased when the answer has been handed over, when the
client went away, and at the latest ``GONE_SECONDS`` after the client was last there; the row with its counts stays.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from concordant.conversation import Conversation, Speaker, Turn
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.deployment_tables import ApiRequestRow
from concordant.store.registry import State
from concordant.store.reply_queue import Kinds
from concordant.store.tables import DeploymentRow, SnapshotRow, new_id, storable, utc_now

GONE_SECONDS = 30.0
"""A client of which nothing was seen for so long is gone."""
MOST_ATTEMPTS = 3
"""A request whose writer died this often fails."""
_OPEN = ("queued", "writing")
_FAIR_SECONDS = 60
"""Of two keys, the one that had fewer requests begun in this time comes first."""


class QueueFull(Exception):
    """No more requests are taken now. ``own``: because this key has too many open."""

    def __init__(self, own: bool) -> None:
        super().__init__()
        self.own = own


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: n replies of at most so many tokens."""

    n: int
    max_tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most open requests, of all keys together and of one key."""

    together: int
    one_key: int


@dataclass(frozen=True, slots=True)
class ApiJob:
    """A request to be written. ``attempt`` counts from 1."""

    id: str
    snapshot_id: str
    prompt: Conversation
    asked: Asked
    attempt: int


@dataclass(frozen=True, slots=True)
class ApiState:
    """How a request stands: ``texts`` grow, one a reply; token counts where they are known."""

    status: str
    texts: tuple[str, ...]
    finished: tuple[bool, ...]
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str


def ask(db: Database, key_id: str, snapshot_id: str, prompt: Conversation, asked: Asked, bounds: Bounds) -> str:
    """Queue a request; returns its id.

    Raises:
        QueueFull: as many as the bounds allow are open.
    """
    row = ApiRequestRow(
        id=new_id(),
        key_id=key_id,
        snapshot_id=snapshot_id,
        prompt=[[turn.speaker.value, storable(turn.text)] for turn in prompt.turns],
        asked={"n": asked.n, "max_tokens": asked.max_tokens, "temperature": asked.temperature},
        seed=asked.seed,
        texts=[""] * asked.n,
    )
    with db.write_alone() as session:
        _forget(session)
        open_keys = list(session.scalars(select(ApiRequestRow.key_id).where(ApiRequestRow.status.in_(_OPEN))))
        if open_keys.count(key_id) >= bounds.one_key:
            raise QueueFull(own=True)
        if len(open_keys) >= bounds.together:
            raise QueueFull(own=False)
        session.add(row)
    return row.id


def states(db: Database, ids: Collection[str]) -> dict[str, ApiState]:
    """How these requests stand, by id."""
    with db.read() as session:
        rows = session.scalars(select(ApiRequestRow).where(ApiRequestRow.id.in_(ids)))
        return {row.id: _state(row) for row in rows}


def seen(db: Database, ids: Collection[str]) -> None:
    """The clients of these requests are still there."""
    with db.write() as session:
        session.execute(update(ApiRequestRow).where(ApiRequestRow.id.in_(ids)).values(seen=utc_now()))


def hand_over(db: Database, id: str) -> None:
    """The answer was handed over, or its client is gone: erase the texts, and write no more if it is not done."""
    with db.write() as session:
        row = session.get(ApiRequestRow, id, with_for_update=True)
        if row is not None:
            _erase(row)


def take(db: Database, owner: str, lease_seconds: float, kinds: Kinds = None) -> ApiJob | None:
    """The next request to write, in turn over the keys; None: none waits. What waits for a model that is no longer
    deployed fails here."""
    now = utc_now()
    with db.write() as session:
        while (
            row := session.scalar(_next(now, kinds).with_for_update(skip_locked=True, of=ApiRequestRow))
        ) is not None:
            if not _is_deployed(session, row.snapshot_id):
                _fail(row, "The model is no longer deployed.")
            elif row.attempt >= MOST_ATTEMPTS:
                _fail(row, "The reply could not be written.")
            else:
                row.status, row.owner, row.attempt = "writing", owner, row.attempt + 1
                row.lease_until = now + timedelta(seconds=lease_seconds)
                turns = tuple(Turn(Speaker(speaker), text) for speaker, text in row.prompt or ())
                asked = Asked(row.asked["n"], row.asked["max_tokens"], row.asked["temperature"], row.seed)
                return ApiJob(row.id, row.snapshot_id, Conversation(turns), asked, row.attempt)
            session.flush()
    return None


def api_waits(db: Database, kinds: Kinds = None) -> bool:
    """Whether a request waits for a writer."""
    with db.read() as session:
        return session.scalar(_next(utc_now(), kinds)) is not None


def forget_gone(db: Database) -> None:
    """Erase the texts of requests whose client is gone, also where the process that served it died."""
    with db.read() as session:
        if session.scalar(_gone()) is None:
            return
    with db.write() as session:
        _forget(session)


def write(db: Database, owner: str, id: str, texts: Sequence[str], lease_seconds: float) -> bool:
    """Show the texts so far, and begin the lease anew; False: it was cancelled or stopped, or another writes it."""
    with db.write() as session:
        row = _held(session, owner, id)
        if row is None or not _is_deployed(session, row.snapshot_id):
            if row is not None:
                _fail(row, "The model is no longer deployed.")
            return False
        before = row.texts or [""] * len(texts)
        row.texts = [
            new if len(new) >= len(old) else old for old, new in zip(before, map(storable, texts), strict=True)
        ]
        row.lease_until = utc_now() + timedelta(seconds=lease_seconds)
        return True


def finish(db: Database, owner: str, id: str, replies: Sequence[Reply]) -> None:
    """The replies are complete. Ignored if the request is no longer the owner's."""
    with db.write() as session:
        row = _held(session, owner, id)
        if row is None:
            return
        if not _is_deployed(session, row.snapshot_id):
            _fail(row, "The model is no longer deployed.")
            return
        counts = [reply.tokens for reply in replies]
        row.status, row.done, row.prompt, row.lease_until = "done", utc_now(), None, None
        row.texts = [storable(reply.text) for reply in replies]
        row.finished = [reply.finished for reply in replies]
        row.prompt_tokens = replies[0].prompt_tokens
        row.completion_tokens = None if None in counts else sum(count or 0 for count in counts)


def fail(db: Database, owner: str, id: str, error: str, refused: bool = False) -> None:
    """The replies cannot be written; ``error`` is sent to the client. ``refused``: because of what was asked."""
    with db.write() as session:
        row = _held(session, owner, id)
        if row is not None:
            _fail(row, error, "refused" if refused else "failed")


def put_back(db: Database, owner: str, id: str) -> None:
    """Let it wait again, because workers come first; this was no attempt."""
    with db.write() as session:
        row = _held(session, owner, id)
        if row is not None:
            row.status, row.owner, row.lease_until, row.attempt = "queued", None, None, row.attempt - 1


def _next(now: datetime, kinds: Kinds) -> Select[ApiRequestRow]:
    begun = aliased(ApiRequestRow)
    recent = (
        select(func.count())
        .where(
            begun.key_id == ApiRequestRow.key_id,
            begun.created > now - timedelta(seconds=_FAIR_SECONDS),
            begun.status != "queued",
        )
        .correlate(ApiRequestRow)
        .scalar_subquery()
    )
    waits = or_(
        ApiRequestRow.status == "queued", and_(ApiRequestRow.status == "writing", ApiRequestRow.lease_until < now)
    )
    statement = select(ApiRequestRow).where(waits).order_by(recent, ApiRequestRow.created, ApiRequestRow.id).limit(1)
    if kinds is not None:
        statement = statement.where(
            ApiRequestRow.snapshot_id.in_(select(SnapshotRow.id).where(SnapshotRow.kind.in_(kinds)))
        )
    return statement


def _is_deployed(session: Session, snapshot_id: str) -> bool:
    statement = select(DeploymentRow.id).where(
        DeploymentRow.snapshot_id == snapshot_id,
        DeploymentRow.retired.is_(None),
        DeploymentRow.state != State.STOPPED.value,
    )
    return session.scalar(statement.limit(1)) is not None


def _held(session: Session, owner: str, id: str) -> ApiRequestRow | None:
    row = session.get(ApiRequestRow, id, with_for_update=True)
    return row if row is not None and row.status == "writing" and row.owner == owner else None


def _fail(row: ApiRequestRow, error: str, status: str = "failed") -> None:
    row.status, row.error, row.done = status, error, utc_now()
    row.prompt, row.texts, row.lease_until = None, None, None


def _erase(row: ApiRequestRow) -> None:
    row.prompt, row.texts, row.kept = None, None, False
    if row.status in _OPEN:
        row.status, row.done, row.owner, row.lease_until = "cancelled", utc_now(), None, None


def _gone() -> Select[ApiRequestRow]:
    late = utc_now() - timedelta(seconds=GONE_SECONDS)
    return select(ApiRequestRow).where(ApiRequestRow.kept.is_(True), ApiRequestRow.seen < late)


def _forget(session: Session) -> None:
    for row in session.scalars(_gone().order_by(ApiRequestRow.id).with_for_update()):
        _erase(row)
    session.flush()


def _state(row: ApiRequestRow) -> ApiState:
    texts: list[Any] = row.texts or [""] * int(row.asked["n"])
    finished: list[Any] = row.finished or []
    return ApiState(
        row.status,
        tuple(map(str, texts)),
        tuple(map(bool, finished)),
        row.prompt_tokens,
        row.completion_tokens,
        row.error or "",
    )
