"""Workers and the secrets in their links. Only hashes of secrets are stored; a secret is shown once, when it is made.

Left out: staff, who have accounts (``staff.py``).
"""

import hashlib
import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import bindparam, delete, select, update

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.day_tables import ParticipantRow, WorkerTokenRow
from concordant.store.people_tables import ErasureRow
from concordant.store.tables import WorkerRow

LONGEST_NAME = 100

# Made once, for every request of a worker runs them.
_BY_TOKEN = select(WorkerRow).where(WorkerRow.token_hash == bindparam("hash"))
_BY_LATER_TOKEN = (
    select(WorkerRow)
    .join(WorkerTokenRow, WorkerTokenRow.worker_id == WorkerRow.id)
    .where(WorkerTokenRow.token_hash == bindparam("hash"))
)


class WorkerKind(StrEnum):
    """Who stands behind a worker. Everything that a worker makes carries it to every export."""

    PERSON = "person"
    SCRIPTED = "scripted"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Worker:
    """Someone who talks to the models and chooses. ``may_edit``: and may rewrite the reply that they took."""

    id: str
    name: str
    kind: WorkerKind
    may_edit: bool = False


def add_worker(db: Database, name: str, kind: WorkerKind) -> tuple[Worker, str]:
    """A new worker and the secret token of their link, which cannot be shown again."""
    token = _new_token()
    row = WorkerRow(name=name, kind=kind.value, token_hash=hash_token(token))
    with db.write() as session:
        session.add(row)
    return _worker(row), token


def worker_by_token(db: Database, token: str) -> Worker | None:
    """The worker whose link this is."""
    hashed = {"hash": hash_token(token)}
    with db.read() as session:
        row = session.scalar(_BY_TOKEN, hashed) or session.scalar(_BY_LATER_TOKEN, hashed)
        return None if row is None else _worker(row)


def participant(db: Database, panel: str, name: str) -> tuple[Worker, str]:
    """The worker that a panel's participant is, made at the first visit, and a new secret for this browser."""
    token = _new_token()
    with db.write_alone() as session:  # two visits at once are one worker
        known = session.scalar(
            select(ParticipantRow).where(ParticipantRow.panel == panel, ParticipantRow.participant == name)
        )
        if known is None:
            row = WorkerRow(name=f"{panel} {name}", kind=WorkerKind.PERSON.value, token_hash=hash_token(_new_token()))
            session.add(row)
            session.flush()
            session.add(ParticipantRow(worker_id=row.id, panel=panel, participant=name))
        else:
            row = session.get_one(WorkerRow, known.worker_id)
        session.add(WorkerTokenRow(token_hash=hash_token(token), worker_id=row.id))
    return _worker(row), token


def participant_of(db: Database, worker_id: str) -> str:
    """The id by which a worker's panel knows them; "" for who came by their own link."""
    with db.read() as session:
        row = session.get(ParticipantRow, worker_id)
        return "" if row is None else row.participant


def participants(db: Database) -> dict[str, str]:
    """Worker id → the id by which their panel knows them, of all who came from one."""
    with db.read() as session:
        return {row.worker_id: row.participant for row in session.scalars(select(ParticipantRow))}


def invite(db: Database, worker_id: str, name: str, staff_id: str) -> str:
    """A new person under an id made by the form, and the secret of their link; the same id again makes nobody.

    Raises:
        UserError: no name, or the form was sent before: its link was shown then.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise UserError(f"a worker needs a name of at most {LONGEST_NAME} characters, which only staff see")
    token = _new_token()
    with db.write_alone() as session:
        if session.get(WorkerRow, worker_id) is not None:
            raise UserError("this worker was made already, and their link shown; end it on their page to get a new one")
        row = WorkerRow(id=worker_id, name=name, kind=WorkerKind.PERSON.value, token_hash=hash_token(token))
        session.add(row)
        note(session, staff_id, "worker invited", worker_id)
    return token


def end_links(db: Database, worker_id: str, staff_id: str) -> str:
    """A new secret for a worker's link; all their earlier ones, in every browser, open nothing from now on.

    Raises:
        UserError: there is no such worker.
    """
    token = _new_token()
    with db.write() as session:
        row = session.get(WorkerRow, worker_id)
        if row is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        if session.get(ErasureRow, worker_id) is not None:
            raise UserError(f"the text of worker {worker_id!r} was erased, and their links with it; invite them anew")
        row.token_hash = hash_token(token)
        session.execute(delete(WorkerTokenRow).where(WorkerTokenRow.worker_id == worker_id))
        note(session, staff_id, "link ended", worker_id)
    return token


def permit_edits(db: Database, worker_id: str, allowed: bool, staff_id: str = COMMAND_LINE) -> None:
    """Let a worker rewrite replies, or no longer.

    Raises:
        UserError: there is no such worker.
    """
    with db.write() as session:
        if session.get(WorkerRow, worker_id) is None:
            raise UserError(f"there is no worker {worker_id!r}; 'concordant worker list' shows them")
        session.execute(update(WorkerRow).where(WorkerRow.id == worker_id).values(may_edit=allowed))
        note(session, staff_id, "edits permitted" if allowed else "edits not permitted", worker_id)


def workers(db: Database) -> list[Worker]:
    """All workers, in the order in which they came."""
    with db.read() as session:
        rows = session.scalars(select(WorkerRow).order_by(WorkerRow.created, WorkerRow.id))
        return [_worker(row) for row in rows]


def _new_token() -> str:
    return secrets.token_urlsafe(24)


def hash_token(token: str) -> str:
    """What is stored of a secret. It has 192 random bits or more, so a plain hash is enough: nothing can be guessed."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _worker(row: WorkerRow) -> Worker:
    return Worker(row.id, row.name, WorkerKind(row.kind), row.may_edit)
