import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.store.audit import COMMAND_LINE, acts, note
from concordant.store.database import Database


def test_acts_come_newest_first_and_by_what_they_were_done_to(database: Database) -> None:
    for act, about in (("worker excluded", "w1"), ("worker admitted", "w1"), ("weight set", "d1")):
        with database.write() as session:
            note(session, "s1", act, about, why="a reason")
    assert [(act.act, act.about) for act in acts(database, 2)] == [("weight set", "d1"), ("worker admitted", "w1")]
    found = acts(database, 10, about="w1")
    assert [act.act for act in found] == ["worker admitted", "worker excluded"]
    assert found[0].staff_id == "s1" and found[0].detail == {"why": "a reason"}


def test_an_act_is_kept_only_with_its_change_and_for_good(database: Database) -> None:
    with pytest.raises(RuntimeError), database.write() as session:
        note(session, COMMAND_LINE, "worker excluded", "w1")
        raise RuntimeError("the change failed")
    assert acts(database, 10) == []
    with database.write() as session:
        note(session, COMMAND_LINE, "worker excluded", "w1")
    for statement in ("UPDATE audit SET staff_id = 'another'", "DELETE FROM audit"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))
