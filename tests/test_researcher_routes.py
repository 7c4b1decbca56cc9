"""The researcher's pages: closed to who is not signed in, complete for who is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people import WorkerKind
from desk_stories import flat, rows_of
from stories import draw, person, play
from visitors import Visitor, deploy_two, fresh_store, room_with, sign_in_staff

PAGES = (
    "/researcher",
    *(f"/researcher/{name}" for name in ("throughput", "conversations", "ratings", "sittings", "models", "iterations")),
    *(f"/researcher/{name}" for name in ("data", "exports", "report", "audit")),
)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def room(store: Database, tmp_path: Path) -> Room:
    return room_with(store, tmp_path)


@pytest.fixture
def staff(room: Room) -> Iterator[TestClient]:
    with TestClient(create_app(room)) as client:
        sign_in_staff(client, room.db)
        yield client


def test_without_signing_in_nothing_is_shown(store: Database, room: Room) -> None:
    deploy_two(store)
    visitor = Visitor(store, room)
    with visitor.client:
        visitor.enter()  # a worker's link does not open them either
        for address in (
            *PAGES,
            "/researcher?key=guess",
            "/researcher/conversations/x",
            "/researcher/sittings.csv",
            "/researcher/conversations.csv",
            "/researcher/audit.csv",
            "/researcher/throughput?csv=workers",
            "/researcher/exports/hh/any",
            "/researcher/cards/hh",
            "/researcher/runs/x",
            "/researcher/report/index.html",
        ):
            answer = visitor.client.get(address)
            assert answer.status_code == 403 and "label-of-base" not in answer.text
        visitor.client.cookies.set("concordant_staff", visitor.token)
        assert visitor.client.get("/researcher").status_code == 403


def test_empty_pages_say_what_to_do_first(staff: TestClient) -> None:
    for address in PAGES[:-1]:  # the audit log is never empty: somebody has signed in
        answer = staff.get(address)
        assert answer.status_code == 200 and "<code>concordant " in answer.text, address
    assert "not running" in staff.get("/researcher").text


def test_the_overview_counts_and_labels_scripted_work(staff: TestClient, store: Database, room: Room) -> None:
    base, policy = deploy_two(store)
    play(store, person(store, "someone"), draw(base, policy), [1, 8])
    play(store, person(store, "a script", WorkerKind.SCRIPTED), draw(base), [2, 2, 2], Objective.HARMLESS, "board:1")
    room.heartbeat.beat(GeneratorState.IDLE)
    html = flat(staff.get("/researcher").text)
    assert "<dt>Comparisons</dt><dd>5</dd>" in html and "<dt>Replies waiting</dt><dd>0</dd>" in html
    assert "<dt>Choices today (UTC)</dt>" in html and '<td><span class="tag">scripted</span></td>' in html
    assert 'class="state idle">ready' in html and "label-of-policy" in html and "50 %" in html
    assert [list(row.values()) for row in rows_of(staff.get("/researcher?csv=comparisons").text)] == [
        ["harmless", "base", "store", "scripted", "3", "0"],
        ["helpful", "online", "store", "person", "2", "0"],
    ]


def test_models_and_their_parents(staff: TestClient, store: Database) -> None:
    base, policy = deploy_two(store)
    html = staff.get("/researcher/models").text
    assert base.label in html and policy.label in html and f'id="{policy.id}"' in html


def test_the_report_and_its_files_are_served_and_nothing_beside_them(
    staff: TestClient, room: Room, tmp_path: Path
) -> None:
    assert "There is no report yet" in staff.get("/researcher/report").text
    (tmp_path / "report/figures").mkdir(parents=True)
    (tmp_path / "report/index.html").write_text("<h1>The report</h1>")
    (tmp_path / "report/figures/elo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "links.json").write_text("a secret")
    (tmp_path / "report/out").symlink_to(tmp_path / "links.json")
    answer = staff.get("/researcher/report")
    assert answer.text == "<h1>The report</h1>" and str(answer.url).endswith("/report/index.html")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert staff.get("/researcher/report/figures/elo.svg").headers["content-type"].startswith("image/svg")
    for path in ("../links.json", "%2e%2e/links.json", "out", "figures", "none.html", "//etc/passwd"):
        found = staff.get(f"/researcher/report/{path}")
        assert found.status_code == 404 and "secret" not in found.text, path


def test_the_newest_ratings_are_shown_best_first(staff: TestClient, tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    ratings = [
        {"model": "the base", "elo": 0.0, "ci95": [0.0, 0.0], "games": 40},
        {"model": "the policy", "elo": 51.6, "ci95": [-8.2, 110.9], "games": 40},
    ]
    (tmp_path / "report/report.json").write_text(json.dumps({"title": "Iteration 1", "board": {"ratings": ratings}}))
    html = staff.get("/researcher").text
    assert html.index("the policy") < html.index("the base")
    assert ">52<" in html and "-8 to 111" in html and "set to 0" in html
    (tmp_path / "report/report.json").write_text(json.dumps({"title": "Iteration 1", "board": None}))
    assert "No ratings yet" in staff.get("/researcher").text
