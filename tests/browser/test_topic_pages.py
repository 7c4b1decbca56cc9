"""Topics that somebody opted out of, in a real browser: ticked and asked for by keys, looked at by axe."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from chromium import seat, store
from seats import Seat, findings
from served import Served

pytestmark = pytest.mark.browser

SETTINGS = """
[collect]
policy = "red-team"
show = "lockstep"
red_team_turns = 2

[care.topics]
"everything there is" = ["you", "the", "yes", "not", "name", "by"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p", SETTINGS, seconds=0.05) as found:
        yield found


def fine(page: Page) -> None:
    """Nothing for axe in light and in dark, and nothing scrolls sideways at 320 px."""
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert findings(page) == []
    page.emulate_media(color_scheme="light")
    assert findings(page) == []
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
    page.set_viewport_size({"width": 1280, "height": 900})


def test_kept_back_asked_for_chosen_and_ended_by_keys(seat: Seat, tmp_path: Path) -> None:
    seat.enter()
    page, press = seat.page, seat.page.keyboard.press
    page.locator("details.topics summary").focus()
    press("Enter")
    fine(page)
    page.get_by_label("everything there is").focus()
    press("Space")
    page.get_by_role("button", name="Save").focus()
    press("Enter")
    expect(page.get_by_text("Saved. It holds from here on")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#text")
    heard: list[str] = []
    page.on("response", lambda answer: heard.append(answer.url))
    seat.say("Tell me")
    page.wait_for_selector("#withheld")
    assert page.locator(".card").count() == 0 and any("/work/stream/" in url for url in heard)
    expect(page.locator("#announce")).to_have_text(page.locator("#withheld").inner_text())
    fine(page)
    page.screenshot(path=tmp_path / "withheld.png", full_page=True)
    page.get_by_role("link", name="Show it all the same").focus()
    press("Enter")
    page.wait_for_selector("form.choose")
    assert page.locator("#unveil").count() == 0 and page.locator(".card .text").first.is_visible()
    fine(page)
    seat.choose("8")
    expect(page.locator(".turn .held")).to_contain_text("everything there is")
    fine(page)
    page.locator("details.topics summary").click()
    fine(page)
    page.screenshot(path=tmp_path / "after.png", full_page=True)
    seat.say("More")
    page.get_by_role("button", name="End this conversation").focus()
    press("Enter")
    expect(page.get_by_text("You have left the conversation")).to_be_visible()


def test_it_works_without_script(served: Served, seat: Seat, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    try:
        seat.page.close()
        plain = Seat(served, seat.store, context)
        plain.page = page
        page.goto(plain.link)
        page.locator("#agreed").check()
        page.get_by_role("button", name="Agree and begin").click()
        page.locator("details.topics summary").click()
        page.get_by_label("everything there is").check()
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Start").click()
        plain.say("Tell me")
        page.wait_for_selector("#withheld", timeout=30_000)
        page.get_by_role("link", name="Show it all the same").click()
        page.locator("label[for=b8]").click()
        page.get_by_role("button", name="Choose and go on").click()
        expect(page.locator("#text")).to_be_visible()
    finally:
        context.close()
