"""Hostile text and hostile forms: no route breaks on them, and no terminal is steered by them.

What real pages do with such text is ``browser/test_hostile_pages.py``. Routes are read off the application, so that a
new one is tried too; where it offers JSON, schemathesis tries it by the schema.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from concordant import cli
from concordant.collect.app import create_app
from concordant.commands.outcome import for_terminal
from concordant.comparison import Objective
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.talk_views import current_talk
from concordant.store.talks import open_talk
from hostile import ALL_IN_ONE, ANSI, EVERY, LONG, STEERING
from visitors import Visitor, deploy_two, fresh_store, room_with, sign_in_staff, write_all

STRANGE = [
    *EVERY,
    LONG,
    "",
    " ",
    "0",
    "-1",
    "9" * 30,
    "²",
    "1e9",
    "null",
    "../../etc/passwd",
    "'; DROP TABLE talks; --",
]
FORM = "application/x-www-form-urlencoded"
Operation = tuple[str, str, tuple[str, ...]]


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def operations(app: FastAPI) -> list[Operation]:
    """(method, path, names of the form's fields) of every route that takes or gives pages."""
    schema = app.openapi()
    found = []
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {})
            reference = content.get(FORM, {}).get("schema", {}).get("$ref", "")
            fields = schema["components"]["schemas"][reference.rpartition("/")[2]]["properties"] if reference else {}
            asked = tuple(one["name"] for one in operation.get("parameters", ()) if one["in"] == "query")
            found.append((method.upper(), path, (*fields, *asked)))
    return found


def json_paths(app: FastAPI) -> set[str]:
    """Routes that take JSON: there schemathesis knows better than we do what to send."""
    return {
        path
        for path, methods in app.openapi()["paths"].items()
        for operation in methods.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {}) or path.startswith("/v1/")
    }


def visitor_with_a_pair(db: Database, name: str, objective: Objective) -> tuple[Visitor, list[str]]:
    """A worker who is also staff, in the middle of a conversation, and ids that are theirs."""
    visitor = Visitor(db, room_with(db, panel={"name": "prolific"}), name)
    visitor.client = TestClient(create_app(visitor.room), follow_redirects=True, raise_server_exceptions=False)
    visitor.enter()
    open_talk(db, visitor.worker.id, objective, 2, "")
    comparison = visitor.say()
    write_all(db, "one", "two")
    talk = current_talk(db, visitor.worker.id)
    assert talk is not None
    sign_in_staff(visitor.client, db)
    return visitor, [talk.id, comparison, visitor.worker.id]


def test_no_form_and_no_address_breaks_a_page(store: Database) -> None:
    app = create_app(room_with(store))
    tried = [one for one in operations(app) if one[1] not in json_paths(app)]
    assert {"/work/say", "/work/choose", "/work/end", "/work/edit", "/panel", "/researcher"} <= {
        path for _, path, _ in tried
    }
    for number, operation in enumerate(tried):
        objective = list(Objective)[number % 2]
        visitor, ids = visitor_with_a_pair(store, f"visitor {number}", objective)
        with visitor.client:
            _try(visitor, operation, ids)


def _try(visitor: Visitor, operation: Operation, ids: list[str]) -> None:
    method, path, fields = operation
    value = st.one_of(st.sampled_from(ids), st.sampled_from(STRANGE), st.integers(0, 9).map(str), st.text(max_size=40))
    value = value.filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text))

    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, value)), value)
    def run(filled: dict[str, str], named: str) -> None:
        address = path
        while "{" in address:
            before, _, rest = address.partition("{")
            address = before + (quote(named[:300], safe="") or "x") + rest.partition("}")[2]
        if method == "GET":
            answer = visitor.client.get(address, params={name: text[:2000] for name, text in filled.items()})
        else:
            answer = visitor.client.request(method, address, data=filled)
        assert answer.status_code < 500, f"{method} {path} answered {answer.status_code} to {filled}"
        assert "<script>" not in answer.text and "onerror='" not in answer.text

    run()


BODIES: list[tuple[str, bytes]] = [
    (FORM, b"text=%ff%fe%00%c3%28&talk=%80&comparison=%ed%a0%80&key=%00"),
    (FORM, b"&&&===%%%zz&text"),
    (FORM, b"text=" + b"%F0%9F%98%80" * 9000),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="text"; filename="a"\r\n\r\nhi\r\n--x--\r\n',
    ),
    ("multipart/form-data; boundary=x", b"--x\r\nnothing here"),
    ("multipart/form-data", b"no boundary"),
    ("application/json", b'{"text": "hello", "talk": 3}'),
    ("application/json", b"{"),
    ("text/plain", b"text=hello"),
]


@pytest.mark.parametrize(("kind", "body"), BODIES)
def test_bodies_that_are_no_forms(store: Database, kind: str, body: bytes) -> None:
    visitor, _ = visitor_with_a_pair(store, "visitor", Objective.HELPFUL)
    with visitor.client:
        for method, path, _ in operations(create_app(visitor.room)):
            if method == "POST" and "{" not in path:
                answer = visitor.client.post(path, content=body, headers={"content-type": kind})
                assert answer.status_code < 500, f"{path} answered {answer.status_code}"


def test_too_much_is_refused_before_it_is_read(store: Database) -> None:
    visitor, ids = visitor_with_a_pair(store, "visitor", Objective.HELPFUL)
    with visitor.client:
        assert visitor.post("/work/say", {"talk": ids[0], "text": LONG * 2}).status_code == 413
        kept = visitor.post("/work/say", {"talk": ids[0], "text": LONG})
        assert kept.status_code == 422 and LONG[:1000] in kept.text


def test_json_routes_keep_to_their_schema(store: Database) -> None:
    """Every route that takes JSON, by the application's own schema: never an answer that is our fault.

    There may be none; the first one that there is, is tried.
    """
    app = create_app(room_with(store))
    try_json(app, json_paths(app))


def test_a_json_route_that_breaks_is_found() -> None:
    app = FastAPI()

    @app.post("/v1/break")
    def breaks(body: dict[str, int]) -> PlainTextResponse:
        return PlainTextResponse("", 500 if len(body) != 1 else 200)

    assert json_paths(app) == {"/v1/break"}
    with pytest.raises(AssertionError, match="/v1/break answered 500"):
        try_json(app, json_paths(app))


def try_json(app: FastAPI, paths: set[str]) -> None:
    """Send what the schema allows to these routes, and some of what it does not."""
    if not paths:
        return
    raw = app.openapi()
    schema = schemathesis.openapi.from_dict({**raw, "paths": {path: raw["paths"][path] for path in paths}})
    schema.app = app
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the schema of every route can be read"
        _try_operation(result.ok())


def _try_operation(operation: Any) -> None:
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def run(case: Any) -> None:
        answer = case.call()
        assert answer.status_code < 500, f"{case.method} {case.path} answered {answer.status_code}"

    run()


def test_a_terminal_never_gets_what_steers_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    database = Database.open(programme.store_url)
    for text in EVERY:
        add_worker(database, text.replace("\x00", ""), WorkerKind.PERSON)
    database.close()
    for arguments in (["worker", "list"], ["worker", "list", "--json"], ["worker", "permit", ANSI, "edits"]):
        cli.main([*arguments, "--dir", str(programme.path)])
        said = "".join(capsys.readouterr())
        assert said and not [one for one in STEERING if one in said], arguments
    assert cli.main([ANSI]) == 2
    assert not [one for one in STEERING if one in "".join(capsys.readouterr())]


def test_what_is_written_out_and_what_stays() -> None:
    assert for_terminal("a\x1b[31m\u202eb\x9b\x07") == "a\\x1b[31m\\u202eb\\x9b\\x07"
    for text in ("two\nlines\tand a tab", "שלום كيف", "👩‍👩‍👧‍👦", "می‌خواهم", "naïve café", "a\\x1b"):
        assert for_terminal(text) == text
    assert not [one for one in STEERING if one in for_terminal(ALL_IN_ONE)]
    for_terminal("\ud800").encode()  # half of a pair cannot be printed at all
