"""The topics that a worker would rather not meet in red-team work.

A wish is kept until the next one takes its place, over sessions and browsers. No page of the staff's reads this: whom a
topic weighs on is nobody's business. Left out: whether a text touches a topic (``topics.py``).
"""

from collections.abc import Collection

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from concordant.store.database import Database
from concordant.store.day_tables import OptOutRow
from concordant.store.tables import WorkerRow

_NEWEST = select(OptOutRow).where(OptOutRow.worker_id == bindparam("worker")).order_by(OptOutRow.number.desc()).limit(1)


def opt_out(db: Database, worker_id: str, topics: Collection[str]) -> None:
    """From now on exactly these topics, by name; none: everything is fine. Said again, it writes nothing."""
    with db.write() as session:
        session.get_one(WorkerRow, worker_id, with_for_update=True)
        newest = _newest(session, worker_id)
        if set(topics) != set([] if newest is None else newest.topics):
            number = 1 if newest is None else newest.number + 1
            session.add(OptOutRow(worker_id=worker_id, number=number, topics=sorted(set(topics))))


def opted_out(db: Database, worker_id: str) -> frozenset[str]:
    """The names of the topics, as they were when they were ticked: a programme may have other ones by now."""
    with db.read() as session:
        newest = _newest(session, worker_id)
        return frozenset([] if newest is None else newest.topics)


def _newest(session: Session, worker_id: str) -> OptOutRow | None:
    return session.scalar(_NEWEST, {"worker": worker_id})
