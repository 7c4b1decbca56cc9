"""Workers and the secrets in their links. Only hashes of secrets are stored; a secret is shown once, when it is made.

Left out: accounts with passwords, roles, invitations.
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import select

from concordant.store.database import Database
from concordant.store.tables import StaffTokenRow, WorkerRow


class WorkerKind(StrEnum):
    """Who stands behind a worker. Everything that a worker makes carries it to every export."""

    PERSON = "person"
    SCRIPTED = "scripted"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Worker:
    """Someone who talks to the models and chooses."""

    id: str
    name: str
    kind: WorkerKind


def add_worker(db: Database, name: str, kind: WorkerKind) -> tuple[Worker, str]:
    """A new worker and the secret token of their link, which cannot be shown again."""
    token = _new_token()
    row = WorkerRow(name=name, kind=kind.value, token_hash=_hash(token))
    with db.write() as session:
        session.add(row)
    return _worker(row), token


def worker_by_token(db: Database, token: str) -> Worker | None:
    """The worker whose link this is."""
    with db.read() as session:
        row = session.scalar(select(WorkerRow).where(WorkerRow.token_hash == _hash(token)))
        return None if row is None else _worker(row)


def workers(db: Database) -> list[Worker]:
    """All workers, in the order in which they came."""
    with db.read() as session:
        rows = session.scalars(select(WorkerRow).order_by(WorkerRow.created, WorkerRow.id))
        return [_worker(row) for row in rows]


def add_staff_token(db: Database) -> str:
    """A new secret that opens the researcher's pages; it cannot be shown again."""
    token = _new_token()
    with db.write() as session:
        session.add(StaffTokenRow(token_hash=_hash(token)))
    return token


def is_staff_token(db: Database, token: str) -> bool:
    with db.read() as session:
        return session.get(StaffTokenRow, _hash(token)) is not None


def _new_token() -> str:
    return secrets.token_urlsafe(24)


def _hash(token: str) -> str:
    # A token has 192 random bits, so a plain hash is enough: there is nothing to guess.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _worker(row: WorkerRow) -> Worker:
    return Worker(row.id, row.name, WorkerKind(row.kind))
