"""How often one may ask, and what is said to who asks too often."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.collect.throttle import Throttle, address_of_client
from concordant.programme_config import LimitsConfig
from concordant.store.database import Database
from visitors import Visitor, deploy_two, fresh_store, room_with


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def from_address(address: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "client": (address, 1)})


def client(room: Room, address: str = "198.51.100.1") -> TestClient:
    return TestClient(create_app(room), client=(address, 1))


def test_counts_are_by_rate_and_by_key_and_end_with_the_window() -> None:
    throttle = Throttle(LimitsConfig(panel="2 per second", links="1 per minute", forms_address=""))
    assert [throttle.wait("panel", "a") for _ in range(3)] == [None, None, 1]
    assert throttle.wait("panel", "b") is None and throttle.wait("links", "a") is None
    seconds = throttle.wait("links", "a")
    assert seconds is not None and 55 <= seconds <= 60
    assert all(throttle.wait("forms_address", "a") is None for _ in range(1000)), "an empty rate is no limit"
    time.sleep(1.05)
    assert throttle.wait("panel", "a") is None
    throttle.forget("links", "a")
    assert throttle.wait("links", "a") is None


def test_a_rate_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValidationError, match="panel is 'often', which is no rate"):
        LimitsConfig(panel="often")


def test_an_address_is_one_household() -> None:
    addresses = (
        "198.51.100.1",
        "2001:db8:1:2:aaaa::1",
        "2001:db8:1:2:bbbb::2",
        "2001:db8:1:3::1",
        "::ffff:198.51.100.1",
        "testclient",
    )
    found = [address_of_client(from_address(one)) for one in addresses]
    assert found == ["198.51.100.1", "2001:db8:1:2::", "2001:db8:1:2::", "2001:db8:1:3::", "198.51.100.1", "testclient"]
    assert address_of_client(HTTPConnection({"type": "http"})) == ""


@pytest.mark.parametrize(
    ("limit", "method", "address"),
    [
        ("links", "GET", "/w/guess"),
        ("panel", "GET", "/panel?participant=a"),
        ("sign_in_address", "POST", "/staff/sign-in"),
        ("sign_in_address", "GET", "/staff/link/guess"),
        ("sign_in_address", "GET", "/staff/oidc/back"),
        ("forms_address", "POST", "/work/start"),
        ("forms_address", "POST", "/researcher/settings/members"),
    ],
)
def test_too_many_get_a_kind_page_and_a_time(store: Database, limit: str, method: str, address: str) -> None:
    room = room_with(store, limits={limit: "2 per minute"})
    with client(room) as visitor:
        for _ in range(2):
            assert visitor.request(method, address).status_code != 429
        answer = visitor.request(method, address)
        assert answer.status_code == 429 and "That was a little fast" in answer.text
        assert 55 <= int(answer.headers["retry-after"]) <= 60
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert visitor.get("/healthz").status_code == 200, "the rest is open"


def test_a_workers_forms_are_their_own_count(store: Database) -> None:
    room = room_with(store, limits={"forms_worker": "3 per minute"})
    first = Visitor(store, room)
    first.client = client(room)
    first.enter()  # one form: agreeing
    assert [first.post("/work/start", {}).status_code for _ in range(3)] == [200, 200, 429]
    assert first.client.get("/work").status_code == 200, "reading goes on"
    other = TestClient(first.client.app, client=("198.51.100.1", 1))
    token = Visitor(store, room, "other").token
    other.get(f"/w/{token}")
    assert other.post("/work/start").status_code != 429


def test_wrong_passwords_close_a_login_for_a_while_and_not_the_others(store: Database, quick_hashes: None) -> None:
    room = room_with(store, limits={"sign_in_login": "3 per 10 minutes"})
    with client(room) as visitor:

        def attempt(login: str) -> int:
            return visitor.post("/staff/sign-in", data={"login": login, "password": "a wrong one"}).status_code

        assert [attempt(" Ann "), attempt("ANN"), attempt("ann"), attempt("ann"), attempt("bob")] == [403] * 3 + [
            429,
            403,
        ]
        answer = visitor.post("/staff/sign-in", data={"login": "ann", "password": "x"})
        assert re.search("Try again in (9|10) min", answer.text) and int(answer.headers["retry-after"]) > 500


def test_fifty_workers_behind_one_address_are_not_stopped() -> None:
    """Each opens a link and sends ten forms a second for twenty seconds, faster than scripted workers do."""
    throttle = Throttle(LimitsConfig())
    assert all(throttle.wait("links", "one") is None for _ in range(50))
    assert all(throttle.wait("panel", "one") is None for _ in range(50))
    for _ in range(200):
        for worker in range(50):
            assert throttle.wait("forms_worker", str(worker)) is None
            assert throttle.wait("forms_address", "one") is None
