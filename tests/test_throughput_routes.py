from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from desk_stories import Clock, Story, flat, rows_of, staff_client
from stories import draw, play
from visitors import fresh_store, room_with


@pytest.fixture
def story(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with fresh_store(sqlite_template, tmp_path) as database, monkeypatch.context() as patch:
        yield Story(database, Clock(patch))


@pytest.fixture
def staff(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    with staff_client(room_with(story.db, tmp_path)) as client:
        yield client


def test_the_story_in_numbers(staff: TestClient, story: Story) -> None:
    html = flat(staff.get("/researcher/throughput").text)
    assert "<dt>Choices</dt><dd>6</dd>" in html and "<dt>Conversations</dt><dd>4</dd>" in html
    assert "<dt>Red team</dt><dd>1 " in html and "<dt>Weakest strength</dt><dd>2 " in html
    assert "<dt>Workers</dt><dd>3</dd>" in html and "<dd>100 %</dd>" in html
    assert "<dt>Gini coefficient</dt><dd>0.33</dd>" in html  # of 4, 1, 1
    assert "no more than 20 workers" in html
    assert "2026-03-01: 2 helpful, 1 red team" in html, "the picture has its numbers as text"


def test_every_table_is_a_file(staff: TestClient, story: Story) -> None:
    days = rows_of(staff.get("/researcher/throughput?csv=days").text)
    assert [list(row.values()) for row in days] == [
        ["2026-03-02", "3", "0", "1", "2"],
        ["2026-03-01", "3", "1", "1", "2"],
    ]
    models = rows_of(staff.get("/researcher/throughput?csv=models&sort_models=choices").text)
    assert [(row["model"], row["choices"], float(row["share"])) for row in models] == [
        ("policy", "4", 4 / 6),
        ("base", "6", 1.0),
    ]
    workers = rows_of(staff.get("/researcher/throughput?csv=workers").text)
    assert [(row["worker"], row["choices"], row["red_team"], row["id"]) for row in workers[:1]] == [
        ("Ann", "4", "0", story.ann.id)
    ]
    answer = staff.get("/researcher/throughput?csv=work&objective=harmless")
    assert [list(row.values()) for row in rows_of(answer.text)] == [["harmless", "online", "1", "1", "0", "1"]]
    assert answer.headers["content-disposition"].startswith('attachment; filename="throughput-work-')


def test_numbers_lead_to_the_conversations_behind_them(staff: TestClient, story: Story) -> None:
    html = staff.get("/researcher/throughput").text
    for link, talks in (
        ("/researcher/conversations?chosen=2026-03-02", story.talks[2:]),
        ("/researcher/conversations?model=policy", [story.talks[index] for index in (0, 1, 3)]),
        (f"/researcher/conversations?worker={story.ann.id}", story.talks[::2]),
    ):
        assert f'href="{link}"' in html
        page = staff.get(link).text
        assert [talk in page for talk in story.talks] == [talk in talks for talk in story.talks]


def test_filters_and_what_they_cannot_be(staff: TestClient) -> None:
    html = flat(staff.get("/researcher/throughput?from=2026-03-02&kind=person").text)
    assert "<dt>Choices</dt><dd>2</dd>" in html and 'value="2026-03-02"' in html
    assert "No choice matches" in staff.get("/researcher/throughput?tranche=rs").text
    for query, words in (
        ("from=soon", "is not a day"),
        ("model=none", "There is no model"),
        ("kind=cats", "not known"),
    ):
        answer = staff.get(f"/researcher/throughput?{query}")
        assert answer.status_code == 409 and words in answer.text


def test_a_new_choice_is_there_at_once(staff: TestClient, story: Story) -> None:
    staff.get("/researcher/throughput")
    play(story.db, story.ben, draw(story.base), [1])
    assert "<dt>Choices</dt><dd>7</dd>" in staff.get("/researcher/throughput").text
