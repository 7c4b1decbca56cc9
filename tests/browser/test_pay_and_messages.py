"""A worker reads and answers a message, staff pay and erase, in a real browser; every page is looked at by axe."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.letters import thread
from concordant.store.pay_book import payments
from concordant.store.registry import snapshots
from seats import Seat, findings
from served import Served
from working_days import Day, sit, whole

pytestmark = pytest.mark.browser
SETTINGS = '[pay]\ncurrency = "EUR"\namount = 1\nfloor = 25\n'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p", SETTINGS, seconds=0.0) as found:
        yield found


@pytest.fixture(scope="module")
def store(served: Served) -> Iterator[Database]:
    database = Database.open(Programme.open(served.folder).store_url)
    yield database
    database.close()


@pytest.fixture
def seat(served: Served, store: Database, browser: Browser) -> Iterator[Seat]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Seat(served, store, context)
    yield found
    context.close()
    assert found.errors == []


def fine(page: Page) -> None:
    """Nothing for axe in light and in dark, and nothing scrolls sideways at 320 px."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert findings(page) == [], scheme
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})


def test_a_message_read_and_answered_and_work_paid_and_text_erased(
    seat: Seat, served: Served, store: Database, browser: Browser
) -> None:
    seat.enter()
    page = seat.page
    sit(store, seat.worker, snapshots(store)[0], Day([whole(0)]))
    office = browser.new_context(viewport={"width": 1280, "height": 900})
    desk = office.new_page()
    desk.set_default_timeout(20_000)
    desk.goto(served.links["researcher"])
    desk.get_by_role("link", name="Workers").click()
    fine(desk)
    desk.get_by_role("link", name="someone").click()
    fine(desk)
    desk.get_by_role("link", name="Write to them").click()
    desk.get_by_label("Your message").fill("How is **the work**?")
    desk.get_by_role("button", name="Send").click()
    expect(desk.get_by_text("not read yet")).to_be_visible()
    fine(desk)
    desk.get_by_role("link", name="All messages").click()
    desk.get_by_label("Announcement").fill("No work on *Monday*.")
    desk.get_by_role("button", name="Announce it").click()
    expect(desk.get_by_text("put aside by 0")).to_be_visible()
    fine(desk)

    page.goto(f"{served.url}/work")
    expect(page.get_by_role("region", name="From the researchers")).to_contain_text("No work on Monday.")
    fine(page)
    page.get_by_role("button", name="put it aside").click()
    expect(page.get_by_role("region", name="From the researchers")).to_have_count(0)
    expect(page.get_by_text("1.00 EUR earned, of which 0.00 EUR has been paid")).to_be_visible()
    page.get_by_role("link", name="1 new message from the researchers").click()
    expect(page.locator("strong")).to_have_text("the work")
    fine(page)
    page.get_by_label("Your message").fill("Good, thank you.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Good, thank you.")).to_be_visible()
    assert [one.text for one in thread(store, seat.worker.id)] == ["How is **the work**?", "Good, thank you."]

    desk.reload()
    expect(desk.get_by_text("1 new")).to_be_visible()
    desk.get_by_role("link", name="Pay").click()
    expect(desk.get_by_text("Below the floor of 25.00 EUR")).to_be_visible()
    fine(desk)
    desk.get_by_role("checkbox", name="someone was paid 1.00").check()
    desk.get_by_label("Reference").fill("transfer 7")
    desk.get_by_role("button", name="Record that the ticked ones were paid").click()
    expect(desk.get_by_role("region", name="Payments")).to_contain_text("transfer 7")
    expect(desk.get_by_role("checkbox")).to_have_count(0)
    fine(desk)
    assert [one.amount for one in payments(store)] == [100]
    page.goto(f"{served.url}/work")
    expect(page.get_by_text("of which 1.00 EUR has been paid")).to_be_visible()

    desk.goto(f"{served.url}/researcher/workers/{seat.worker.id}")
    desk.get_by_role("link", name="Erase what they wrote").click()
    fine(desk)
    desk.get_by_label("I have read this").check()
    desk.get_by_role("button", name="Erase it now").click()
    expect(desk.get_by_role("heading", name="Erased")).to_be_visible()
    fine(desk)
    page.goto(f"{served.url}/work")
    expect(page.get_by_role("heading", name="Open your own link first")).to_be_visible()
    office.close()
    seat.errors.clear()  # the refused page is an error to the console
