"""A reviewer's and a second person's journey in a real browser by keys alone, every page of it looked at by axe."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.registry import active_deployments
from concordant.store.review_draws import standing_verdicts
from concordant.store.second_looks import pairs
from concordant.store.standing import standings
from readings import NOON, Story, tell
from seats import Seat, findings
from served import Served

pytestmark = pytest.mark.browser

SETTINGS = """
[collect]
tasks = 3
helpful_turns = 1

[review]
second_opinions = 1.0
opinions_at_once = 1
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p", SETTINGS) as found:
        yield found


@pytest.fixture(scope="module")
def store(served: Served) -> Iterator[Database]:
    database = Database.open(Programme.open(served.folder).store_url)
    while not active_deployments(database):
        pass  # the generator puts its model in place
    yield database
    database.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    found = context.new_page()
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    yield found
    context.close()
    assert errors == []


def fine(page: Page) -> None:
    """Nothing for axe in light and in dark, and nothing scrolls sideways at 320 px."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert findings(page) == [], scheme
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})


def verdicts(store: Database) -> list[int | None]:
    with store.read() as session:
        return [row.verdict for row in standing_verdicts(session)]


def test_a_reviewer_by_keys_alone(page: Page, served: Served, store: Database) -> None:
    ann, _ = add_worker(store, "Ann", WorkerKind.PERSON)
    model = active_deployments(store)[0].snapshot
    for hour in range(3):
        tell(store, ann, model, Story(NOON + timedelta(hours=hour), seconds=(30.0,) * 2, buttons=(2, 7)))
    press = page.keyboard.press
    page.goto(served.staff_link())
    page.goto(f"{served.url}/review")
    expect(page.get_by_role("heading", name="3 conversations wait")).to_be_visible()
    fine(page)
    press("Enter")
    expect(page.get_by_role("heading", name="How good is this writing?")).to_be_visible()
    fine(page)
    press("r")
    expect(page.get_by_text("reply 0").first).to_be_visible()
    fine(page)
    press("n")
    page.keyboard.type("says 5 things")
    press("Escape")
    press("2")
    expect(page.get_by_text("2 waiting")).to_be_visible()
    press("5")
    expect(page.get_by_text("1 waiting")).to_be_visible()
    expect(page.get_by_text("It was “not usable”.")).to_be_visible()
    press("u")
    expect(page.get_by_text("2 waiting")).to_be_visible()
    assert verdicts(store) == [2]
    press("1")
    expect(page.get_by_text("1 waiting")).to_be_visible()
    press("3")
    expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    fine(page)
    assert verdicts(store) == [2, 1, 3]
    for address in ("/review/workers", f"/review/workers/{ann.id}", "/review/agreement"):
        page.goto(served.url + address)
        fine(page)
    page.goto(f"{served.url}/review/workers/{ann.id}")
    page.locator("#why-select").focus()
    page.keyboard.type("varied")
    press("Enter")
    expect(page.locator("h1 .tag.strong")).to_have_text("select")
    fine(page)
    assert ann.id in standings(store)


def test_without_script_the_buttons_do(browser: Browser, served: Served, store: Database) -> None:
    bob, _ = add_worker(store, "Bob", WorkerKind.PERSON)
    tell(store, bob, active_deployments(store)[0].snapshot, Story(NOON))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.staff_link())
    page.goto(f"{served.url}/review")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Poor").click()
    page.get_by_role("button", name="Take the last verdict back").click()
    page.get_by_role("button", name="Good").click()
    expect(page.get_by_role("heading", name="Nothing waits")).to_be_visible()
    context.close()
    assert verdicts(store)[-1] == 2


def test_a_second_opinion_by_keys(browser: Browser, served: Served, store: Database) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    seat = Seat(served, store, context)
    page, before = seat.page, len(pairs(store))
    eve, _ = add_worker(store, "Eve", WorkerKind.PERSON)
    tell(store, eve, active_deployments(store)[0].snapshot, Story(NOON))
    seat.enter()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#text")
    seat.say("How do I bake bread?")
    seat.choose("2")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("heading", name="Second opinions")).to_be_visible()
    fine(page)
    page.get_by_role("button", name="Begin").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("form.choose")
    fine(page)
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    assert len(pairs(store)) == before + 1
    context.close()
    assert seat.errors == []
