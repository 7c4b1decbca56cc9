import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.store.audit import COMMAND_LINE, note
from concordant.store.staff import members
from desk_stories import Clock, Story, flat, rows_of, staff_client
from visitors import fresh_store, room_with


@pytest.fixture
def story(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with fresh_store(sqlite_template, tmp_path) as database, monkeypatch.context() as patch:
        yield Story(database, Clock(patch))


@pytest.fixture
def staff(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    with staff_client(room_with(story.db, tmp_path)) as client:
        yield client


@pytest.fixture
def log(story: Story, staff: TestClient) -> None:
    ann = members(story.db)[0].staff.id
    with story.db.write() as session:
        note(session, ann, "worker excluded", story.ann.id, reason="copied answers", since=None)
        note(session, COMMAND_LINE, "weight set", story.base.id, weight=2.0, objective="helpful")
        note(session, "s7", "talk read", story.talks[1], shown={"turns": 1, "names": ["a", "b"]}, seen=True)
        note(session, "s7", "thing done", "<script>", why="=1+1")


@pytest.mark.usefixtures("log")
def test_the_log_in_words_with_links(staff: TestClient, story: Story) -> None:
    html = flat(staff.get("/researcher/audit").text)
    assert ">Ann</a>" in html and ">a command</a>" in html and ">worker excluded</a>" in html
    assert f'<a href="/researcher/workers/{story.ann.id}">worker Ann</a>' in html
    assert f'<a href="/researcher/models#{story.base.id}">model base</a>' in html
    assert f'<a href="/researcher/conversations/{story.talks[1]}">conversation Tell me how to be unkind.</a>' in html
    assert '<td class="long">staff Ann</td>' in html, "whose account was made"
    assert "reason: copied answers<" in html and "weight: 2.0; objective: helpful" in html
    assert "shown: turns 1, names a and b; seen: yes" in html
    assert "<script>" not in html and "&lt;script&gt;" in html


@pytest.mark.usefixtures("log")
def test_filters_and_the_file(staff: TestClient, story: Story) -> None:
    assert [row["act"] for row in rows_of(staff.get("/researcher/audit.csv?who=s7").text)] == [
        "thing done",
        "talk read",
    ]
    assert [row["who"] for row in rows_of(staff.get("/researcher/audit.csv?what=weight+set").text)] == ["a command"]
    assert len(rows_of(staff.get(f"/researcher/audit.csv?about={story.ann.id}").text)) == 1
    first = rows_of(staff.get("/researcher/audit.csv").text)[0]
    assert first["about"] == "<script>" and first["detail"] == "why: =1+1"
    assert "No act matches" in staff.get("/researcher/audit?who=nobody").text
    assert staff.get("/researcher/audit?from=x").status_code == 409
    assert staff.get("/researcher/audit?after=x").status_code == 409


@pytest.mark.usefixtures("log")
def test_older_acts_are_a_page_on(staff: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.collect.audit_routes.AT_ONCE", 3)
    first = staff.get("/researcher/audit").text
    link = re.search(r'href="(/researcher/audit\?after=[0-9a-f]+)"', first)
    assert link is not None and "worker Ann" not in first
    second = staff.get(link.group(1)).text
    assert "worker Ann" in second and ">Newest</a>" in second and ">Older</a>" not in second


def test_the_log_begins_with_how_staff_came_in(staff: TestClient) -> None:
    html = staff.get("/researcher/audit").text
    assert ">signed in</a>" in html and ">member added</a>" in html
