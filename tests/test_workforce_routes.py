"""The pages about workers: sorted and filtered by the address, links shown once, erasure in two steps."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.room import Room
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.erasure import erasure_of
from concordant.store.people import WorkerKind, participant, worker_by_token, workers
from concordant.store.preferences import Filter
from concordant.store.sittings import Outcome
from offices import office, paying, send
from stories import base_model, person, policy_model
from visitors import acts_but_sign_ins, fresh_store, room_with
from working_days import Day, Played, Turn, sit, whole


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


@pytest.fixture
def three(store: Database) -> tuple[str, str, str]:
    """Ann of a panel with two tasks, Bob with one, and a script."""
    model = base_model(store)
    ann, _ = participant(store, "prolific", "p-ann")
    bob, script = person(store, "Bob"), person(store, "Script", WorkerKind.SCRIPTED)
    sit(store, ann, model, Day([whole(0), whole(200, red_team=True)]))
    sit(store, bob, model, Day([whole(0)], study="spring"))
    return ann.id, bob.id, script.id


def names(page: str) -> list[str]:
    """Of the table, from the top."""
    return re.findall(r'<td><a href="/researcher/workers/[0-9a-f]{32}">([^<]+)</a></td>', page)


def test_the_table_is_sorted_and_filtered_by_the_address(staff: TestClient, three: tuple[str, ...]) -> None:
    def shown(query: str) -> list[str]:
        return names(staff.get(f"/researcher/workers?{query}").text)

    assert shown("sort=choices") == ["prolific p-ann", "Bob", "Script"]
    assert shown("sort=choices&order=up") == ["Script", "Bob", "prolific p-ann"]
    assert shown("sort=name") == ["Bob", "prolific p-ann", "Script"]
    assert shown("sort=nonsense") == shown("sort=last")
    assert shown("kind=person&sort=owed&order=up") == ["Bob", "prolific p-ann"]
    assert shown("source=prolific") == ["prolific p-ann"]
    assert shown("q=BO") == ["Bob"] and shown(f"q={three[2]}") == ["Script"]
    page = staff.get("/researcher/workers?sort=choices&q=&kind=person").text
    assert 'aria-sort="descending"' in page and "kind=person&amp;source=&amp;sort=choices&amp;order=up" in page
    assert "Nobody matches" in staff.get("/researcher/workers?q=zzz").text
    assert '<span class="tag">scripted</span>' in staff.get("/researcher/workers").text


def test_a_line_says_what_was_done_and_earned(staff: TestClient, three: tuple[str, ...]) -> None:
    page = staff.get("/researcher/workers?q=ann").text
    cells = re.findall(r"<td[^>]*>(.*?)</td>", page)
    # two tasks, two choices, half of them red, 380 s, 60 s a message, 50 s a choice, 1.00 + 1.40
    assert cells[3:13] == ["2026-11-02", "2026-11-02", "2", "2", "50 %", "6", "60", "50", "2.40", "2.40"]
    rows = list(csv.DictReader(io.StringIO(staff.get("/researcher/workers.csv?sort=name").text)))
    assert [row["name"] for row in rows] == ["Bob", "prolific p-ann", "Script"]
    assert rows[1]["participant"] == "p-ann" and rows[1]["active_seconds"] == "380"
    assert (rows[1]["earned"], rows[1]["owed"], rows[2]["earned"]) == ("2.40", "2.40", "")


def test_no_pay_no_columns_of_pay(store: Database, tmp_path: Path, three: tuple[str, ...]) -> None:
    with office(room_with(store, tmp_path)) as staff:
        page = staff.get("/researcher/workers").text
        assert "Owed" not in page and "prolific p-ann" in page
        assert "Owed" not in staff.get(f"/researcher/workers/{three[0]}").text


def test_an_empty_table_says_what_to_do_first(staff: TestClient) -> None:
    assert "No workers yet. Invite one below" in staff.get("/researcher/workers").text


def test_a_new_workers_link_is_shown_once(staff: TestClient, store: Database) -> None:
    answer = send(staff, "/researcher/workers", "/researcher/workers", name=" Cat ")
    assert answer.status_code == 200
    found = re.search(r"http://testserver/w/([\w-]+)", answer.text)
    assert found is not None
    worker = worker_by_token(store, found[1])
    assert worker is not None and worker.name == "Cat"
    again = staff.post("/researcher/workers", data={"id": worker.id, "name": "Cat"})
    assert again.status_code == 422 and "made already" in again.text and len(workers(store)) == 1
    assert staff.post("/researcher/workers", data={"name": "  "}).status_code == 422
    assert [(act.act, act.about) for act in acts_but_sign_ins(store)] == [("worker invited", worker.id)]
    assert found[1] not in staff.get(f"/researcher/workers/{worker.id}").text


def test_ending_a_link_shuts_every_browser_out(staff: TestClient, store: Database) -> None:
    ann, in_a_browser = participant(store, "prolific", "p-ann")
    assert worker_by_token(store, in_a_browser) == ann
    answer = send(staff, f"/researcher/workers/{ann.id}", f"/researcher/workers/{ann.id}/link")
    found = re.search(r"http://testserver/w/([\w-]+)", answer.text)
    assert found is not None and worker_by_token(store, found[1]) == ann
    assert worker_by_token(store, in_a_browser) is None
    second, token = participant(store, "prolific", "p-ann")
    assert second == ann and worker_by_token(store, token) == ann, "their panel can send them again"


def test_one_workers_page(staff: TestClient, store: Database, three: tuple[str, ...]) -> None:
    ann, bob, script = three
    page = staff.get(f"/researcher/workers/{ann}").text
    for said in ("p-ann", "2.40 EUR", "1 of 2", "/researcher/conversations/", "They have agreed to no text yet"):
        assert said in page
    # 2.40 in 380 s is 22.74 an hour; 25.00 would be 2.64
    assert "22.74" in page and "0.24 EUR would lift it there" in page
    assert "Only people have them" in staff.get(f"/researcher/workers/{script}").text
    send(staff, f"/researcher/workers/{bob}", f"/researcher/workers/{bob}/edits")
    page = staff.get(f"/researcher/workers/{bob}").text
    assert "may rewrite" in page and "edits permitted, by" in page and "spring" in page
    send(staff, f"/researcher/workers/{bob}", f"/researcher/workers/{bob}/edits")
    assert "may rewrite" not in staff.get("/researcher/workers?q=bob").text
    assert staff.get("/researcher/workers/nobody").status_code == 404


def test_erasing_takes_two_steps(staff: TestClient, store: Database, tmp_path: Path) -> None:
    ann, _ = participant(store, "prolific", "p-ann")
    turn = Turn(60, 120, 170, "about xylophones")
    sit(store, ann, base_model(store), Day([Played(0, [turn], 180, comment="xylophones!")], Outcome.COMPLETED))
    policy_model(store)
    freeze(store, "spring", Filter(), tmp_path / "sets")
    where = f"/researcher/workers/{ann.id}/erase"
    page = staff.get(where).text
    assert "1.00 EUR is owed to them. Pay it first" in page
    assert "1 messages to models" in page and "1 comments" in page and "2 replies by models" in page
    assert "<td>spring</td>" in page and "--freeze-again" in page
    refused = send(staff, where, where)
    assert refused.status_code == 422 and "cannot be brought back" in refused.text
    assert erasure_of(store, ann.id) is None
    done = send(staff, where, where, sure="1")
    assert done.status_code == 200 and "<h1>Erased</h1>" in done.text and "<td>spring</td>" in done.text
    for address in ("/researcher/workers", f"/researcher/workers/{ann.id}", "/researcher/conversations", where):
        assert "p-ann" not in staff.get(address).text and "xylophone" not in staff.get(address).text
    assert "text erased" in staff.get("/researcher/workers").text
    assert staff.get("/researcher/pay-panel.csv").text == "", "the panel knows nobody of that id"
    again = staff.post(where, data={"sure": "1"})
    assert again.status_code == 200
    answer = staff.post(f"/researcher/workers/{ann.id}/link")
    assert answer.status_code == 409 and "was erased" in answer.text
    assert staff.get("/researcher/workers/nobody/erase").status_code == 404


def test_a_name_with_script_in_it_is_text(staff: TestClient, store: Database) -> None:
    send(staff, "/researcher/workers", "/researcher/workers", name="<script>alert(1)</script>")
    (worker,) = workers(store)
    for address in (
        "/researcher/workers",
        f"/researcher/workers/{worker.id}",
        "/researcher/messages",
        "/researcher/pay",
    ):
        assert "<script>alert" not in staff.get(address).text
