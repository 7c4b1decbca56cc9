from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from concordant.store.database import Database
from concordant.store.day_tables import OptOutRow
from concordant.store.opt_outs import opt_out, opted_out
from stories import person


def test_the_newest_wish_counts_and_all_stay_on_record(database: Database) -> None:
    ann, bob = person(database, "Ann"), person(database, "Bob")
    assert opted_out(database, ann.id) == frozenset()
    for topics in ([], ["hate", "violence"], ["violence", "hate"], ["hate", "Größe"], []):
        opt_out(database, ann.id, topics)
        assert opted_out(database, ann.id) == frozenset(topics)
    assert opted_out(database, bob.id) == frozenset()
    with database.read() as session:
        rows = session.scalars(select(OptOutRow).order_by(OptOutRow.number)).all()
        assert [row.topics for row in rows] == [["hate", "violence"], ["Größe", "hate"], []]
    for change in ("UPDATE opt_outs SET number = 9", "DELETE FROM opt_outs"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(change))


def test_two_windows_at_once_lose_nothing(database: Database) -> None:
    ann = person(database, "Ann")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: opt_out(database, ann.id, [f"topic {n}"]), range(8)))
    with database.read() as session:
        assert sorted(session.scalars(select(OptOutRow.number))) == list(range(1, 9))
