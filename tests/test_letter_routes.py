"""Messages over HTTP: both sides' pages, announcements between tasks and never during one, hostile text."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.room import Room
from concordant.store.announcements import announce, announcements
from concordant.store.database import Database
from concordant.store.letters import MOST_AN_HOUR, thread
from offices import office, send
from visitors import Visitor, deploy_two, fresh_store, room_with


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


@pytest.fixture
def room(store: Database, tmp_path: Path) -> Room:
    return room_with(store, tmp_path)


@pytest.fixture
def staff(room: Room) -> Iterator[TestClient]:
    with office(room) as client:
        yield client


@pytest.fixture
def ann(room: Room, store: Database) -> Iterator[Visitor]:
    visitor = Visitor(store, room, "Ann")
    with visitor.client:
        visitor.enter()
        yield visitor


def test_a_message_is_asked_read_and_answered(staff: TestClient, ann: Visitor, store: Database) -> None:
    assert "No messages yet" in staff.get("/researcher/messages").text
    where = f"/researcher/messages/{ann.worker.id}"
    assert send(staff, where, where, text="How is **the work**?").status_code == 200
    assert "1 new message from the researchers" in ann.client.get("/work").text
    page = ann.client.get("/work/messages").text
    assert "<strong>the work</strong>" in page and "The researchers" in page and ">new</span>" in page
    assert "Ann" not in page.split("<main")[1].split("The researchers")[0], "no name of anybody on the staff"
    assert ">new</span>" not in ann.client.get("/work/messages").text
    assert "Write to the researchers" in ann.client.get("/work").text
    assert send(ann.client, "/work/messages", "/work/messages", text="Fine.\n<b>Thanks</b>").status_code == 200
    assert "&lt;b&gt;Thanks" in ann.client.get("/work/messages").text
    assert "1 new" in staff.get("/researcher/messages").text
    page = staff.get(where).text
    assert "Fine.\n&lt;b&gt;Thanks&lt;/b&gt;" in page and ">Ann " in page and ", read" in page
    assert "1 new" not in staff.get("/researcher/messages").text
    assert staff.get("/researcher/messages/nobody").status_code == 404


def test_during_a_task_nothing_is_announced(ann: Visitor, store: Database) -> None:
    announce(store, "No work on _Monday_.", None, "k", "boss")
    page = ann.client.get("/work").text
    assert "<em>Monday</em>" in page
    ann.send("/work/start")
    page = ann.client.get("/work").text
    assert "Monday" not in page and "/work/messages" not in page
    ann.send("/work/stop")
    assert "<em>Monday</em>" in ann.client.get("/work").text, "after it, on the last page too"
    assert ann.send("/work/aside").status_code == 200
    assert "Monday" not in ann.client.get("/work").text
    assert [one.aside for one in announcements(store)] == [1]


def test_announcing_to_some_and_ending_it(staff: TestClient, ann: Visitor, room: Room, store: Database) -> None:
    bob = Visitor(store, room, "Bob")
    where = "/researcher/announcements"
    with bob.client:
        bob.enter()
        assert (
            send(staff, "/researcher/messages", where, text="Only you", to="some", worker=[ann.worker.id]).status_code
            == 200
        )
        assert "Only you" in ann.client.get("/work").text and "Only you" not in bob.client.get("/work").text
        assert send(staff, "/researcher/messages", where, text="All", to="all").status_code == 200
        assert "<p>All</p>" in bob.client.get("/work").text
        (newest, _) = announcements(store)
        assert send(staff, "/researcher/messages", f"{where}/{newest.id}/end").status_code == 200
        assert "<p>All</p>" not in bob.client.get("/work").text
    nobody = staff.post(where, data={"text": "x", "to": "some"})
    assert nobody.status_code == 422 and "for nobody" in nobody.text
    assert staff.post(f"{where}/none/end").status_code == 404


def test_what_cannot_be_sent_is_kept_on_the_page(ann: Visitor, staff: TestClient, store: Database) -> None:
    assert ann.post("/work/messages", {"text": " "}).status_code == 422
    long = ann.post("/work/messages", {"text": "x" * 4001})
    assert long.status_code == 422 and "x" * 4001 in long.text and "4,001 characters" in long.text
    for number in range(MOST_AN_HOUR):
        assert ann.post("/work/messages", {"text": f"no. {number}", "key": f"{number}"}).status_code == 200
    often = ann.post("/work/messages", {"text": "one more"})
    assert often.status_code == 429 and "one more</textarea>" in often.text
    assert len(thread(store, ann.worker.id)) == MOST_AN_HOUR
    where = f"/researcher/messages/{ann.worker.id}"
    assert staff.post(where, data={"text": ""}).status_code == 422


def test_text_that_carries_script_is_text(ann: Visitor, staff: TestClient, store: Database) -> None:
    evil = "<script>alert(1)</script> ![x](http://evil/x.png) [y](javascript:alert(2)) \u202e\x1b[31m"
    where = f"/researcher/messages/{ann.worker.id}"
    assert staff.post(where, data={"text": evil, "key": "1"}).status_code == 200
    assert ann.post("/work/messages", {"text": evil, "key": "2"}).status_code == 200
    announce(store, evil, None, "k", "boss")
    for page in (staff.get(where), ann.client.get("/work/messages"), ann.client.get("/work")):
        assert "<script>alert" not in page.text and "<img" not in page.text and 'href="javascript' not in page.text


def test_only_ones_own_thread(ann: Visitor, room: Room, store: Database) -> None:
    bob = Visitor(store, room, "Bob")
    ann.post("/work/messages", {"text": "for the staff alone"})
    with bob.client:
        bob.enter()
        assert "for the staff alone" not in bob.client.get("/work/messages").text
        assert bob.client.get(f"/researcher/messages/{ann.worker.id}").status_code == 403
    announce(store, "for Ann", [ann.worker.id], "k", "boss")
    (one,) = announcements(store)
    with bob.client:
        bob.post("/work/aside", {"announcement": one.id})
    assert "for Ann" in ann.client.get("/work").text
