"""The reviewer's page: one conversation at a time, nobody's name on it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import STAFF_COOKIE, reviewer_of
from concordant.collect.served_page import ServedForm, read_page
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.review_draws import standing_verdicts
from concordant.store.staff import Role, Staff
from readings import NOON, Story, tell
from stories import base_model, person
from visitors import Visitor, fresh_store, room_with, signed_in_staff


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def reviewer(store: Database) -> Iterator[TestClient]:
    with TestClient(create_app(room_with(store)), cookies={STAFF_COOKIE: signed_in_staff(store)[1]}) as client:
        yield client


def fill(db: Database, number: int = 2) -> None:
    base, ann = base_model(db), person(db, "Ann Example")
    for hour in range(number):
        tell(db, ann, base, Story(NOON + timedelta(hours=hour), text=f"talk {hour} <b>says</b>"))


def form(client: TestClient, action: str) -> ServedForm:
    found = read_page(client.get("/review").text).form(action)
    assert found is not None
    return found


def verdicts(db: Database) -> list[int | None]:
    with db.read() as session:
        return [row.verdict for row in standing_verdicts(session)]


def test_one_after_the_other_with_a_note_and_undo(store: Database, reviewer: TestClient) -> None:
    assert "Nothing waits for a verdict" in reviewer.get("/review").text
    fill(store)
    assert "2 conversations wait" in reviewer.get("/review").text
    page = reviewer.post("/review/next").text
    assert "talk 0 &lt;b&gt;says&lt;/b&gt; 1" in page and "2 waiting" in page
    assert "Ann" not in page and "base" not in page, "neither the worker nor the model is named"
    sent = {**form(reviewer, "/review").hidden, "verdict": "2", "note": "to the point"}
    page = reviewer.post("/review", data=sent).text
    assert "talk 1" in page and "It was “good”." in page and "1 waiting" in page, "the next one comes at once"
    assert verdicts(store) == [2]
    assert reviewer.post("/review", data=sent).status_code == 200, "the same form twice is one verdict"
    back = form(reviewer, "/review/undo").hidden
    assert "talk 0" in reviewer.post("/review/undo", data=back).text and verdicts(store) == []
    assert reviewer.post("/review/undo", data=back).status_code == 200, "so is the same form twice here"
    reviewer.post("/review", data={**form(reviewer, "/review").hidden, "verdict": "5"})
    reviewer.post("/review", data={**form(reviewer, "/review").hidden, "verdict": "1"})
    assert "Nothing waits" in reviewer.get("/review").text and verdicts(store) == [5, 1]
    assert [act.act for act in acts(store, 10)].count("verdict given") == 3


def test_looking_takes_nothing(store: Database, reviewer: TestClient) -> None:
    fill(store, 1)
    reviewer.get("/review")
    reviewer.get("/review")
    assert "1 conversation waits" in reviewer.get("/review").text


def test_what_cannot_be_taken_is_said_and_the_note_is_kept(store: Database, reviewer: TestClient) -> None:
    fill(store)
    reviewer.post("/review/next")
    hidden = form(reviewer, "/review").hidden
    answer = reviewer.post("/review", data={**hidden, "verdict": "9", "note": "long thought"})
    assert answer.status_code == 422 and "long thought" in answer.text
    answer = reviewer.post("/review", data={**hidden, "talk": "x", "verdict": "1", "note": "long thought"})
    assert answer.status_code == 409 and "not yours any more" in answer.text and "long thought" in answer.text
    assert reviewer.post("/review/undo").status_code == 200, "nothing to take back is no fault"


def test_only_staff_review_and_reviewers_see_no_researchers_page(store: Database) -> None:
    fill(store, 1)
    visitor = Visitor(store, room_with(store))
    with visitor.client:
        visitor.enter()
        for address in ("/review", "/review/workers", "/review/agreement"):
            assert visitor.client.get(address).status_code == 403, address
        assert visitor.post("/review/next", {}).status_code == 403
    app = create_app(room_with(store))
    app.dependency_overrides[reviewer_of] = lambda: Staff("r1", "Rita", Role.REVIEWER)
    with TestClient(app) as client:
        assert client.get("/review").status_code == 200 and "/review/workers" not in client.get("/review").text
        for address in ("/review/workers", "/review/workers/x", "/review/agreement", "/researcher/models"):
            assert client.get(address).status_code == 403, address
        for action in ("select", "exclude", "admit"):
            assert client.post(f"/review/workers/x/{action}", data={"reason": "r"}).status_code == 403
