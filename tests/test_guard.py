from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from concordant.collect.guard import MOST_BYTES, is_foreign
from concordant.store.talk_views import current_talk
from visitors import Visitor, deploy_two, fresh_store


@pytest.fixture
def visitor(sqlite_template: Path, tmp_path: Path) -> Iterator[Visitor]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        found = Visitor(database)
        with found.client:
            yield found


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "http://here:80", "host": "here:80"}, False),
        ({"origin": "http://there", "host": "here"}, True),
        ({"origin": "null", "host": "here"}, True),
        ({"origin": "http://here", "host": "here", "sec-fetch-site": "cross-site"}, True),
    ],
)
def test_which_forms_come_from_another_site(headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(Headers(headers)) is foreign


def test_a_form_from_another_site_does_nothing(visitor: Visitor) -> None:
    visitor.enter()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert visitor.post("/work/start", {}, headers=headers).status_code == 403
    assert current_talk(visitor.db, visitor.worker.id) is None
    assert visitor.post("/work/start", {}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert current_talk(visitor.db, visitor.worker.id) is not None


def test_bodies_have_a_limit_and_a_length(visitor: Visitor) -> None:
    visitor.enter()
    assert visitor.post("/work/say", {"text": "x" * MOST_BYTES}).status_code == 413
    chunks = iter([b"text=x"])
    assert visitor.client.post("/work/say", content=chunks).status_code == 411


def test_every_answer_carries_the_headers(visitor: Visitor) -> None:
    visitor.start()
    style = visitor.client.get("/work").text.split('rel="stylesheet" href="')[1].split('"')[0]
    answers = [
        visitor.client.get("/work"),
        visitor.client.get(style),
        visitor.client.get("/nowhere"),
        visitor.post("/work/start", {}, headers={"Origin": "https://elsewhere.example"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 403]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "server" not in answer.headers
    assert answers[0].headers["cache-control"] == "no-store"
    assert "immutable" in answers[1].headers["cache-control"]


def test_pages_need_no_inline_script_or_style(visitor: Visitor) -> None:
    visitor.start()
    html = visitor.client.get("/work").text
    assert "<style" not in html and " style=" not in html and "onclick" not in html
    assert html.count("<script") == 1 and '<script src="/static/' in html
