"""The Settings page: inviting, roles, closing, and who may not be taken away."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.staff import Role, Staff, member, member_by_login
from visitors import fresh_store, room_with, sign_in_staff

pytestmark = pytest.mark.usefixtures("quick_hashes")
GOOD = "four words in a row"
SETTINGS = "/researcher/settings"


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def browser(store: Database) -> Iterator[TestClient]:
    with TestClient(create_app(room_with(store))) as client:
        yield client


@pytest.fixture
def me(store: Database, browser: TestClient) -> Staff:
    return sign_in_staff(browser, store)


def link_in(html: str) -> str:
    found = re.search(r'class="secret">http://testserver([^<]+)<', html)
    assert found is not None
    return found[1]


def invite(browser: TestClient, login: str, role: str = "reviewer") -> str:
    answer = browser.post(f"{SETTINGS}/members", data={"name": login.title(), "login": login, "role": role})
    assert answer.status_code == 200, answer.text
    return link_in(answer.text)


def test_an_invitation_is_shown_once_and_lets_somebody_in(browser: TestClient, store: Database, me: Staff) -> None:
    link = invite(browser, "bob")
    assert link not in browser.get(SETTINGS).text
    guest = TestClient(browser.app)
    assert guest.post(link, data={"password": GOOD, "again": GOOD}).status_code == 200
    assert guest.get("/staff/account").status_code == 200 and guest.get(SETTINGS).status_code == 403
    found = acts(store, 20, member_by_login(store, "bob").staff.id)
    assert [(act.staff_id == me.id, act.act) for act in reversed(found)][:2] == [
        (True, "member added"),
        (True, "link made"),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "", "login": "bob", "role": "reviewer"}, "A name has 1 to 100"),
        ({"name": "Bob", "login": "a b", "role": "reviewer"}, "A login has 1 to 100"),
        ({"name": "Bob", "login": "ann-0", "role": "reviewer"}, "taken"),
        ({"name": "Bob", "login": "bob", "role": "emperor"}, "Choose a role"),
        ({}, "Choose a role"),
    ],
)
def test_a_mistake_is_said_and_what_was_typed_stays(
    browser: TestClient, me: Staff, fields: dict[str, str], said: str
) -> None:
    answer = browser.post(f"{SETTINGS}/members", data=fields)
    assert answer.status_code == 409 and said in answer.text
    assert f'value="{fields.get("login", "")}"' in answer.text


def test_roles_change_and_accounts_close_at_once(browser: TestClient, store: Database, me: Staff) -> None:
    other = TestClient(browser.app)
    bob = sign_in_staff(other, store, Role.REVIEWER, "Bob")
    assert other.get("/researcher").status_code == 403
    assert browser.post(f"{SETTINGS}/members/{bob.id}/role", data={"role": "researcher"}).status_code == 200
    assert other.get("/researcher").status_code == 200
    assert browser.post(f"{SETTINGS}/members/{bob.id}/active", data={}).status_code == 200
    assert other.get("/staff/account").status_code == 403 and "account closed" in browser.get(SETTINGS).text
    answer = browser.post(f"{SETTINGS}/members/{bob.id}/link")
    assert answer.status_code == 409 and "active account" in answer.text
    browser.post(f"{SETTINGS}/members/{bob.id}/active", data={"active": "1"})
    assert member(store, bob.id).active and other.get("/staff/account").status_code == 403
    assert link_in(browser.post(f"{SETTINGS}/members/{bob.id}/link").text).startswith("/staff/link/")


def test_the_last_researcher_stays(browser: TestClient, store: Database, me: Staff) -> None:
    for what, fields in (("role", {"role": "reviewer"}), ("active", {"active": ""})):
        answer = browser.post(f"{SETTINGS}/members/{me.id}/{what}", data=fields)
        assert answer.status_code == 409 and "last researcher who can sign in" in answer.text
    assert member(store, me.id).active and member(store, me.id).staff.role is Role.RESEARCHER
    assert browser.post(f"{SETTINGS}/members/none/active").status_code == 409


def test_names_are_text_and_nothing_else(browser: TestClient, store: Database, me: Staff) -> None:
    html = browser.post(
        f"{SETTINGS}/members", data={"name": "<script>alert(1)</script>", "login": '"><img>', "role": "reviewer"}
    ).text
    assert "<script>alert" not in html and "<img>" not in html and "&lt;script&gt;" in html
