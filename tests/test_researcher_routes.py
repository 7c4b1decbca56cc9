"""The researcher's pages: closed to who is not signed in, complete for who is."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.researcher_routes import _line
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.overview import recent_talks
from concordant.store.people import WorkerKind, add_worker
from concordant.store.sittings import Offer, Outcome, Sitting, end_sitting, last_sitting, open_sitting
from concordant.store.wellbeing import feel
from stories import draw, person, play
from visitors import Visitor, deploy_two, fresh_store, room_with, sign_in_staff, write_all

PAGES = ("/researcher", "/researcher/conversations", "/researcher/sittings", "/researcher/models", "/researcher/report")


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
            "/researcher/report/index.html",
        ):
            answer = visitor.client.get(address)
            assert answer.status_code == 403 and "label-of-base" not in answer.text
        visitor.client.cookies.set("concordant_staff", visitor.token)
        assert visitor.client.get("/researcher").status_code == 403


def test_empty_pages_say_what_to_do_first(staff: TestClient) -> None:
    for address in PAGES:
        answer = staff.get(address)
        assert answer.status_code == 200 and "<code>concordant " in answer.text, address
    assert "not running" in staff.get("/researcher").text


def test_the_overview_counts_and_labels_scripted_work(staff: TestClient, store: Database, room: Room) -> None:
    base, policy = deploy_two(store)
    play(store, person(store, "someone"), draw(base, policy), [1, 8])
    play(store, person(store, "a script", WorkerKind.SCRIPTED), draw(base), [2, 2, 2], Objective.HARMLESS, "board:1")
    room.heartbeat.beat(GeneratorState.IDLE)
    html = " ".join(staff.get("/researcher").text.split())
    assert "<dt>Comparisons</dt><dd>5</dd>" in html and "<dt>Replies waiting</dt><dd>0</dd>" in html
    assert '<td>helpful</td><td>online</td><td>store</td> <td>person</td><td class="n">2</td>' in html
    assert '<td>red team</td><td>base</td><td>store</td> <td><span class="tag">scripted</span></td>' in html
    assert 'class="state idle">ready' in html and "label-of-policy" in html and "50 %" in html


def test_a_conversation_shows_who_wrote_what(staff: TestClient, store: Database) -> None:
    base, policy = deploy_two(store)
    worker = person(store, "a script", WorkerKind.SCRIPTED)
    play(store, worker, draw(base, policy, swap=True), [2], Objective.HARMLESS, "board:1")
    (talk,) = recent_talks(store, 5)
    listed = staff.get("/researcher/conversations").text
    assert f"/researcher/conversations/{talk.id}" in listed and "board:1" in listed
    html = " ".join(staff.get(f"/researcher/conversations/{talk.id}").text.split())
    a = html.index('A <span class="model">label-of-policy')
    b = html.index('B <span class="model">label-of-base')
    assert a < html.index("taken as more harmful, strength 3 of 4") < b
    assert '<span class="tag">scripted</span>' in html and "reply 1" in html
    assert staff.get("/researcher/conversations/none").status_code == 404


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
    (row,) = csv.DictReader(io.StringIO(staff.get("/researcher/sittings.csv").text))
    assert (row["state"], row["done"], row["left"], row["choices"], row["tasks"]) == ("left", "0", "1", "1", "5")
    assert row["worker"] == "'=cmd()", "a spreadsheet takes it for no formula"
    html = staff.get("/researcher/sittings").text
    assert "0 of 5" in html and "fewer than 5 people answered" in html
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
    assert _line("Ann", sitting, began + timedelta(hours=2))["state"] == "open"
    late = _line("Ann", sitting, began + timedelta(hours=3))
    assert (late["state"], late["minutes"], late["done"], late["choices"]) == ("abandoned", 9.0, 1, 4)
