"""Hostile text in real Chromium: names, messages, replies, comments and panel ids on every page that shows them.

Nothing runs, nothing is fetched, nothing turns the words of the page round, and nothing scrolls sideways.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page

from concordant.collect.room import STAFF_COOKIE
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.sittings import Offer, begin_task, open_sitting
from hostile import ALL_IN_ONE, BIDI, EVERY, LONG, SCRIPT, WIDE
from in_process import serving, writing
from visitors import deploy_two, fresh_store, room_with, signed_in_staff

pytestmark = pytest.mark.browser

MESSAGE = "\n\n".join(text for text in EVERY if text != WIDE)[:3900]


class Watched:
    """A page, and everything on it that should not be."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("dialog", self._dismiss)
        self.page.on(
            "request",
            lambda request: None if request.url.startswith(url) else self.wrong.append(f"request: {request.url}"),
        )

    def _dismiss(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def check(self, refused: bool = False) -> None:
        """The page as it stands now: pointed at, focused, and read; of one that was refused the browser says so."""
        page = self.page
        page.wait_for_load_state("load")
        page.wait_for_timeout(60)  # what would run, would have begun
        for box in page.locator(".text, td, dd, p").all()[:20]:
            box.dispatch_event("mouseover")
        assert page.evaluate("window.canary") is None, page.url
        if refused:
            self.wrong = [said for said in self.wrong if "status of 422" not in said]
        assert self.wrong == [], page.url
        assert page.evaluate(_ALIEN) == [], page.url
        assert page.evaluate(_TURNED) == [], f"{page.url}: bidi controls reach beyond their own text"


_ALIEN = """() => [...document.querySelectorAll('*')].filter(one =>
  ['IFRAME', 'OBJECT', 'EMBED', 'IMG', 'BASE', 'VIDEO', 'AUDIO', 'STYLE'].includes(one.tagName)
  || (one.tagName === 'SCRIPT' && !one.src.startsWith(location.origin + '/static/'))
  || (one.tagName === 'LINK' && !one.href.startsWith(location.origin + '/static/'))
  || (one.tagName === 'A' && !/^(https?:|mailto:|tel:)/.test(one.href))
  || [...one.attributes].some(name => name.name.startsWith('on') || name.name === 'style')
).map(one => one.outerHTML.slice(0, 200))"""

_TURNED = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!/[\\u202a-\\u202e\\u2066-\\u2069]/.test(node.data)) continue;
    // A box of its own, or an isolated run of text, keeps what is in it to itself.
    let box = node.parentElement;
    const own = one => /isolate|plaintext/.test(getComputedStyle(one).unicodeBidi)
      || one.innerText.trim() === node.data.trim() || one.tagName === 'TEXTAREA'
      || [...one.childNodes].every(child => child === node || !child.textContent.trim());
    while (box && !own(box)) {
      const display = getComputedStyle(box).display;
      if (display !== 'inline') { found.push(box.outerHTML.slice(0, 200)); break; }
      box = box.parentElement;
    }
  }
  return found;
}"""


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def test_nothing_runs_and_nothing_leaves_its_place(store: Database, browser: Browser) -> None:
    room = room_with(store, helpful_turns=1, red_team_turns=1, panel={"name": "prolific"})
    answers = iter([ALL_IN_ONE, f"{LONG}{SCRIPT}"] * 8)
    with serving(room) as url, writing(store, lambda job: next(answers)):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        seat = Watched(context, url)
        for objective in Objective:
            _session(seat, store, url, objective)
        staff = Watched(browser.new_context(), url)
        _desk(staff, store, url)
        staff.page.context.close()
        context.close()


def _session(seat: Watched, store: Database, url: str, objective: Objective) -> None:
    worker, token = add_worker(store, f"{objective} {BIDI} {MESSAGE[:1500]}", WorkerKind.SCRIPTED)
    sitting = open_sitting(store, worker.id, Offer(1))
    page = seat.page
    page.goto(f"{url}/w/{token}")
    if page.locator("#agreed").count():
        page.locator("#agreed").check()
        page.get_by_role("button", name="Agree and begin").click()
    begin_task(store, sitting.id, lambda *_: (objective, 1))
    page.goto(f"{url}/work")
    page.locator("#text").fill(MESSAGE)
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("form.choose")
    if objective is Objective.HARMLESS:
        page.locator("#unveil").check()
    seat.check()
    _narrow(page)
    page.locator("label[for=b1]").click()
    page.get_by_role("button", name=re.compile("Choose and")).click()
    page.wait_for_selector("form.end")
    seat.check()
    page.locator("#comment").fill(MESSAGE[:1900])
    page.get_by_role("button", name="Finish").click()
    page.wait_for_selector("text=On record for your pay")
    seat.check()
    _narrow(page)


def _narrow(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.locator("html").evaluate("root => root.scrollWidth") <= 320, page.url
    page.set_viewport_size({"width": 1280, "height": 900})


def _desk(staff: Watched, store: Database, url: str) -> None:
    page = staff.page
    for text in EVERY:
        id_, study = quote(f"x{text[:190]}"), quote(text)
        answer = page.goto(f"{url}/panel?PROLIFIC_PID={id_}&STUDY_ID={study}&SESSION_ID={id_}")
        assert answer is not None and answer.status in (200, 422)
        staff.check(refused=answer.status == 422)
    page.context.add_cookies([{"name": STAFF_COOKIE, "value": signed_in_staff(store)[1], "url": url}])
    page.goto(f"{url}/researcher")
    staff.check()
    pages = {
        *(link.get_attribute("href") for link in page.locator(".rail a").all()),
        "/researcher/conversations",
        "/researcher/sittings",
    }
    for address in sorted(one for one in pages if one):
        page.goto(url + address)
        staff.check()
    page.goto(f"{url}/researcher/conversations")
    talks = [link.get_attribute("href") or "" for link in page.locator("td.long a").all()]
    assert len(talks) >= 2
    for address in talks:
        page.goto(url + address)
        staff.check()


def test_the_watch_sees_a_script_that_the_policy_stops(store: Database, browser: Browser) -> None:
    """The check itself: a script put into a page does not run, and is told of."""
    with serving(room_with(store)) as url:
        context = browser.new_context()
        seat = Watched(context, url)
        seat.page.goto(url)
        seat.check()
        seat.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.canary=1\">')")
        seat.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'canary = 1'}))"
        )
        seat.page.wait_for_timeout(200)
        assert seat.page.evaluate("window.canary") is None
        assert any("Content Security Policy" in one for one in seat.wrong)
        assert len(seat.page.evaluate(_ALIEN)) >= 2
        seat.page.evaluate("document.body.append('left \\u202e and right', document.createElement('b'), 'words')")
        assert seat.page.evaluate(_TURNED) != []
        context.close()
