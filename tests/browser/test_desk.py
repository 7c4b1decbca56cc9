"""A researcher at the desk in a real browser: finds a conversation, reads it, takes it as CSV, exports; seen by axe."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from concordant.comparison import Objective
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.journal import Journal
from concordant.store.preferences import Filter
from concordant.store.registry import SnapshotKind, add_snapshot, record_run
from seats import findings
from served import Served
from stories import draw, person, play, policy_model

pytestmark = pytest.mark.browser

PAGES = ("", "throughput", "conversations", "ratings", "sittings", "models", "iterations", "data", "exports", "audit")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p") as found:
        yield found


@pytest.fixture(scope="module")
def store(served: Served) -> Iterator[Database]:
    """With six workers' talks between two models, a data set, and an iteration."""
    database = Database.open(Programme.open(served.folder).store_url)
    policy = policy_model(database)
    base = add_snapshot(database, "<b>base</b>", SnapshotKind.MODEL, {"folder": "base", "adapter": None})
    for number in range(6):
        objective = Objective.HARMLESS if number == 2 else Objective.HELPFUL
        play(database, person(database, f"worker {number}"), draw(base, policy), [1, 8, 3], objective, study="pilot")
    frozen = freeze(database, "pilot", Filter(), served.folder / "datasets")
    record_run(database, "pm-1", "pm", "/runs/pm-1", {"dataset": frozen.digest}, {"accuracy": 0.67})
    with Journal(database, 1) as journal:
        journal.step("pm", {}, lambda: {"run": "pm-1", "accuracy": 0.67})
    yield database
    database.close()


@pytest.fixture
def page(served: Served, store: Database, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(20_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(served.staff_link())
    yield page
    context.close()
    assert errors == []


def test_from_a_search_to_the_export(page: Page, store: Database, tmp_path: Path) -> None:
    page.get_by_role("link", name="Conversations", exact=True).click()
    page.get_by_label("Words").fill('"question 2" QUESTION')
    page.get_by_label("Work", exact=True).select_option("red team")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_label("Words")).to_have_value('"question 2" QUESTION')
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV of Conversations").click()
    (row,) = csv.DictReader(Path(waiting.value.path()).read_text().splitlines())
    assert (row["worker"], row["study"], row["choices"]) == ("worker 2", "pilot", "3")
    page.get_by_role("link", name="question 1").click()
    expect(page.get_by_text("taken as more harmful, strength 4 of 4")).to_have_count(2)
    expect(page.get_by_text("<b>base</b>").first).to_be_visible()
    page.get_by_role("link", name="All that were found").click()
    expect(page.get_by_label("Words")).to_have_value('"question 2" QUESTION')

    page.get_by_role("link", name="Exports", exact=True).click()
    page.get_by_label("Work", exact=True).select_option("helpful")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("15 comparisons;")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="HH lines").click()
    assert waiting.value.suggested_filename.startswith("preferences-helpful-20")
    lines = gzip.decompress(Path(waiting.value.path()).read_bytes()).splitlines()
    assert len(lines) == 15 and {json.loads(line)["objective"] for line in lines} == {"helpful"}
    page.get_by_role("link", name="audit log", exact=True).click()
    expect(page.get_by_role("cell", name="data exported")).to_be_visible()


def test_a_heading_sorts_and_stays_in_the_address(page: Page, served: Served) -> None:
    page.goto(f"{served.url}/researcher/throughput")
    workers = page.get_by_role("region", name="By worker")
    workers.get_by_role("link", name="Worker", exact=True).click()
    names = page.get_by_role("region", name="By worker").locator("tbody td:first-child")
    assert names.all_text_contents() == [f"worker {number}" for number in range(6)]
    page.get_by_role("region", name="By worker").get_by_role("link", name="Worker", exact=True).click()
    assert names.all_text_contents() == [f"worker {number}" for number in range(5, -1, -1)]
    assert page.locator("th[aria-sort=descending]").filter(has_text="Worker").count() == 1


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_fine_in_light_and_dark_and_narrow(page: Page, served: Served, name: str) -> None:
    page.goto(f"{served.url}/researcher/{name}".rstrip("/"))
    assert page.locator(".rail [aria-current=page]").count() == 1
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert findings(page) == [], scheme
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
