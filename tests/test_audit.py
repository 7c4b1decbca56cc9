from datetime import date, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, ActQuery, acts, all_acts, find_acts, known_acts, note
from concordant.store.database import Database
from desk_stories import Clock


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


@pytest.fixture
def log(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Five acts, the first two on the first of March."""
    clock = Clock(monkeypatch)
    for number, (who, act, about) in enumerate(
        [
            ("s1", "worker excluded", "w1"),
            ("s2", "worker excluded", "w2"),
            ("s1", "worker admitted", "w1"),
            (COMMAND_LINE, "weight set", "d1"),
            ("s1", "worker excluded", "w3"),
        ]
    ):
        if number == 2:
            clock.now += timedelta(days=1)
        with database.write() as session:
            note(session, who, act, about, number=number)
    return database


def test_the_log_by_who_what_about_and_when(log: Database) -> None:
    queries: list[tuple[ActQuery, list[int]]] = [
        (ActQuery(), [4, 3, 2, 1, 0]),
        (ActQuery(staff_id="s1"), [4, 2, 0]),
        (ActQuery(act="worker excluded"), [4, 1, 0]),
        (ActQuery(about="w1"), [2, 0]),
        (ActQuery(last=date(2026, 3, 1)), [1, 0]),
        (ActQuery(first=date(2026, 3, 2), staff_id="s1"), [4, 2]),
        (ActQuery(first=date(2026, 3, 3)), []),
    ]
    for query, numbers in queries:
        assert [act.detail["number"] for act in find_acts(log, query, 50).acts] == numbers, query
        assert [act.detail["number"] for act in all_acts(log, query)] == numbers
    assert known_acts(log) == ([COMMAND_LINE, "s1", "s2"], ["weight set", "worker admitted", "worker excluded"])


def test_the_log_page_by_page(log: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.audit._AT_ONCE", 2)
    assert len(list(all_acts(log, ActQuery()))) == 5
    numbers, after = [], ""
    while True:
        page = find_acts(log, ActQuery(), 2, after)
        numbers.append([act.detail["number"] for act in page.acts])
        after = page.after
        if not after:
            break
    assert numbers == [[4, 3], [2, 1], [0]]
    with pytest.raises(UserError, match="there is no act 'gone'"):
        find_acts(log, ActQuery(), 2, "gone")
