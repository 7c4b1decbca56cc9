from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect import app as module
from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from visitors import Visitor, fresh_store


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


def test_a_stranger_is_told_what_this_is(store: Database) -> None:
    with TestClient(create_app(Room(store, CollectConfig()))) as client:
        assert "Open the link" in client.get("/").text
        assert client.get("/healthz").text == "concordant\n"
        assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 404


@pytest.mark.parametrize("address", ["/nowhere", "/static/0/room.css", "/static/../pyproject.toml", "/work/none"])
def test_what_is_not_there_has_a_page_of_its_own(store: Database, address: str) -> None:
    with TestClient(create_app(Room(store, CollectConfig()))) as client:
        answer = client.get(address)
        assert answer.status_code == 404 and "There is nothing here" in answer.text


def test_a_wrong_method_is_refused(store: Database) -> None:
    with TestClient(create_app(Room(store, CollectConfig()))) as client:
        assert client.get("/work/say").status_code == 405


def test_a_form_that_is_not_one_is_refused(store: Database) -> None:
    visitor = Visitor(store)
    with visitor.client:
        visitor.enter()
        answer = visitor.client.post("/work/say", files={"text": b"a file"})
        assert answer.status_code == 422 and "Something in the form was missing" in answer.text


def test_a_defect_of_ours_is_not_the_workers_fault(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(store, CollectConfig())
    visitor = Visitor(store, room)
    visitor.client = TestClient(create_app(room), raise_server_exceptions=False)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with visitor.client:
        visitor.enter()
        monkeypatch.setattr("concordant.store.talk_views.current_talk", broken)
        answer = visitor.client.get("/work")
    assert answer.status_code == 500 and "on our side" in answer.text and "ZeroDivision" not in answer.text


def test_a_banner_stands_on_every_page(store: Database) -> None:
    visitor = Visitor(store, Room(store, CollectConfig(), banner="A trial"))
    with visitor.client:
        visitor.enter()
        for address in ("/", "/work", "/nowhere"):
            assert '<p class="banner">A trial</p>' in visitor.client.get(address).text


def test_streams_run_beside_blocking_routes() -> None:
    """Only what streams, or sends its slow work aside, is a coroutine; every other route runs in a thread, because it
    waits for the store."""
    import inspect

    from concordant.collect import (
        chat_routes,
        day_routes,
        deployment_routes,
        oidc_routes,
        panel,
        researcher_routes,
        settings_routes,
        staff_routes,
        worker_routes,
    )

    staffs = (chat_routes, deployment_routes, researcher_routes, settings_routes, staff_routes, oidc_routes)
    parts = (module, panel, day_routes, worker_routes, *staffs)
    routes = [route for part in parts for route in part.router.routes]
    coroutines = {
        getattr(route, "path", "") for route in routes if inspect.iscoroutinefunction(getattr(route, "endpoint", None))
    }
    aside = {"/staff/oidc", "/staff/oidc/back"}
    assert coroutines == {"/work/stream/{comparison_id}", "/v1/chat/completions", *aside}
