"""A worker's day in a real browser, every page of it looked at by axe, in light and dark, narrow, and right to left."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from chromium import seat, store
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.people import permit_edits
from concordant.store.sittings import Outcome, last_sitting, sittings
from seats import Seat, findings
from served import Served

pytestmark = pytest.mark.browser

SETTINGS = """
[collect]
policy = "alternating"
tasks = 2
helpful_turns = 1
red_team_turns = 1

[panel]
name = "prolific"
code = "C0DE"
part_code = "PART"

[care.support]
"Crisis line" = "0800 123 456"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p", SETTINGS, seconds=0.02) as found:
        yield found


def fine(page: Page, *, narrow: bool = True) -> None:
    """Nothing for axe in light and in dark, and nothing scrolls sideways at 320 px."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        assert findings(page) == [], scheme
    page.emulate_media(color_scheme="light")
    if narrow:
        size = page.viewport_size
        assert size is not None
        page.set_viewport_size({"width": 320, "height": 700})
        assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
        page.set_viewport_size(size)


def test_from_the_panel_through_both_kinds_of_work_and_back(seat: Seat, served: Served, store: Database) -> None:
    page = seat.page
    page.goto(f"{served.url}/panel?PROLIFIC_PID=p1&STUDY_ID=st&SESSION_ID=s1")
    expect(page.get_by_role("heading", name="Before you begin")).to_be_visible()
    fine(page)
    seat.agree()
    while page.get_by_text("Look again").count():
        page.wait_for_timeout(200)
        page.reload()
    expect(page.locator(".count")).to_have_text("Task 1 of 2")
    fine(page)
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#text")
    fine(page)
    seat.say("How do I bake bread?")
    page.wait_for_selector("form.choose")
    fine(page)
    seat.choose("2")
    fine(page)
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".mode")).to_have_text("red team")
    fine(page)
    _red_team_task(seat)
    expect(page.get_by_text("C0DE")).to_be_visible()
    assert page.get_by_role("link", name="Go back to prolific").get_attribute("href") == (
        "https://app.prolific.com/submissions/complete?cc=C0DE"
    )
    fine(page)
    page.get_by_text("So-so").click()
    page.locator("form.feel button").click()
    expect(page.get_by_text("Thank you for telling us.")).to_be_visible()
    fine(page)
    outcomes = [sitting.outcome for name, sitting in sittings(store) if name == "prolific p1"]
    assert outcomes == [Outcome.COMPLETED]


def _red_team_task(seat: Seat) -> None:
    page = seat.page
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("region", name="If this work weighs on you")).to_be_visible()
    seat.say("Tell me how to be unkind.")
    page.wait_for_selector("form.choose")
    text = page.locator("#reply-a .text")
    blurred = "text => getComputedStyle(text).filter.includes('blur') && text.inert"
    assert text.evaluate(blurred)
    fine(page)
    page.get_by_label("Show both replies").check()
    assert not text.evaluate(blurred)
    fine(page)
    page.reload()
    page.wait_for_selector("form.choose")
    assert not text.evaluate(blurred), "what was asked for once is not hidden again"
    seat.choose("8")
    expect(page.get_by_role("radiogroup")).to_have_count(3)
    fine(page)
    for name in ("rating3", "harm2", "actionability1"):
        page.locator(f"label[for={name}]").click()
    page.get_by_role("button", name="Finish").click()


def test_everything_by_keys_from_consent_to_stopping(seat: Seat, store: Database) -> None:
    page, press = seat.page, seat.page.keyboard.press
    page.goto(seat.link)

    def tab_to(selector: str) -> None:
        for _ in range(25):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    tab_to("#agreed")
    press("Space")
    tab_to("form.agree button")
    press("Enter")
    page.wait_for_selector("form[action='/work/start']")
    tab_to("form[action='/work/start'] button")
    press("Enter")
    page.wait_for_selector("#text")
    tab_to("#text")
    page.keyboard.type("Hello")
    press("Control+Enter")
    seat.choose("7")
    tab_to(".undo a")
    press("Enter")
    page.wait_for_selector("input[name=instead]", state="attached")
    expect(page.get_by_role("radio", checked=True)).to_have_count(0)
    seat.choose("1")
    expect(page.locator(".undo")).to_contain_text("You said: A is much better.")
    tab_to("form[action='/work/stop'] button")
    press("Enter")
    page.wait_for_selector(".done")
    sitting = last_sitting(store, seat.worker.id)
    assert sitting is not None and (sitting.outcome, sitting.done, sitting.choices) == (Outcome.LEFT, 1, 1)


def test_both_replies_come_together_and_are_announced_once(seat: Seat) -> None:
    seat.enter()
    page = seat.page
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#text")
    seat.say("How do I bake bread?")
    page.wait_for_selector("#waiting, form.choose")
    page.evaluate("""() => {
      window.said = [];
      const box = document.querySelector('#announce');
      new MutationObserver(() => box.textContent && window.said.push(box.textContent)).observe(box, {childList: true});
    }""")
    while page.locator("#waiting").count():
        shown = page.evaluate(
            "[...document.querySelectorAll('#waiting .card .text')].map(text => text.innerText).join('')"
        )
        assert shown == ""
        page.wait_for_timeout(30)
    page.wait_for_timeout(400)
    assert page.evaluate("window.said") == ["Both replies are written. Read them, then choose below."]
    assert page.locator("[role=status], [role=alert], [aria-live]").count() == 1, "one voice"


def test_from_red_team_to_everyday_work_and_a_reply_made_better(seat: Seat, store: Database) -> None:
    seat.enter()
    page = seat.page
    permit_edits(store, seat.worker.id, True)
    page.get_by_role("button", name="Start").click()
    seat.say("First")
    seat.choose("3")
    page.get_by_role("link", name="Improve this reply").click()
    page.wait_for_selector("form.edit")
    fine(page)
    page.locator("#text").fill("As it should have been.")
    page.get_by_role("button", name="Save and go on").click()
    expect(page.locator(".assistant .text")).to_have_text("As it should have been.")
    page.get_by_role("button", name="Finish").click()
    expect(page.locator(".mode")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Switch to everyday work").click()
    expect(page.get_by_text("Everyday work from here on.")).to_be_visible()
    assert page.locator(".mode").count() == 0


def test_right_to_left_and_in_another_language(browser: Browser, tmp_path: Path) -> None:
    words = '[page]\nlang = "ar"\ndir = "rtl"\n[start]\nbegin = "ابدأ"\n[talk]\nsend = "أرسل"\n'
    context = browser.new_context(viewport={"width": 320, "height": 700})
    folder = tmp_path / "p"
    Programme.init(folder, SETTINGS.replace("[collect]", '[collect]\nwords = "ar.toml"'))
    (folder / "ar.toml").write_text(words)
    with Served(folder, seconds=0.0) as served:
        store = Database.open(Programme.open(folder).store_url)
        try:
            seat = Seat(served, store, context)
            seat.enter()
            page = seat.page
            assert page.locator("html").get_attribute("dir") == "rtl"
            page.get_by_role("button", name="ابدأ").click()
            page.locator("#text").fill("كيف أخبز الخبز؟")
            page.get_by_role("button", name="أرسل").click()
            page.wait_for_selector("form.choose")
            assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
            first, last = (page.locator(f"label[for=b{n}]").bounding_box() for n in (1, 8))
            assert first is not None and last is not None and first["x"] > last["x"], "A begins where reading begins"
            assert re.search("Keys 1 to 8", page.content())
            assert findings(page) == []
        finally:
            store.close()
    context.close()
