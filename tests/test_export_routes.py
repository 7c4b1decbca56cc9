import gzip
import io
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from concordant.collect import export_routes
from concordant.collect.app import THREADS, create_app
from concordant.collect.room import STAFF_COOKIE
from concordant.comparison import Preference
from concordant.store.erasure import erase
from concordant.store.parquet import COLUMNS
from concordant.store.staff import members
from desk_stories import Clock, Story, flat, rows_of, staff_client
from visitors import acts_but_sign_ins, fresh_store, room_with, signed_in_staff


@pytest.fixture
def story(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with fresh_store(sqlite_template, tmp_path) as database, monkeypatch.context() as patch:
        yield Story(database, Clock(patch))


@pytest.fixture
def staff(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    with staff_client(room_with(story.db, tmp_path)) as client:
        yield client


def test_the_page_says_what_a_filter_holds(staff: TestClient, story: Story) -> None:
    html = flat(staff.get("/researcher/exports").text)
    assert "<p>6 comparisons; rewritten replies come on top.</p>" in html
    rows = rows_of(staff.get("/researcher/exports?csv=selection").text)
    assert [list(row.values()) for row in rows] == [
        ["harmless", "online", "store", "person", "1", "0"],
        ["helpful", "base", "store", "person", "2", "0"],
        ["helpful", "online", "store", "person", "2", "1"],
        ["helpful", "online", "store", "scripted", "1", "1"],
    ]
    narrowed = flat(staff.get("/researcher/exports?study=pilot&tranche=online").text)
    assert (
        "<p>2 comparisons" in narrowed
        and "/researcher/exports/hh/preferences.jsonl.gz?study=pilot&amp;tranche=online" in narrowed
    )
    assert "No comparison matches" in staff.get("/researcher/exports?tranche=rs").text


def test_the_page_promises_what_the_file_holds_when_a_text_was_erased(staff: TestClient, story: Story) -> None:
    erase(story.db, story.ann.id, "boss")
    html = flat(staff.get("/researcher/exports").text)
    file = staff.get("/researcher/exports/parquet/all.parquet")
    left = pq.read_table(io.BytesIO(file.content)).num_rows
    assert 0 < left < 6
    assert f"<p>{left} comparisons; rewritten replies come on top. {6 - left} more are left out" in html
    assert sum(int(row["n"]) for row in rows_of(staff.get("/researcher/exports?csv=selection").text)) == left


def test_hh_lines_by_filter_with_their_card(staff: TestClient, story: Story) -> None:
    answer = staff.get("/researcher/exports/hh/any.jsonl.gz?kind=person&objective=helpful")
    assert answer.headers["content-disposition"].startswith('attachment; filename="preferences-helpful-person-20')
    rows = [json.loads(line) for line in gzip.decompress(answer.content).splitlines()]
    assert [row["worker"] for row in rows] == [story.ann.id] * 3
    assert rows[0]["chosen"].endswith("Answer 0 of the base") and rows[0]["models"] == ["base", "policy"]
    card = staff.get("/researcher/cards/hh?kind=person&objective=helpful")
    assert "3 comparisons" in card.text and "| weakest strength | 1 |" in card.text
    assert card.headers["content-disposition"].endswith('.jsonl.gz.md"')


def test_parquet_has_every_row(staff: TestClient, tmp_path: Path) -> None:
    answer = staff.get("/researcher/exports/parquet/any.parquet")
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.num_rows == 6 and table.column_names == list(COLUMNS)
    red = staff.get("/researcher/exports/parquet/x?objective=harmless&source=store&model=base")
    assert red.status_code == 409 and "no preference in the store matches" in red.text.replace("No ", "no ")
    both = pq.read_table(io.BytesIO(staff.get("/researcher/exports/parquet/x?objective=harmless").content))
    assert both.column("button").to_pylist() == [8]


def test_cards_of_large_stores_hold_up_no_page(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are threads for pages, all being counted; a worker's page comes all the same."""
    going, over = threading.Semaphore(0), threading.Event()

    def counting(*_: object) -> str:
        going.release()
        assert over.wait(20)
        return "card"

    monkeypatch.setattr(export_routes, "card_of", counting)
    room = room_with(story.db, tmp_path)
    with running(create_app(room)) as url, ThreadPoolExecutor(THREADS) as pool:
        _, token = signed_in_staff(story.db)
        address, cookies = f"{url}/researcher/cards/hh", {STAFF_COOKIE: token}
        asked = [pool.submit(httpx.get, address, cookies=cookies, timeout=30) for _ in range(THREADS)]
        try:
            assert all(going.acquire(timeout=20) for _ in range(THREADS))
            assert httpx.get(f"{url}/healthz", timeout=10).status_code == 200
        finally:
            over.set()
        assert [one.result().text for one in asked] == ["card"] * THREADS


def test_an_export_is_on_record(staff: TestClient, story: Story) -> None:
    staff.get("/researcher/exports/hh/any?objective=helpful")
    (act,) = acts_but_sign_ins(story.db)
    assert (act.act, act.staff_id, act.detail["format"], act.detail["filter"]["objective"]) == (
        *("data exported", members(story.db)[0].staff.id, "hh", "helpful"),
    )


def test_what_cannot_be_exported(staff: TestClient) -> None:
    assert staff.get("/researcher/exports/xml/any").status_code == 404
    assert staff.get("/researcher/cards/xml").status_code == 404
    for query in ("source=moon", "objective=x", "kind=x", "tranche=x", "study=none"):
        answer = staff.get(f"/researcher/exports/hh/any?{query}")
        assert answer.status_code == 409 and "content-disposition" not in answer.headers


def test_a_file_that_breaks_off_is_no_answer(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something fails after the first pieces: the client is told, and what it has cannot be unpacked."""

    def broken(preference: Preference) -> str | None:
        if preference.worker_kind == "scripted":
            raise RuntimeError("the disk fell off")
        return None

    monkeypatch.setattr("concordant.store.exports.why_not_hh", broken)
    monkeypatch.setattr("concordant.store.whole_file._PIECE_BYTES", 1)
    with running(create_app(room_with(story.db, tmp_path))) as url, httpx.Client(base_url=url) as client:
        client.cookies.set(STAFF_COOKIE, signed_in_staff(story.db)[1])
        got = b""
        with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", "/researcher/exports/hh/any") as answer:
            assert answer.status_code == 200 and answer.headers["transfer-encoding"] == "chunked"
            for piece in answer.iter_raw():
                got += piece
        assert got
        with pytest.raises(EOFError):
            gzip.decompress(got)


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The application behind a real server, since only that one has connections to break."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="on", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
