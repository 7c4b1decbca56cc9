"""No way in: every route of the application against every visitor, forms from other sites, headers and cookies.

The routes come from the application itself, so a new one without a line in ``DOORS`` fails the test. Left out: what
each route does for who may use it; its own tests say that.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from sqlalchemy import select

from concordant.collect.room import STAFF_COOKIE, Room
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.staff import Role, add_member, set_active
from concordant.store.staff_links import Purpose, make_link
from concordant.store.staff_sessions import Terms, end_sessions
from concordant.store.staff_tables import StaffSessionRow
from concordant.store.tables import utc_now
from concordant.store.talk_views import current_talk
from visitors import Visitor, deploy_two, fresh_store, room_with, sign_in_staff, write_all


class Door(Enum):
    """Who may use a route. Everybody else gets 403, or what is said here."""

    OPEN = "everybody"
    GUEST = "workers who opened their link, even before they agree"
    WORKER = "workers who agreed; who has not is led to the text (303)"
    OWN = "the same, for what is their own; another worker's is not there (404)"
    KEY = "programs with a key; everybody else gets 401"
    REVIEWER = "staff of any role"
    RESEARCHER = "researchers"


DOORS = {
    "GET /": Door.OPEN,
    "GET /healthz": Door.OPEN,
    "GET /static/{digest}/{name}": Door.OPEN,
    "GET /panel": Door.OPEN,
    "GET /w/{token}": Door.OPEN,
    "GET /work": Door.GUEST,
    "POST /work/agree": Door.GUEST,
    "POST /work/decline": Door.GUEST,
    "POST /work/stop": Door.GUEST,
    "POST /work/start": Door.WORKER,
    "POST /work/everyday": Door.WORKER,
    "POST /work/topics": Door.WORKER,
    "POST /work/again": Door.WORKER,
    "POST /work/feel": Door.WORKER,
    "GET /work/stream/{comparison_id}": Door.OWN,
    "POST /work/say": Door.OWN,
    "POST /work/choose": Door.OWN,
    "POST /work/edit": Door.OWN,
    "POST /work/retry": Door.OWN,
    "POST /work/end": Door.OWN,
    "GET /staff/sign-in": Door.OPEN,
    "POST /staff/sign-in": Door.OPEN,
    "POST /staff/sign-out": Door.OPEN,
    "GET /staff/link/{token}": Door.OPEN,
    "POST /staff/link/{token}": Door.OPEN,
    "GET /staff/oidc": Door.OPEN,
    "GET /staff/oidc/back": Door.OPEN,
    "GET /staff/account": Door.REVIEWER,
    "POST /staff/account/password": Door.REVIEWER,
    "POST /staff/account/claim": Door.REVIEWER,
    "POST /staff/account/sessions": Door.REVIEWER,
    "GET /researcher": Door.RESEARCHER,
    "GET /researcher/conversations": Door.RESEARCHER,
    "GET /researcher/conversations/{talk_id}": Door.RESEARCHER,
    "GET /researcher/sittings": Door.RESEARCHER,
    "GET /researcher/sittings.csv": Door.RESEARCHER,
    "GET /researcher/models": Door.RESEARCHER,
    "GET /researcher/report": Door.RESEARCHER,
    "GET /researcher/report/{path:path}": Door.RESEARCHER,
    "GET /researcher/settings": Door.RESEARCHER,
    "POST /researcher/settings/members": Door.RESEARCHER,
    "POST /researcher/settings/members/{staff_id}/link": Door.RESEARCHER,
    "POST /researcher/settings/members/{staff_id}/role": Door.RESEARCHER,
    "POST /researcher/settings/members/{staff_id}/active": Door.RESEARCHER,
    "GET /v1/models": Door.KEY,
    "GET /v1/models/{model:path}": Door.KEY,
    "POST /v1/chat/completions": Door.KEY,
    "GET /researcher/deployments": Door.RESEARCHER,
    "POST /researcher/deployments/add": Door.RESEARCHER,
    "POST /researcher/deployments/{deployment}/{act}": Door.RESEARCHER,
    "POST /work/look/next": Door.WORKER,
    "POST /work/look": Door.WORKER,
    "GET /review/workers": Door.RESEARCHER,
    "GET /review/workers/{worker_id}": Door.RESEARCHER,
    "POST /review/workers/{worker_id}/select": Door.RESEARCHER,
    "POST /review/workers/{worker_id}/exclude": Door.RESEARCHER,
    "POST /review/workers/{worker_id}/admit": Door.RESEARCHER,
    "GET /review/agreement": Door.RESEARCHER,
    "GET /review": Door.REVIEWER,
    "POST /review/next": Door.REVIEWER,
    "POST /review": Door.REVIEWER,
    "POST /review/undo": Door.REVIEWER,
    "GET /researcher/audit": Door.RESEARCHER,
    "GET /researcher/audit.csv": Door.RESEARCHER,
    "GET /researcher/conversations.csv": Door.RESEARCHER,
    "GET /work/session/{sitting_id}": Door.GUEST,
    "GET /researcher/exports": Door.RESEARCHER,
    "GET /researcher/exports/{format}/{name}": Door.RESEARCHER,
    "GET /researcher/cards/{format}": Door.RESEARCHER,
    "GET /work/messages": Door.GUEST,
    "POST /work/messages": Door.GUEST,
    "POST /work/aside": Door.GUEST,
    "GET /researcher/messages": Door.RESEARCHER,
    "GET /researcher/messages/{worker_id}": Door.RESEARCHER,
    "POST /researcher/messages/{worker_id}": Door.RESEARCHER,
    "POST /researcher/announcements": Door.RESEARCHER,
    "POST /researcher/announcements/{announcement_id}/end": Door.RESEARCHER,
    "GET /researcher/iterations": Door.RESEARCHER,
    "GET /researcher/runs/{name}": Door.RESEARCHER,
    "GET /researcher/data": Door.RESEARCHER,
    "GET /researcher/pay": Door.RESEARCHER,
    "POST /researcher/pay": Door.RESEARCHER,
    "POST /researcher/workers/{worker_id}/bonus": Door.RESEARCHER,
    "GET /researcher/pay.csv": Door.RESEARCHER,
    "GET /researcher/pay-panel.csv": Door.RESEARCHER,
    "GET /researcher/ratings": Door.RESEARCHER,
    "GET /researcher/throughput": Door.RESEARCHER,
    "GET /researcher/workers": Door.RESEARCHER,
    "POST /researcher/workers": Door.RESEARCHER,
    "GET /researcher/workers.csv": Door.RESEARCHER,
    "GET /researcher/workers/{worker_id}": Door.RESEARCHER,
    "POST /researcher/workers/{worker_id}/link": Door.RESEARCHER,
    "POST /researcher/workers/{worker_id}/edits": Door.RESEARCHER,
    "GET /researcher/workers/{worker_id}/erase": Door.RESEARCHER,
    "POST /researcher/workers/{worker_id}/erase": Door.RESEARCHER,
}
"""Every route: method and path → who may use it."""

LEAVES = {"POST /work/stop", "POST /work/decline", "POST /staff/sign-out", "POST /work/end", "POST /work/again"}
"""Forms that end what the visitor of the next test needs; who may use them does not send them."""

VISITORS = (
    *("nobody", "guest", "worker", "other worker"),
    *("reviewer", "researcher", "signed out", "expired", "idle", "closed", "worker's token", "guess"),
)
LET_IN = {
    Door.OPEN: set(VISITORS),
    Door.GUEST: {"guest", "worker", "other worker"},
    Door.WORKER: {"worker", "other worker"},
    Door.OWN: {"worker"},
    Door.KEY: set(),
    Door.REVIEWER: {"reviewer", "researcher"},
    Door.RESEARCHER: {"researcher"},
}


def routes(app: FastAPI) -> list[str]:
    """Method and path of every route of an application. What is no plain route (a mount) has its kind for a method."""
    found: list[str] = []
    for route in iter_route_contexts(app.routes):
        methods = sorted(route.methods or {type(route).__name__})
        found.extend(f"{method} {route.path}" for method in methods)
    return found


@dataclass
class Building:
    """An application with one of each kind of visitor, and something of the first worker's to reach for."""

    db: Database
    room: Room
    clients: dict[str, TestClient]
    talk: str
    comparison: str
    staff_id: str

    def ask(self, visitor: str, route: str, **options: Any) -> Any:
        """A request to a route, with the first worker's ids in path and form."""
        method, path = route.split(" ")
        ids = {"comparison_id": self.comparison, "talk_id": self.talk, "staff_id": self.staff_id}
        address = re.sub(r"{(\w+)(:path)?}", lambda found: ids.get(found[1], "none"), path)
        form = {"talk": self.talk, "comparison": self.comparison, "turn": "1"}
        if method != "GET":
            options["data"] = form
        return self.clients[visitor].request(method, address, follow_redirects=False, **options)


@pytest.fixture(scope="module")
def building(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    folder = tmp_path_factory.mktemp("building")
    with fresh_store(sqlite_template, folder) as db:
        yield build(db, folder)


def build(db: Database, folder: Path) -> Building:
    deploy_two(db)
    limits = {"sign_in_address": "", "sign_in_login": ""}  # one address asks for everything here
    room = room_with(db, folder, panel={"name": "prolific"}, limits=limits)
    worker, other = Visitor(db, room, "worker"), Visitor(db, room, "other worker")
    app = worker.client.app
    worker.start()
    comparison = worker.say()
    write_all(db, "a reply")
    other.enter()
    clients = {name: TestClient(app) for name in VISITORS}
    clients |= {"worker": worker.client, "other worker": other.client}
    clients["guest"].get(f"/w/{add_worker(db, 'guest', WorkerKind.PERSON)[1]}", follow_redirects=False)
    sign_in_staff(clients["reviewer"], db, Role.REVIEWER, "Rev")
    sign_in_staff(clients["researcher"], db, name="Hidden")
    staff = add_member(db, "a test", "Somebody", "somebody", Role.REVIEWER).staff
    _end_sessions(db, clients)
    clients["worker's token"].cookies.set(STAFF_COOKIE, worker.token)
    clients["guess"].cookies.set(STAFF_COOKIE, "a guess")
    return Building(db, room, clients, current(db, worker), comparison, staff.id)


def current(db: Database, visitor: Visitor) -> str:
    talk = current_talk(db, visitor.worker.id)
    assert talk is not None
    return talk.id


def _end_sessions(db: Database, clients: dict[str, TestClient]) -> None:
    """Researchers whose session has ended, each in another way; their browsers still send the cookie."""
    for name in ("signed out", "expired", "idle", "closed"):
        staff = sign_in_staff(clients[name], db, Role.RESEARCHER, name.replace(" ", "-"))
        assert clients[name].get("/staff/account").status_code == 200
        with db.write() as session:
            row = session.scalars(select(StaffSessionRow).where(StaffSessionRow.staff_id == staff.id)).one()
            if name == "signed out":
                end_sessions(session, staff.id)
            elif name == "expired":
                row.expires = utc_now() - timedelta(seconds=1)
            elif name == "idle":
                row.last_used = utc_now() - Terms().idle
        if name == "closed":
            set_active(db, "a test", staff.id, False)


def test_every_route_has_a_door(building: Building) -> None:
    app = building.clients["nobody"].app
    assert isinstance(app, FastAPI)
    found = routes(app)
    assert sorted(set(found) - DOORS.keys()) == [], "say in DOORS who may use these"
    assert sorted(DOORS.keys() - set(found)) == [], "these routes are gone"
    assert len(found) == len(set(found)), "two routes with one address: the second is never reached"


@pytest.mark.parametrize("visitor", VISITORS)
def test_doors_open_to_who_may_come_in_and_to_nobody_else(building: Building, visitor: str) -> None:
    """What changes state for who may come in is sent with a form that misses what it needs, so it changes nothing."""
    wrong = []
    for route, door in DOORS.items():
        if visitor in LET_IN[door] and route in LEAVES:
            continue
        expected = _expected(door, visitor)
        status = building.ask(visitor, route).status_code
        shut = status in (401, 403) and door is not Door.OPEN  # a wrong password is 403 to everybody
        if (status != expected) if expected is not None else (shut or status >= 429):
            wrong.append(f"{route}: {status} instead of {expected or 'coming in'}")
    assert wrong == []


def _expected(door: Door, visitor: str) -> int | None:
    """Status of the refusal, None where the visitor comes in."""
    if visitor in LET_IN[door]:
        return None
    if door is Door.KEY:
        return 401
    if visitor == "guest" and door in (Door.WORKER, Door.OWN):
        return 303
    return 404 if visitor == "other worker" and door is Door.OWN else 403


def test_a_nul_in_any_field_is_nobodys_fault(database: Database, tmp_path: Path) -> None:
    """PostgreSQL takes none, not even to look for it: alone in each field, and in all of them."""
    building = build(database, tmp_path)
    good = {"talk": building.talk, "comparison": building.comparison, "turn": "1", "key": "k", "text": "x"}
    tried = 0
    for route, names in fields(building.clients["nobody"].app):
        method, path = re.sub(r"{\w+(:path)?}", "none", route).split(" ")
        sent = [dict.fromkeys(names, "a\0b"), *({**good, name: "a\0b"} for name in names)]
        for visitor in ("worker", "researcher"):
            for form in sent if route not in LEAVES else sent[:1]:
                options: dict[str, Any] = {"params" if method == "GET" else "data": form}
                answer = building.clients[visitor].request(method, path, follow_redirects=False, **options)
                assert answer.status_code < 500, (visitor, route, form)
                tried += 1
    assert tried > 150


def fields(app: Any) -> Iterator[tuple[str, list[str]]]:
    """Every route that reads fields of an address or a form, and their names."""
    described = app.openapi()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            names = [one["name"] for one in operation.get("parameters", []) if one["in"] == "query"]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                form = described["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                names += list(form["properties"])
            if names:
                yield f"{method.upper()} {path}", names


def test_who_is_shut_out_sees_nothing_of_what_is_inside(building: Building) -> None:
    for route, door in DOORS.items():
        for visitor in set(VISITORS) - LET_IN[door]:
            text = building.ask(visitor, route).text
            assert "label-of" not in text and "How do I bake" not in text and "Hidden" not in text


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}]
)
def test_no_form_from_another_site_is_taken_from_anybody(building: Building, headers: dict[str, str]) -> None:
    posts = [route for route in DOORS if not route.startswith("GET ")]
    assert len(posts) > 20
    for route in posts:
        for visitor in ("nobody", "worker", "researcher"):
            answer = building.ask(visitor, route, headers=headers)
            assert answer.status_code == 403 and "came from another site" in answer.text, route


def test_every_answer_carries_the_headers_and_only_the_report_may_hold_styles(building: Building) -> None:
    for route in DOORS:
        for visitor in ("nobody", "worker", "researcher"):
            if route in LEAVES:
                continue
            answer = building.ask(visitor, route)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; ") and "frame-ancestors 'none'" in policy, route
            assert ("unsafe-inline" in policy) == ("/researcher/report" in route), route
            assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
            assert "unsafe-eval" not in policy and "*" not in policy and "http:" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff", route
            assert answer.headers["referrer-policy"] == "same-origin", route


def test_pages_hold_no_inline_script_or_style(building: Building) -> None:
    for route in DOORS:
        if route.startswith("GET ") and "static" not in route and "report" not in route:
            for visitor in ("nobody", "worker", "reviewer", "researcher"):
                html = building.ask(visitor, route).text
                assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! src=\"/static/)|javascript:", html), route


def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(building: Building) -> None:
    worker_token = add_worker(building.db, "cookies", WorkerKind.PERSON)[1]
    staff = add_member(building.db, "a test", "Linked", "linked", Role.REVIEWER).staff
    link = make_link(building.db, "a test", staff.id, Purpose.SIGN_IN)
    panel = "/panel?PROLIFIC_PID=p&STUDY_ID=s&SESSION_ID=x"
    for scheme in ("http", "https"):
        for address in (f"/w/{worker_token}", panel, f"/staff/link/{link}"):
            client = TestClient(building.clients["nobody"].app, base_url=f"{scheme}://testserver")
            cookie = client.get(address, follow_redirects=False).headers.get("set-cookie", "")
            if scheme == "https" and "link" in address:
                assert cookie == "", "the link was used"
                continue
            flags = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert flags >= {"httponly", "samesite=lax", "path=/"}, address
            assert ("secure" in flags) == (scheme == "https") and not any(flag.startswith("domain") for flag in flags)
