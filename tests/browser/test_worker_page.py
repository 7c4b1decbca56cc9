"""A conversation in a real browser: by mouse, by keys alone, reloaded half-way, narrow, dark, and without script."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from chromium import seat, store
from concordant.comparison import Objective
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.talk_views import current_talk
from concordant.store.talks import open_talk
from seats import Seat
from served import Served

pytestmark = pytest.mark.browser

TURNS = 2


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("programme") / "p"
    with Served(folder, f'[collect]\nhelpful_turns = {TURNS}\nshow = "lockstep"\n', seconds=0.05) as found:
        yield found


def test_a_conversation_by_mouse(seat: Seat) -> None:
    page = seat.page
    seat.enter()
    page.get_by_role("button", name="Start").click()
    for turn in range(1, TURNS + 1):
        page.get_by_label(re.compile("What would you like help with|Your answer")).fill(f"Question {turn}")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Writing two replies…")).to_be_visible()
        expect(page.get_by_role("radiogroup", name="Which reply is more helpful and honest?")).to_be_visible()
        expect(page.get_by_role("radio", checked=True)).to_have_count(0)
        assert page.get_by_role("radio").count() == 8
        name = "A is much better" if turn == 1 else "B is slightly better"
        shown = page.get_by_role("article", name="Reply A" if turn == 1 else "Reply B").locator(".text").inner_text()
        page.get_by_role("radio", name=name).locator("xpath=following-sibling::label").click()
        expect(page.locator(".said").get_by_text(name)).to_be_visible()
        page.get_by_role("button", name=re.compile("Choose and")).click()
        page.wait_for_url(re.compile("/work"))
        expect(page.get_by_label("The conversation so far").locator(".assistant .text").nth(turn - 1)).to_have_text(
            re.compile(re.escape(shown.split("\n")[0].strip()))
        )
        assert seat.choices() == turn
    page.get_by_text("Very good").click()
    page.get_by_label("A comment").fill("I thought the assistant was fine.")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_text("Thank you. Your choices are saved.")).to_be_visible()
    assert current_talk(seat.store, seat.worker.id) is None


def test_a_conversation_by_keys_alone(seat: Seat) -> None:
    page, press = seat.page, seat.page.keyboard.press
    seat.enter()

    def tab_to(selector: str) -> None:
        for _ in range(20):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    tab_to("form[action='/work/start'] button")
    press("Enter")
    page.wait_for_selector("form.say")
    for turn in range(1, TURNS + 1):
        tab_to("#text")
        page.keyboard.type(f"Question {turn}")
        if turn == 1:
            press("Control+Enter")
        else:
            tab_to("form.say button")
            press("Enter")
        page.wait_for_selector("form.choose")
        press("3")
        press("6")  # a change of mind
        expect(page.get_by_role("radio", checked=True)).to_have_accessible_name("B is a bit better")
        press("ArrowRight")
        expect(page.get_by_role("radio", checked=True)).to_have_accessible_name("B is better")
        press("Enter")
        page.wait_for_selector("form.say, form.end")
        assert seat.choices() == turn
    tab_to("#rating1")
    press("ArrowRight")
    tab_to("form.end button")
    press("Enter")
    expect(page.get_by_text("Thank you. Your choices are saved.")).to_be_visible()


def start_writing(seat: Seat) -> None:
    seat.enter()
    seat.page.get_by_role("button", name="Start").click()
    seat.page.locator("#text").fill("How do I bake bread?")
    seat.page.get_by_role("button", name="Send").click()
    seat.page.wait_for_selector("#waiting")


def test_a_reload_in_the_middle_of_writing_goes_on(seat: Seat) -> None:
    start_writing(seat)
    page = seat.page
    text = page.locator("#reply-a .text")
    expect(text).to_have_text(re.compile(r"\S+"))
    before = text.inner_text().strip()
    page.reload()
    assert text.inner_text().strip().startswith(before[: len(before) - 1])
    page.wait_for_selector("form.choose")
    assert len(text.inner_text().strip()) >= len(before)
    page.reload()
    expect(page.locator("form.choose")).to_be_visible()


def letters(text: str) -> int:
    """Letters and digits: markup such as the bars of a table goes when the table is complete, what was said stays."""
    return sum(character.isalnum() for character in text)


MARKUP = re.compile(r"[|`*]")
"""In a text whose markup was words too: bars, fences and numbers of lists go when they are rendered."""


def words(text: str) -> int:
    return len(re.findall(r"\w+", text))


def test_text_only_grows_and_both_replies_keep_pace(seat: Seat) -> None:
    """Some of the fixed replies have one word, so it looks at several pairs."""
    open_talk(seat.store, seat.worker.id, Objective.HELPFUL, 12, "")
    seat.enter()
    page, most = seat.page, 0
    look = """['a', 'b'].map(side => {
      const text = document.querySelector(`#reply-${side} .text`)
      return (text?.innerText ?? '') + (text?.querySelector('table, pre, ol') ? '|' : '')
    })"""
    for turn in range(12):
        page.locator("#text").fill(f"Question {turn}")
        page.get_by_role("button", name="Send").click()
        page.wait_for_selector("#waiting, form.choose")
        texts = []
        while page.locator("#waiting").count():
            texts.append(page.evaluate(look))
            page.wait_for_timeout(30)
        during = [pair for pair in texts if pair != texts[-1]]  # the last looks may be at the complete replies
        for before, after in pairwise(during):
            assert all(letters(after[side]) >= letters(before[side]) for side in (0, 1))
        plain = [pair for pair in during if not MARKUP.search("".join(pair))]
        assert all(abs(words(a) - words(b)) <= 2 for a, b in plain), "one reply runs ahead"
        most = max(most, len({tuple(pair) for pair in during}))
        if most > 3:
            break
        page.wait_for_selector("form.choose")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
    assert most > 3, "nothing was seen growing"


def test_a_server_that_is_killed_and_started_again(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    with Served(tmp_path / "p", seconds=0.15) as served:
        store = Database.open(Programme.open(served.folder).store_url)
        try:
            seat = Seat(served, store, context)
            start_writing(seat)
            served.kill()
            served.start()
            seat.page.wait_for_selector("form.choose", timeout=40_000)
        finally:
            store.close()
    context.close()


@pytest.mark.slow
def test_pages_go_on_by_themselves_when_the_writer_is_killed(served: Served, store: Database, browser: Browser) -> None:
    """Nobody touches the two open pages: another writer takes over after the lease, and both go on."""
    contexts = [browser.new_context() for _ in range(2)]
    seats = [Seat(served, store, context) for context in contexts]
    for one in seats:
        one.enter()
        one.page.get_by_role("button", name="Start").click()
    for one in seats:
        one.say("How do I bake bread?")
    served.kill_generator()
    for one in seats:
        one.page.wait_for_selector("form.choose", timeout=40_000)
    for context in contexts:
        context.close()


def test_a_message_is_not_lost_with_the_network(seat: Seat) -> None:
    seat.enter()
    page = seat.page
    page.get_by_role("button", name="Start").click()
    page.locator("#text").fill("A long message that took a while")
    page.reload()
    expect(page.locator("#text")).to_have_value("A long message that took a while")


@pytest.mark.parametrize("width", [360, 320])
def test_nothing_scrolls_sideways_on_a_phone(seat: Seat, width: int) -> None:
    page = seat.page
    page.set_viewport_size({"width": width, "height": 700})

    def fits() -> None:
        page.wait_for_load_state()  # a page that is just being opened has no root to measure
        assert page.locator("html").evaluate("root => root.scrollWidth") <= width

    seat.enter()
    fits()
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#text")
    fits()
    page.locator("#text").fill("A" * 300 + " word")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("#waiting")
    fits()
    page.wait_for_selector("form.choose")
    fits()
    for radio in page.get_by_role("radio").all():
        box = radio.locator("xpath=following-sibling::label").bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= 24, "too small for a finger"


def contrast(page: Page, selector: str) -> float:
    """WCAG contrast of an element's text with what is behind it."""
    found: float = page.evaluate(
        """selector => {
          const parse = text => text.match(/[\\d.]+/g).map(Number);
          const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
            v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const element = document.querySelector(selector);
          let behind = element;
          while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
          const pair = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
            .map(color => light(parse(color))).sort((a, b) => b - a);
          return (pair[0] + 0.05) / (pair[1] + 0.05);
        }""",
        selector,
    )
    return found


@pytest.mark.parametrize("objective", list(Objective))
def test_light_and_dark_are_both_legible(seat: Seat, objective: Objective) -> None:
    page = seat.page
    open_talk(seat.store, seat.worker.id, objective, 2, "")
    page.emulate_media(reduced_motion="reduce")
    seat.enter()
    page.locator("#text").fill("Hello")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("form.choose")
    page.keyboard.press("8")
    backgrounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        for selector in (
            ".count",
            ".speaker",
            ".turn .text",
            ".letter",
            ".card .text",
            ".strength .quiet",
            ".leave .plain",
        ):
            assert contrast(page, selector) >= 4.5, (scheme, selector)
        for selector in ("#b1 + label", "#b8 + label", ".s8 .said", ".confirm .button"):
            assert contrast(page, selector) >= 4.5, (scheme, selector)
    assert backgrounds[0] != backgrounds[1]


def test_red_team_work_has_its_own_colour(seat: Seat, store: Database, served: Served) -> None:
    page = seat.page
    colours = []
    for objective in Objective:
        worker, token = add_worker(store, f"for {objective}", WorkerKind.PERSON)
        open_talk(store, worker.id, objective, 1, "")
        page.goto(f"{served.url}/w/{token}")
        seat.agree()
        colours.append(page.evaluate("getComputedStyle(document.querySelector('.button')).backgroundColor"))
        expect(page.get_by_role("button", name="Leave this conversation")).to_be_visible()
    assert colours[0] != colours[1]


def test_without_script_the_page_goes_on_by_itself(served: Served, store: Database, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    seat = Seat(served, store, context)
    seat.enter()
    page = seat.page
    page.get_by_role("button", name="Start").click()
    page.locator("#text").fill("How do I bake bread?")
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("form.choose", timeout=30_000)
    page.locator("label[for=b2]").click()
    page.get_by_role("button", name="Choose and go on").click()
    page.wait_for_selector("form.say")
    assert seat.choices() == 1
    context.close()


def test_going_back_shows_what_the_store_holds(seat: Seat) -> None:
    start_writing(seat)
    page = seat.page
    page.wait_for_selector("form.choose")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector("form.say")
    page.go_back()
    page.wait_for_selector("form.say")
    assert "Your answer" in page.inner_text("main")
