from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.rating_routes import board_of
from concordant.comparison import Objective
from concordant.store.ledger import Ledger, admitted
from concordant.store.registry import SnapshotKind, add_snapshot
from concordant.store.standing import admit, exclude
from desk_stories import DAY_2, Clock, Story, flat, rows_of, staff_client
from stories import draw, person, play
from visitors import fresh_store, room_with


@pytest.fixture
def story(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with fresh_store(sqlite_template, tmp_path) as database, monkeypatch.context() as patch:
        yield Story(database, Clock(patch))


@pytest.fixture
def staff(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    with staff_client(room_with(story.db, tmp_path)) as client:
        yield client


def test_both_boards_as_they_stand(staff: TestClient, story: Story) -> None:
    html = flat(staff.get("/researcher/ratings").text)
    assert html.count("1 vote between different models by 1 worker;") == 2
    assert html.count("Not settled: some model won or lost all its games") == 2
    (policy, base) = rows_of(staff.get("/researcher/ratings?csv=board-helpful&sort_board-helpful=elo").text)
    # One game won and a virtual one half won: 1.5 to 0.5, and 400 · log10(3) = 190.8
    assert (policy["model"], policy["elo"], base["elo"], base["interval"]) == ("policy", "-191", "0", "set to 0")


def test_a_vote_moves_it_and_intervals_come_with_workers(staff: TestClient, story: Story) -> None:
    staff.get("/researcher/ratings")
    pair = draw(story.base, story.policy)
    for number in range(5):
        play(story.db, person(story.db, f"more {number}"), pair, [1, 8, 8] if number else [8])
    rows = rows_of(staff.get("/researcher/ratings?csv=board-helpful").text)
    # base: 1 + 4, policy: 1 + 8
    assert [(row["model"], row["games"]) for row in rows] == [("policy", "14"), ("base", "14")]
    (meeting,) = rows_of(staff.get("/researcher/ratings?csv=pairs-helpful").text)
    assert (meeting["model"], meeting["other"], meeting["games"], meeting["wins"]) == ("policy", "base", "14", "9")
    assert float(meeting["low"]) < 9 / 14 < float(meeting["high"]) and " to " in meeting["interval"]
    html = flat(staff.get("/researcher/ratings").text)
    assert "14 votes between different models by 6 workers; base stands at 0." in html
    assert "evaluate elo" in html


def test_the_anchor_and_the_kind_of_worker_can_be_chosen(staff: TestClient, story: Story) -> None:
    rows = rows_of(staff.get("/researcher/ratings?csv=board-harmless&anchor=policy").text)
    assert [(row["model"], row["interval"]) for row in rows] == [("base", ""), ("policy", "set to 0")]
    assert "No votes between two different models yet" in staff.get("/researcher/ratings?kind=scripted").text
    assert staff.get("/researcher/ratings?anchor=none").status_code == 409


def test_models_without_a_link_have_no_number(staff: TestClient, story: Story) -> None:
    x, y = (add_snapshot(story.db, label, SnapshotKind.MODEL, {"folder": label, "adapter": None}) for label in "xy")
    play(story.db, story.ben, draw(x, y), [1])
    assert "no game links base with x, y" in flat(staff.get("/researcher/ratings").text)
    rows = {row["model"]: row for row in rows_of(staff.get("/researcher/ratings?csv=board-helpful").text)}
    assert (rows["x"]["elo"], rows["x"]["interval"], rows["policy"]["elo"]) == ("", "not connected", "-191")
    pairs = rows_of(staff.get("/researcher/ratings?csv=pairs-helpful&one=x&two=base").text)
    assert [(row["games"], row["win_rate"], row["interval"]) for row in pairs] == [("0", "", "not connected")]


def test_the_report_is_linked_where_there_is_one(staff: TestClient, tmp_path: Path) -> None:
    assert "concordant report</code>" in staff.get("/researcher/ratings").text
    (tmp_path / "report").mkdir()
    (tmp_path / "report/index.html").write_text("<h1>The report</h1>")
    assert '<a href="/researcher/report">The newest report</a>' in staff.get("/researcher/ratings").text


def test_what_excluded_workers_made_is_left_out_and_comes_back(staff: TestClient, story: Story) -> None:
    assert "1 vote between" in flat(staff.get("/researcher/ratings").text)
    exclude(story.db, "s1", story.ann.id, "copied answers")
    html = flat(staff.get("/researcher/ratings").text)
    assert html.count("1 vote between") == 1 and "No votes between two different models yet" in html
    assert "<dt>Comparisons</dt><dd>2</dd>" in flat(staff.get("/researcher").text)
    assert "<p>2 comparisons" in flat(staff.get("/researcher/exports").text)
    admit(story.db, "s1", story.ann.id, "it was a mistake")
    assert flat(staff.get("/researcher/ratings").text).count("1 vote between") == 2


def test_an_exclusion_from_a_moment_on_keeps_what_came_before(story: Story) -> None:
    with Ledger(story.db).open() as books:
        assert admitted(story.db, books) is books
        exclude(story.db, "s1", story.ann.id, "in a hurry since then", since=DAY_2)
        kept = admitted(story.db, books)
        assert {place.day for place in kept.counts if place.worker == story.ann.id} == {"2026-03-01"}
        assert sum(count.choices for count in kept.counts.values()) == 4
        assert board_of(kept, Objective.HELPFUL).votes == 1
