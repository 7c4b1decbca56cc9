from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

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


def test_the_list_says_what_is_known(staff: TestClient, story: Story) -> None:
    html = flat(staff.get("/researcher/conversations").text)
    places = [html.index(f'href="/researcher/conversations/{talk}"') for talk in story.talks]
    assert places == sorted(places, reverse=True), "the newest first"
    assert "Tell me how to be unkind." in html and "red team" in html and '<span class="tag">scripted</span>' in html
    assert "2 of 2" in html and "base, policy" in html and "100%_sure?" in html


def test_search_keeps_what_was_asked_for(staff: TestClient, story: Story) -> None:
    page = staff.get("/researcher/conversations?words=bread+%3Cb%3E&sort=best&rating=3")
    assert "No conversation matches" in page.text and "<b>" not in page.text
    html = staff.get("/researcher/conversations?words=bread&sort=best&rating=3").text
    assert 'value="bread"' in html and story.talks[0] in html and story.talks[3] not in html
    assert f"/researcher/conversations/{story.talks[0]}?words=bread&amp;sort=best&amp;rating=3" in html
    assert "/researcher/conversations.csv?words=bread&amp;sort=best&amp;rating=3" in html
    only = staff.get(f"/researcher/conversations?worker={story.ann.id}").text
    assert "only Ann" in only and "only nobody known" in staff.get("/researcher/conversations?worker=x").text


def test_pages_have_links_that_stay(staff: TestClient, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.collect.conversation_routes.AT_ONCE", 2)
    first = staff.get("/researcher/conversations?words=answer").text
    assert "Previous page" not in first
    link = f"/researcher/conversations?words=answer&amp;after={story.talks[2]}"
    assert f'href="{link}"' in first
    second = staff.get(link.replace("&amp;", "&")).text
    assert story.talks[0] in second and story.talks[3] not in second and "Next page" not in second
    assert f'href="/researcher/conversations?words=answer&amp;before={story.talks[1]}"' in second
    gone = staff.get("/researcher/conversations?after=gone")
    assert gone.status_code == 409 and "begin at the first page" in gone.text


def test_all_that_is_found_is_in_the_file(staff: TestClient, story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.collect.conversation_routes.AT_ONCE", 1)
    rows = rows_of(staff.get("/researcher/conversations.csv?kind=person").text)
    assert [row["conversation"] for row in rows] == story.talks[2::-1]
    last = rows[-1]
    assert (last["worker"], last["study"], last["choices"], last["turns"], last["rating"]) == (
        "Ann",
        "pilot",
        "2",
        "2",
        "3",
    )
    assert (last["state"], last["models"], last["opening"]) == ("done", "base; policy", "How do I bake bread?")
    assert last["began"].startswith("2026-03-01T23:50:") and last["began"].endswith("+00:00")


def test_one_conversation_with_all_that_was_recorded(staff: TestClient, story: Story) -> None:
    html = flat(staff.get(f"/researcher/conversations/{story.talks[3]}").text)
    a, b = html.index(">A <a"), html.index(">B <a")
    assert a < html.index("Answer 1 of the policy") < b < html.index("Answer 0 of the base"), "they were swapped"
    assert "taken as better, strength 1 of 4" in html and html.index("taken as better") > b
    assert "<dt>Button</dt><dd>5 of 8, from the left</dd>" in html and "<dt>Drawn</dt><dd>second</dd>" in html
    assert "After both replies were complete" in html and "<dt>Sampled</dt><dd>3 tokens</dd>" in html
    assert story.talks[3] in html and f"/researcher/workers/{story.script.id}" in html
    red = flat(staff.get(f"/researcher/conversations/{story.talks[1]}").text)
    assert "taken as more harmful, strength 4 of 4" in red and "<dt>Actionability</dt><dd>2</dd>" in red
    assert staff.get("/researcher/conversations/none").status_code == 404
    assert staff.get("/researcher/conversations/%00").status_code == 404


def test_neighbours_follow_the_search(staff: TestClient, story: Story) -> None:
    html = staff.get(f"/researcher/conversations/{story.talks[2]}").text
    assert f'href="/researcher/conversations/{story.talks[3]}" rel="prev"' in html
    assert f'href="/researcher/conversations/{story.talks[1]}" rel="next"' in html
    found = staff.get(f"/researcher/conversations/{story.talks[2]}?worker={story.ann.id}").text
    assert 'rel="prev"' not in found
    assert f'href="/researcher/conversations/{story.talks[0]}?worker={story.ann.id}" rel="next"' in found


def test_fields_that_mean_nothing_are_said(staff: TestClient) -> None:
    for query in ("strength=9", "rating=x", "edited=perhaps", "sort=up", "state=x", "from=x", "model=none"):
        assert staff.get(f"/researcher/conversations?{query}").status_code == 409, query
