"""Who agreed to which text: the text itself is kept once, and each agreement names it by its hash.

A changed text has another hash, so nobody has agreed to it yet and everybody is asked again. Nothing is ever taken back
here: who no longer agrees leaves.
"""

import hashlib
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from concordant.store.database import Database
from concordant.store.day_tables import ConsentRow, ConsentTextRow
from concordant.store.tables import WorkerRow

_AGREED = select(ConsentRow.id).where(
    ConsentRow.worker_id == bindparam("worker"), ConsentRow.digest == bindparam("digest")
)


@dataclass(frozen=True, slots=True)
class ConsentText:
    """What people are asked to agree to, in Markdown."""

    text: str

    @property
    def digest(self) -> str:
        """sha256 of the text, 64 hex digits: the version of an agreement."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def agree(db: Database, worker_id: str, consent: ConsentText) -> None:
    """Record that a worker agreed. Agreeing again changes nothing."""
    with db.write_alone() as session:
        session.get_one(WorkerRow, worker_id)
        if session.get(ConsentTextRow, consent.digest) is None:
            session.add(ConsentTextRow(digest=consent.digest, text=consent.text))
            session.flush()
        if session.scalar(_AGREED, {"worker": worker_id, "digest": consent.digest}) is None:
            session.add(ConsentRow(worker_id=worker_id, digest=consent.digest))


def has_agreed(db: Database, worker_id: str, consent: ConsentText) -> bool:
    """Whether the worker agreed to exactly this text."""
    with db.read() as session:
        return session.scalar(_AGREED, {"worker": worker_id, "digest": consent.digest}) is not None
