"""The page of pay: who is below the floor, payments recorded once and seen by the worker, files by hand."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.room import Room
from concordant.store.database import Database
from concordant.store.pay_book import payments
from concordant.store.people import participant
from concordant.store.sittings import Outcome
from concordant.store.staff import staff_names
from offices import office, paying, send
from stories import base_model, person
from visitors import Visitor, deploy_two, fresh_store, room_with
from working_days import Day, sit, whole


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def room(store: Database, tmp_path: Path) -> Room:
    return paying(room_with(store, tmp_path))


@pytest.fixture
def staff(room: Room) -> Iterator[TestClient]:
    with office(room) as client:
        yield client


def boxes(page: str) -> list[str]:
    return re.findall(r'name="worker" value="([^"]+)"', page)


def test_where_no_rate_is_set_the_page_says_how(store: Database, tmp_path: Path) -> None:
    with office(room_with(store, tmp_path)) as staff:
        assert "Pay is not kept here yet" in staff.get("/researcher/pay").text
        assert "[pay]" in staff.get("/researcher/pay").text


def test_paying_what_is_owed(staff: TestClient, store: Database) -> None:
    assert "Nobody has worked yet" in staff.get("/researcher/pay").text
    model = base_model(store)
    ann, _ = participant(store, "prolific", "=p-ann")
    bob = person(store, "Bob")
    sit(store, ann, model, Day([whole(0), whole(200, red_team=True)], study="spring"))  # 2.40 in 380 s
    sit(store, bob, model, Day([whole(0)], Outcome.LEFT))  # 1.00 in 180 s: 20.00 an hour
    page = staff.get("/researcher/pay").text
    assert boxes(page) == [f"{ann.id}:240", f"{bob.id}:100"]
    # Bob: 25.00 · 180 / 3600 = 1.25; all: 3.40 in 560 s
    assert re.search(r">Bob</a> at 20\.00; a bonus of 0\.25 EUR", page) and "<dd>21.86</dd>" in page
    assert re.search(r"<td>spring</td>.*?below by 0\.24 in all", page, re.S)
    assert staff.get("/researcher/pay-panel.csv").text == "'=p-ann,2.40\n"
    answer = send(staff, "/researcher/pay", "/researcher/pay", worker=[f"{bob.id}:100"], reference="transfer 7")
    assert answer.status_code == 200 and "transfer 7" in answer.text
    assert boxes(answer.text) == [f"{ann.id}:240"]
    (payment,) = payments(store)
    assert (payment.worker_id, payment.amount, staff_names(store)[payment.staff_id]) == (bob.id, 100, "Ann")
    rows = list(csv.DictReader(io.StringIO(staff.get("/researcher/pay.csv").text)))
    assert [(row["name"], row["earned"], row["paid"], row["study"]) for row in rows] == [
        ("prolific =p-ann", "2.40", "no", "spring"),
        ("Bob", "1.00", "yes", ""),
    ]


def test_a_form_sent_twice_pays_once(staff: TestClient, store: Database) -> None:
    ann, _ = participant(store, "prolific", "p-ann")
    sit(store, ann, base_model(store), Day([whole(0)]))
    form = {"key": "k", "reference": "r", "worker": [f"{ann.id}:100"]}
    for _ in range(3):
        assert staff.post("/researcher/pay", data=form).status_code == 200
    assert [one.amount for one in payments(store)] == [100]
    assert staff.get("/researcher/pay-panel.csv").text == ""
    assert staff.get("/researcher/pay-panel.csv?key=k").text == "p-ann,1.00\n"
    assert staff.get("/researcher/pay-panel.csv?key=none").status_code == 404
    late = staff.post("/researcher/pay", data={**form, "key": "another"})
    assert late.status_code == 409 and "nothing is owed" in late.text.lower()


@pytest.mark.parametrize("worker", [[], ["x"], ["x:"], ["x:-5"], [f"x:{'9' * 20}"], ["x:1"]])
def test_a_form_that_is_none_records_nothing(staff: TestClient, store: Database, worker: list[str]) -> None:
    ann = person(store)
    sit(store, ann, base_model(store), Day([whole(0)]))
    answer = staff.post("/researcher/pay", data={"key": "k", "worker": worker})
    assert answer.status_code == 409 and 'role="alert"' in answer.text
    wrong = staff.post("/researcher/pay", data={"key": "k", "worker": [f"{ann.id}:99"]})
    assert wrong.status_code == 409 and "has changed since" in wrong.text
    assert payments(store) == []


def test_a_bonus_lifts_to_the_floor(staff: TestClient, store: Database) -> None:
    bob = person(store, "Bob")
    sit(store, bob, base_model(store), Day([whole(0)]))
    where = f"/researcher/workers/{bob.id}/bonus"
    offered = staff.get(f"/researcher/workers/{bob.id}").text
    assert 'name="amount" inputmode="decimal" required value="0.25"' in offered
    assert send(staff, f"/researcher/workers/{bob.id}", where, amount="0.25", reason="slow").status_code == 200
    page = staff.get("/researcher/pay").text
    assert boxes(page) == [f"{bob.id}:125"] and "Nobody is below the floor" in page
    for form in ({"amount": "x", "reason": "slow"}, {"amount": "0.001", "reason": "slow"}, {"amount": "1"}):
        assert staff.post(where, data=form).status_code == 409
    assert boxes(staff.get("/researcher/pay").text) == [f"{bob.id}:125"]


def test_workers_see_what_they_earned_and_nobody_elses(room: Room, store: Database) -> None:
    deploy_two(store)
    visitor, other = Visitor(store, room, "Ann"), Visitor(store, room, "Bob")
    with visitor.client, other.client:
        for one in (visitor, other):
            one.enter()
            assert "earned" not in one.client.get("/work").text
        sit(store, visitor.worker, base_model(store), Day([whole(0)]))
        page = visitor.client.get("/work").text
        assert "1.00 EUR earned, of which 0.00 EUR has been paid" in page
        assert "EUR" not in other.client.get("/work").text
        assert visitor.client.get("/researcher/pay").status_code == 403
