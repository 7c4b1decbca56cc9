"""Signing in and out, one-time links, and one's own account, as a browser sees them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import STAFF_COOKIE
from concordant.collect.served_page import read_page
from concordant.collect.staff_routes import is_own_address
from concordant.store.audit import COMMAND_LINE
from concordant.store.database import Database
from concordant.store.sign_ins import claim_account
from concordant.store.staff import Role, Staff, add_member, member, owner, set_active
from concordant.store.staff_links import Purpose, make_link
from visitors import fresh_store, room_with, sign_in_staff

pytestmark = pytest.mark.usefixtures("quick_hashes")
GOOD, BETTER = "four words in a row", "five words in a row, even"


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def ann(store: Database) -> Staff:
    staff = add_member(store, COMMAND_LINE, "Ann", "ann", Role.RESEARCHER).staff
    claim_account(store, staff.id, "Ann", "ann", GOOD)
    return staff


@pytest.fixture
def browser(store: Database) -> Iterator[TestClient]:
    with TestClient(create_app(room_with(store))) as client:
        yield client


def another(browser: TestClient) -> TestClient:
    return TestClient(browser.app)


def sign_in(browser: TestClient, password: str = GOOD, next: str = "", login: str = "ann") -> str:
    """Signs in; returns where it leads, "" for nowhere."""
    fields = {"login": login, "password": password, "next": next}
    answer = browser.post("/staff/sign-in", data=fields, follow_redirects=False)
    return str(answer.headers["location"]) if answer.status_code == 303 else ""


def test_who_is_led_to_signing_in_comes_back_to_where_they_wanted_to_go(browser: TestClient, ann: Staff) -> None:
    answer = browser.get("/researcher/conversations?after=5")
    assert answer.status_code == 403 and "<h1>Sign in</h1>" in answer.text
    form = read_page(answer.text).form("/staff/sign-in")
    assert form is not None and form.hidden["next"] == "/researcher/conversations?after=5"
    assert sign_in(browser, next=form.hidden["next"]) == "/researcher/conversations?after=5"
    assert browser.get("/researcher").status_code == 200
    assert browser.get("/staff/sign-in", follow_redirects=False).headers["location"] == "/researcher"


def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(browser: TestClient) -> None:
    page = "http://testserver/researcher/settings"
    answer = browser.post("/researcher/settings/members", data={}, headers={"Referer": page})
    form = read_page(answer.text).form("/staff/sign-in")
    assert answer.status_code == 403 and form is not None and form.hidden["next"] == "/researcher/settings"
    answer = browser.post("/researcher/settings/members", data={}, headers={"Referer": "https://elsewhere.example/x"})
    form = read_page(answer.text).form("/staff/sign-in")
    assert form is not None and form.hidden["next"] == ""


OTHERS = [
    *(
        "https://elsewhere.example",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "\\\\elsewhere.example",
        "researcher",
    ),
    *("javascript:alert(1)", "/\t/elsewhere.example", "/\n/elsewhere.example", "http:elsewhere.example", " //x"),
]


@pytest.mark.parametrize("address", OTHERS)
def test_signing_in_leads_to_no_other_site(browser: TestClient, ann: Staff, address: str) -> None:
    assert not is_own_address(address)
    page = read_page(browser.get("/staff/sign-in", params={"next": address}).text).form("/staff/sign-in")
    assert page is not None and page.hidden["next"] == ""
    assert sign_in(browser, next=address) == "/researcher"
    assert browser.get("/staff/sign-in", params={"next": address}, follow_redirects=False).headers["location"] == (
        "/researcher"
    )


def test_a_wrong_login_and_a_wrong_password_get_the_same_answer(browser: TestClient, ann: Staff) -> None:
    texts = []
    for login, password in (("ann", BETTER), ("nobody", BETTER)):
        answer = browser.post("/staff/sign-in", data={"login": login, "password": password})
        assert answer.status_code == 403 and "set-cookie" not in answer.headers
        texts.append(answer.text.replace(login, "LOGIN"))
    assert texts[0] == texts[1] and "The login or the password is not right." in texts[0]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_for_the_server_alone(store: Database, ann: Staff, scheme: str) -> None:
    with TestClient(create_app(room_with(store)), base_url=f"{scheme}://testserver") as browser:
        answer = browser.post("/staff/sign-in", data={"login": "ann", "password": GOOD}, follow_redirects=False)
        name, _, flags = answer.headers["set-cookie"].partition("=")
        parts = {part.strip().lower() for part in flags.split(";")[1:]}
        assert parts >= {"httponly", "samesite=lax", "path=/"} and not any(part.startswith("domain") for part in parts)
        assert (name, "secure" in parts) == (
            (f"__Host-{STAFF_COOKIE}", True) if scheme == "https" else (STAFF_COOKIE, False)
        )
        assert browser.get("/researcher").status_code == 200


def test_signing_out_ends_the_session_itself(browser: TestClient, ann: Staff) -> None:
    sign_in(browser)
    cookie = browser.cookies[STAFF_COOKIE]
    assert browser.post("/staff/sign-out").status_code == 200 and STAFF_COOKIE not in browser.cookies
    browser.cookies.set(STAFF_COOKIE, cookie)
    assert browser.get("/researcher").status_code == 403
    assert another(browser).post("/staff/sign-out").status_code == 200, "who is not signed in may ask too"


def test_signing_in_anew_gives_a_new_session_and_ends_the_old_one(browser: TestClient, ann: Staff) -> None:
    sign_in(browser)
    first = browser.cookies[STAFF_COOKIE]
    sign_in(browser)
    assert browser.cookies[STAFF_COOKIE] != first
    stolen = another(browser)
    stolen.cookies.set(STAFF_COOKIE, first)
    assert stolen.get("/researcher").status_code == 403


def test_a_link_of_this_machine_signs_in_once(browser: TestClient, store: Database) -> None:
    staff = owner(store).staff
    address = f"/staff/link/{make_link(store, staff.id, staff.id, Purpose.SIGN_IN)}"
    answer = browser.get(address, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/researcher"
    assert browser.get(address, follow_redirects=False).headers["location"] == "/researcher", "again, in this browser"
    used = another(browser).get(address)
    assert used.status_code == 404 and "This link has been used" in used.text
    page = read_page(browser.get("/staff/account").text).form("/staff/account/claim", "login")
    assert page is not None
    fields = {"name": "Ann", "login": "Ann@Example.org", "password": GOOD, "again": "another"}
    answer = browser.post(page.action, data=fields)
    assert answer.status_code == 422 and "The two passwords differ" in answer.text and "Ann@Example.org" in answer.text
    assert "Your password is set" in browser.post(page.action, data={**fields, "again": GOOD}).text
    assert sign_in(another(browser), login="ann@example.org") == "/researcher"


def test_an_invitation_asks_for_a_password_and_comes_in(browser: TestClient, store: Database) -> None:
    rev = add_member(store, COMMAND_LINE, "Rev", "rev", Role.REVIEWER).staff
    address = f"/staff/link/{make_link(store, COMMAND_LINE, rev.id, Purpose.PASSWORD)}"
    assert "Welcome, <bdi>Rev</bdi>" in browser.get(address).text and browser.get(address).status_code == 200
    for password, again, said in ((GOOD, BETTER, "differ"), ("short", "short", "at least 12")):
        answer = browser.post(address, data={"password": password, "again": again})
        assert answer.status_code == 422 and said in answer.text
    answer = browser.post(address, data={"password": GOOD, "again": GOOD}, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/review"
    own = browser.get("/staff/account")
    assert own.status_code == 200 and 'href="/researcher' not in own.text, "no way to pages that would not open"
    assert another(browser).post(address, data={"password": BETTER, "again": BETTER}).status_code == 404


def test_a_reviewer_is_told_that_a_page_is_for_researchers(browser: TestClient, store: Database) -> None:
    sign_in_staff(browser, store, Role.REVIEWER)
    answer = browser.get("/researcher")
    assert answer.status_code == 403 and "This page is for researchers" in answer.text
    assert 'href="/staff/account"' in answer.text and "Sign in" not in answer.text


def test_sessions_are_listed_and_ended(browser: TestClient, ann: Staff) -> None:
    tablet, phone = another(browser), another(browser)
    for one, name in ((browser, "Desktop"), (tablet, "Tablet <b>"), (phone, "Phone")):
        one.headers["User-Agent"] = name
        sign_in(one)
    html = browser.get("/staff/account").text
    assert html.count("this browser") == 1 and html.count("Sign out there") == 2 and "Tablet &lt;b&gt;" in html
    form = read_page(html).form("/staff/account/sessions")
    assert form is not None
    browser.post(form.action, data=form.hidden)  # the one used last of the others: the phone
    assert [one.get("/researcher").status_code for one in (phone, tablet, browser)] == [403, 200, 200]
    browser.post("/staff/account/sessions")
    assert [one.get("/researcher").status_code for one in (tablet, browser)] == [403, 200]
    assert browser.post("/staff/account/sessions", data={"session": "none"}).status_code == 409


def test_a_changed_password_signs_the_others_out(browser: TestClient, ann: Staff) -> None:
    other = another(browser)
    sign_in(browser)
    sign_in(other)
    fields = {"old": BETTER, "password": BETTER, "again": BETTER}
    answer = browser.post("/staff/account/password", data=fields)
    assert answer.status_code == 422 and "The password that you have now is another one." in answer.text
    assert browser.post("/staff/account/password", data={**fields, "old": GOOD}).status_code == 200
    assert browser.get("/researcher").status_code == 200 and other.get("/researcher").status_code == 403
    assert sign_in(other) == "" and sign_in(other, BETTER) == "/researcher"


def test_closing_an_account_counts_from_the_next_click(browser: TestClient, store: Database, ann: Staff) -> None:
    staff = sign_in_staff(browser, store)
    assert browser.get("/researcher").status_code == 200
    set_active(store, ann.id, staff.id, False)
    assert browser.get("/researcher").status_code == 403 and not member(store, staff.id).active
