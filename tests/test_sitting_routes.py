"""Sittings: what is paid for is in the file, and how people feel is told by the group."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.room import Room
from concordant.collect.sitting_routes import line
from concordant.programme_config import PayConfig
from concordant.store.database import Database
from concordant.store.pay_book import accounts
from concordant.store.pay_rules import Terms
from concordant.store.people import WorkerKind, add_worker
from concordant.store.sittings import Offer, Outcome, Sitting, end_sitting, last_sitting, open_sitting
from concordant.store.wellbeing import feel
from desk_stories import rows_of, staff_client
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all
from working_days import Day, sit, whole


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def room(store: Database, tmp_path: Path) -> Room:
    return room_with(store, tmp_path)


@pytest.fixture
def staff(room: Room) -> Iterator[TestClient]:
    with staff_client(room) as client:
        yield client


def test_sittings_can_be_paid_from_a_file_and_feelings_are_told_by_the_group(
    store: Database, room: Room, staff: TestClient
) -> None:
    deploy_two(store)
    visitor = Visitor(store, room, "=cmd()")
    last_week = datetime.now(UTC).date() - timedelta(weeks=1)
    with visitor.client:
        visitor.start()
        visitor.say()
        write_all(store, "one", "two")
        visitor.choose(1)
        visitor.send("/work/stop")
    sitting = last_sitting(store, visitor.worker.id)
    assert sitting is not None
    feel(store, room.seed, sitting, 1, last_week)
    (row,) = rows_of(staff.get("/researcher/sittings.csv").text)
    assert (row["state"], row["done"], row["left"], row["choices"], row["tasks"]) == ("left", "0", "1", "1", "5")
    assert row["worker"] == "'=cmd()", "a spreadsheet takes it for no formula"
    html = staff.get("/researcher/sittings").text
    assert (
        '<td class="n">0</td> <td class="n">5</td>' in re.sub(r"\s+", " ", html)
        and "fewer than 5 people answered" in html
    )
    for number in range(4):
        worker, _ = add_worker(store, f"w{number}", WorkerKind.PERSON)
        other = end_sitting(store, open_sitting(store, worker.id, Offer(1)).id, Outcome.LEFT)
        feel(store, room.seed, other, 4, last_week)
    html = re.sub(r"\s+", " ", staff.get("/researcher/sittings").text)
    cells = "".join(f'<td class="n">{n}</td>' for n in (1, 0, 0, 4, 0))
    assert cells in html and "fewer than" not in html


def test_a_sitting_without_a_sign_of_life_is_shown_as_abandoned() -> None:
    began = datetime(2026, 11, 22, 12, tzinfo=UTC)
    sitting = Sitting("s", "w", None, Offer(5), False, 1, 0, 4, 0, began, began + timedelta(minutes=9), None, None)
    assert line("Ann", sitting, 540, began + timedelta(hours=2))["state"] == "open"
    late = line("Ann", sitting, 540, began + timedelta(hours=3))
    assert (late["state"], late["minutes"], late["done"], late["choices"]) == ("abandoned", 9.0, 1, 4)


@pytest.mark.parametrize("idle", [10, 20])
def test_the_minutes_that_are_shown_are_those_that_are_paid(store: Database, tmp_path: Path, idle: int) -> None:
    """Somebody works for six minutes, is away for a quarter of an hour, and comes back for three."""
    pay = PayConfig(idle_minutes=idle)
    visitor = Visitor(store, replace(room_with(store, tmp_path), pay=pay))
    (model, _) = deploy_two(store)
    sitting = sit(store, visitor.worker, model, Day([whole(180), whole(1260)], Outcome.LEFT))
    ((item,),) = (one.items for one in accounts(store, Terms.of(pay)))
    assert item.seconds == (540 if idle == 10 else 1440)
    with visitor.client:
        visitor.enter()
        html = visitor.client.get(f"/work/session/{sitting}").text
    assert f"2 choices, {item.seconds // 60} minutes (without pauses of more than {idle} min)" in html
    with staff_client(visitor.room) as staff:
        (row,) = rows_of(staff.get("/researcher/sittings.csv").text)
        assert float(row["minutes"]) == item.seconds / 60
        assert f'<td class="n">{item.seconds / 60:.1f}</td>' in staff.get("/researcher/sittings").text


def test_the_file_has_more_sittings_than_are_read_at_once(
    store: Database, staff: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concordant.store.sittings._AT_ONCE", 2)
    monkeypatch.setattr("concordant.collect.sitting_routes.MOST", 3)
    ids = []
    for number in range(5):
        worker, _ = add_worker(store, f"w{number}", WorkerKind.PERSON)
        ids.append(open_sitting(store, worker.id, Offer(1)).id)
    rows = rows_of(staff.get("/researcher/sittings.csv").text)
    assert [row["sitting"] for row in rows] == ids[::-1]
    assert rows[0]["began"].endswith("+00:00") and rows[0]["ended"] == ""
