"""Staff in a real browser: from the printed link to an account, an invitation, a second person, and signing out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from seats import findings
from served import Served

pytestmark = pytest.mark.browser
GOOD = "four words in a row"
LOOKS = [(width, scheme) for width in (1280, 360) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p") as found:
        yield found


def look(page: Page, name: str) -> None:
    """Narrow and wide, light and dark: nothing that axe finds, and nothing wider than the screen."""
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} px wide on a screen of {width}"
        assert findings(page) == [], f"{name}, {width} px, {scheme}"
        if folder := os.environ.get("CONCORDANT_SHOTS"):  # to look at them
            page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 320, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(viewport={"width": 1280, "height": 900})
    found.set_default_timeout(15_000)
    yield found
    found.close()


def test_from_the_printed_link_to_a_second_person(served: Served, context: BrowserContext, browser: Browser) -> None:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(served.links["researcher"])
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("link", name="Your account").click()
    look(page, "claim")
    for label, text in (("Your name", "Ann Lee"), ("Login", "ann@example.org"), ("Password", GOOD)):
        page.get_by_label(label).fill(text)
    page.get_by_label("The same again").fill(GOOD)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your password is set")).to_be_visible()
    look(page, "account")

    page.get_by_role("link", name="Settings").click()
    look(page, "settings")
    page.get_by_label("Name").fill("Bob Ray")
    page.get_by_label("Login").fill("bob@example.org")
    page.get_by_role("button", name="Make the invitation link").click()
    link = page.locator(".secret").inner_text()
    look(page, "invited")

    other = browser.new_context(viewport={"width": 1280, "height": 900})
    guest = other.new_page()
    guest.goto(link)
    look(guest, "invitation")
    guest.get_by_label("Password").fill(GOOD)
    guest.get_by_label("The same again").fill(GOOD)
    guest.get_by_role("button", name="Save and sign in").click()
    expect(guest.get_by_role("heading", name="Nothing waits")).to_be_visible()
    guest.get_by_role("link", name="Your account").click()
    expect(guest.get_by_role("heading", name="Your account")).to_be_visible()
    guest.goto(f"{served.url}/researcher")
    expect(guest.get_by_role("heading", name="This page is for researchers")).to_be_visible()
    look(guest, "reviewer")
    other.close()

    page.goto(f"{served.url}/researcher/settings")
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{served.url}/researcher/models")
    look(page, "sign-in")
    page.get_by_label("Login").fill("ANN@example.org")
    page.get_by_label("Password").fill("a wrong password")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not right")
    look(page, "sign-in-wrong")
    page.get_by_label("Password").fill(GOOD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Models")).to_be_visible()
    page.goto(served.links["researcher"])
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    context.clear_cookies()
    page.goto(served.links["researcher"])
    expect(page.get_by_role("heading", name="This link has been used")).to_be_visible()
    look(page, "used")
    assert errors == []
