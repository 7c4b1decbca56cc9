"""Locks on replies are taken in one order: nobody who ends a conversation meets a writer half-way."""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.reply_queue import claim
from concordant.store.tables import ComparisonRow, MessageRow, ReplyRow, SnapshotRow
from concordant.store.talks import Ending, end_talk, open_talk, retry
from postgres_server import PostgresStore
from stories import base_model, person

pytestmark = pytest.mark.postgres


@pytest.fixture
def store(postgres: PostgresStore) -> Iterator[Database]:
    postgres.empty()
    database = Database.open(postgres.url)
    yield database
    database.close()


def a_pair(db: Database, status: str) -> tuple[str, str]:
    """A talk whose first reply has the higher id, so that every plan but an ordered one takes it first."""
    snapshot, worker = base_model(db), person(db)
    talk = open_talk(db, worker.id, Objective.HELPFUL, 1, "")
    with db.write() as session:
        assert session.get(SnapshotRow, snapshot.id) is not None
        message = MessageRow(id="m", talk_id=talk, turn=1, text="hello", key="k")
        session.add(message)
        session.flush()
        session.add(ComparisonRow(id="c", message_id="m", swap=False))
        session.flush()
        for place, name in enumerate(("high", "a low one")):
            session.add(ReplyRow(id=name, comparison_id="c", place=place, snapshot_id=snapshot.id, seed=0))
            session.flush()
    claim(db, "writer", 2, 60.0)
    with db.write() as session:
        for row in session.scalars(select(ReplyRow)):
            row.status = status
    return talk, "c"


@pytest.mark.parametrize("act", ["end", "retry"])
def test_a_writer_and_a_worker_do_not_wait_for_each_other(store: Database, act: str) -> None:
    talk, comparison = a_pair(store, "writing" if act == "end" else "failed")
    done: list[BaseException | None] = []

    def worker() -> None:
        try:
            end_talk(store, talk, Ending()) if act == "end" else retry(store, comparison)
            done.append(None)
        except BaseException as error:
            done.append(error)

    thread = threading.Thread(target=worker)
    with store.write() as session:  # what a writer does, its first lock and its second
        held = select(ReplyRow.id).with_for_update()
        session.scalars(held.where(ReplyRow.id == "a low one")).one()
        thread.start()
        thread.join(0.4)
        assert thread.is_alive(), "it waits for the writer"
        session.scalars(held.where(ReplyRow.id == "high")).one()
    thread.join(10)
    assert done == [None]
