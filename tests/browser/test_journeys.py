"""A worker's journeys in Chromium from their first page to their last, with axe at every step."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people import Worker, WorkerKind, add_worker
from concordant.store.reply_queue import claim, fail
from concordant.store.sittings import Outcome, last_sitting
from concordant.store.tables import TalkRow
from concordant.store.talk_views import current_talk
from in_process import serving, writing
from seats import findings
from visitors import deploy_two, fresh_store, room_with, write_all

pytestmark = pytest.mark.browser

SERIOUS = ("serious", "critical")


@dataclass
class Person:
    """A worker in front of a page; replies are written by the test or by a thread of its own."""

    store: Database
    url: str
    context: BrowserContext
    worker: Worker
    page: Page

    @classmethod
    def arrive(cls, store: Database, url: str, context: BrowserContext) -> "Person":
        worker, token = add_worker(store, "someone", WorkerKind.PERSON)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.goto(f"{url}/w/{token}")
        return cls(store, url, context, worker, page)

    def agree(self) -> None:
        self.page.locator("#agreed").check()
        self.page.get_by_role("button", name="Agree and begin").click()
        self.page.wait_for_selector("form[action='/work/start']")

    def start(self) -> None:
        self.page.get_by_role("button", name="Start", exact=True).click()
        self.page.wait_for_selector("#text")

    def say(self, text: str) -> None:
        self.page.locator("#text").fill(text)
        self.page.get_by_role("button", name="Send").click()

    def choose(self, button: int) -> None:
        self.page.wait_for_selector("form.choose")
        if self.page.locator("#unveil").count():
            self.page.locator("#unveil").check()
        self.page.locator(f"label[for=b{button}]").click()
        self.page.get_by_role("button", name=re.compile("Choose")).click()
        self.page.wait_for_selector("form.say, form.end")

    def fine(self) -> None:
        """Nothing serious for axe, in light and in dark."""
        self.page.emulate_media(reduced_motion="reduce")
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            assert [one for one in findings(self.page) if one.startswith(SERIOUS)] == [], scheme

    def choices(self) -> int:
        talk = current_talk(self.store, self.worker.id)
        return -1 if talk is None else sum(turn.speaker == "assistant" for turn in talk.conversation.turns)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


def rooms(store: Database) -> Room:
    return room_with(store, policy="alternating", tasks=2, helpful_turns=4, red_team_turns=2)


def test_from_consent_through_four_turns_and_red_team_work_to_the_end(store: Database, context: BrowserContext) -> None:
    with serving(rooms(store)) as url, writing(store, lambda job: f"A reply with the number {job.seed}."):
        person = Person.arrive(store, url, context)
        page = person.page
        person.fine()
        person.agree()
        person.start()
        for turn in range(1, 5):
            expect(page.locator(".count")).to_contain_text(f"choice {turn} of 4")
            person.say(f"Question {turn}")
            person.choose(turn)
            assert person.choices() == turn
        person.fine()
        page.get_by_text("Very good").click()
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_text("This is red-team work")).to_be_visible()
        person.start()
        for turn in (1, 2):
            person.say(f"Unkind question {turn}")
            page.wait_for_selector("form.choose")
            for text in page.locator(".assistant .text, .card .text").all():
                assert text.evaluate("text => getComputedStyle(text).filter.includes('blur') && text.inert"), turn
            person.fine()
            person.choose(8)
        for name in ("rating5", "harm4", "actionability2"):
            page.locator(f"label[for={name}]").click()
        page.get_by_role("button", name="Finish").click()
        expect(page.get_by_role("heading", name="All tasks are done")).to_be_visible()
        person.fine()
        sitting = last_sitting(store, person.worker.id)
    assert sitting is not None and (sitting.outcome, sitting.done, sitting.choices) == (Outcome.COMPLETED, 2, 6)
    with store.read() as session:
        (row,) = (row for row in session.query(TalkRow) if row.objective == Objective.HARMLESS)
        assert (row.rating, row.harm, row.actionability) == (5, 4, 2)


def test_by_keys_nobody_chooses_between_replies_that_they_have_not_seen(
    store: Database, context: BrowserContext
) -> None:
    room = room_with(store, policy="red-team", red_team_turns=1, tasks=1)
    with serving(room) as url, writing(store, lambda job: "A harmful reply."):
        person = Person.arrive(store, url, context)
        page, press = person.page, person.page.keyboard.press
        person.agree()
        person.start()
        page.locator("#text").focus()
        page.keyboard.type("Something unkind")
        press("Control+Enter")
        page.wait_for_selector("form.choose")
        press("8")
        assert page.get_by_role("radio", checked=True).count() == 0, "a digit chooses nothing yet"
        expect(page.locator("#unveil")).to_be_focused()
        press("Enter")
        assert person.choices() == 0 and page.locator("form.choose").count() == 1
        press("Space")  # on the box that was focused
        assert page.locator("#reply-a .text").evaluate("text => !text.inert")
        press("8")
        press("Enter")
        page.wait_for_selector("form.end")
        assert person.choices() == 1
        past = page.locator(".assistant .text")
        assert past.evaluate("text => getComputedStyle(text).filter.includes('blur') && text.inert")
        page.get_by_label("Show this reply").check()
        assert past.evaluate("text => !getComputedStyle(text).filter.includes('blur') && !text.inert")
        page.reload()
        assert past.evaluate("text => !text.inert"), "what was asked for once is not hidden again"
        person.fine()


def test_a_failed_reply_is_written_again_and_the_page_goes_on_by_itself(
    store: Database, context: BrowserContext
) -> None:
    with serving(rooms(store)) as url:
        person = Person.arrive(store, url, context)
        person.agree()
        person.start()
        person.say("How do I bake bread?")
        person.page.wait_for_selector("#waiting")
        for job in claim(store, "writer", 2, 60.0):
            fail(store, "writer", job.reply_id, "it broke")
        expect(person.page.get_by_text("could not be written")).to_be_visible()
        expect(person.page.get_by_text("How do I bake bread?")).to_be_visible()
        assert person.page.get_by_role("radio").count() == 0, "what failed cannot be chosen"
        person.fine()
        person.page.get_by_role("button", name="Try again").click()
        person.page.wait_for_selector("#waiting")
        write_all(store, "one", "two")
        person.choose(2)
        assert person.choices() == 1


def test_a_choice_is_changed_and_the_conversation_goes_on_from_the_other_reply(
    store: Database, context: BrowserContext
) -> None:
    with serving(rooms(store)) as url:
        person = Person.arrive(store, url, context)
        page = person.page
        person.agree()
        person.start()
        person.say("Hello")
        write_all(store, "one", "two")
        page.wait_for_selector("form.choose")
        a, b = (page.locator(f"#reply-{side} .text").inner_text() for side in "ab")
        person.choose(1)
        expect(page.locator(".assistant .text")).to_have_text(a)
        page.get_by_role("link", name="Change this choice").click()
        page.wait_for_selector("form.choose")
        assert page.get_by_role("radio", checked=True).count() == 0
        person.fine()
        person.choose(8)
        expect(page.locator(".assistant .text")).to_have_text(b)
        expect(page.get_by_text("You said: B is much better.")).to_be_visible()


def test_two_tabs_and_what_was_typed_in_the_slower_one(store: Database, context: BrowserContext) -> None:
    with serving(rooms(store)) as url:
        person = Person.arrive(store, url, context)
        person.agree()
        person.start()
        second = context.new_page()
        second.goto(f"{url}/work")
        second.locator("#text").fill("Typed in the second tab")
        person.say("Sent from the first tab")
        person.page.wait_for_selector("#waiting")
        second.get_by_role("button", name="Send").click()
        expect(second.locator("#kept")).to_have_value("Typed in the second tab")
        expect(second.get_by_role("alert")).to_be_visible()
        person.page, first = second, person.page
        person.fine()
        write_all(store, "one", "two")
        second.wait_for_selector("form.choose")
        first.wait_for_selector("form.choose")
        expect(second.locator("#kept")).to_have_value("Typed in the second tab")
        person.choose(3)
        first.locator("label[for=b8]").click()
        first.get_by_role("button", name=re.compile("Choose")).click()
        expect(first.get_by_text("your first choice is kept")).to_be_visible()
        assert person.choices() == 1


def test_the_row_of_eight_for_a_screen_reader(store: Database, context: BrowserContext) -> None:
    """One group of eight with names and a question, no value yet, and one polite voice."""
    with serving(rooms(store)) as url:
        person = Person.arrive(store, url, context)
        page = person.page
        person.agree()
        person.start()
        person.say("Hello")
        page.wait_for_selector("#waiting")
        assert page.locator("#announce").get_attribute("role") == "status"
        write_all(store, "one", "two")
        page.wait_for_selector("form.choose")
        group = page.get_by_role("radiogroup", name="Which reply is more helpful and honest?")
        names = [
            "A is much better", "A is better", "A is a bit better", "A is slightly better, or I am not sure",
            "B is slightly better, or I am not sure", "B is a bit better", "B is better", "B is much better",
        ]  # fmt: skip
        for name in names:
            expect(group.get_by_role("radio", name=name, exact=True)).to_have_count(1)
        expect(group).to_have_accessible_description(re.compile("take one of the two in the middle"))
        expect(page.locator("#announce")).to_have_text("Both replies are written. Read them, then choose below.")
        assert page.get_by_role("article", name="Reply A").count() == 1
        assert page.locator("[aria-live=assertive]").count() == 0
        assert page.get_by_role("radio", checked=True).count() == 0


def test_right_to_left_text_on_a_narrow_page(store: Database, browser: Browser) -> None:
    narrow = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme="dark")
    with serving(rooms(store)) as url, writing(store, lambda job: "כך אופים לחם:\n\n1. מים\n2. קמח\n\n`code` ועוד."):
        person = Person.arrive(store, url, narrow)
        page = person.page
        person.agree()
        person.start()
        person.say("כיצד אופים לחם?")
        page.wait_for_selector("form.choose")
        for selector in (".turn.human .text", "#reply-a .text", "#reply-b .text"):
            assert page.locator(selector).evaluate("text => getComputedStyle(text).direction") == "rtl", selector
        assert page.locator("html").evaluate("root => root.scrollWidth") <= 320
        person.fine()
        person.choose(8)
        person.fine()
    narrow.close()
