"""A person in front of a page in a real browser, and what axe finds there; for the tests in ``tests/browser``."""

import gzip
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.talk_views import current_talk
from served import Served

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_AXE = Path(__file__).parent / "browser/vendor/axe-core-4.10.3.min.js.gz"


@cache
def _axe() -> str:
    return gzip.decompress(_AXE.read_bytes()).decode()


def findings(page: Page) -> list[str]:
    """What axe finds on the page as it is, of any weight: rule and element."""
    page.evaluate(_axe())
    found: dict[str, Any] = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['impact']} {rule['id']}: {node['html'][:120]}" for rule in found["violations"] for node in rule["nodes"]
    ]


class Seat:
    """A worker in front of a page, which complains about every error in the console."""

    def __init__(self, served: Served, store: Database, context: BrowserContext) -> None:
        self.store = store
        self.worker, token = add_worker(store, "someone", WorkerKind.PERSON)
        self.link = f"{served.url}/w/{token}"
        self.page: Page = context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def enter(self) -> None:
        """Opens the link and agrees; reloads until the generator has put its model in place."""
        self.page.goto(self.link)
        self.agree()
        while self.page.get_by_text("Look again").count():
            self.page.wait_for_timeout(200)
            self.page.reload()

    def agree(self) -> None:
        """Agrees, where the page asks for it."""
        if self.page.locator("#agreed").count():
            self.page.locator("#agreed").check()
            self.page.get_by_role("button", name="Agree and begin").click()
            self.page.wait_for_selector("main:not(:has(#agreed))")

    def say(self, text: str) -> None:
        self.page.locator("#text").fill(text)
        self.page.get_by_role("button", name="Send").click()

    def choose(self, key: str) -> None:
        """Waits for both replies, chooses with a key and confirms."""
        self.page.wait_for_selector("form.choose")
        if self.page.locator("form.choose #unveil").count():
            self.page.locator("#unveil").check()
            self.page.locator("#unveil").blur()
        self.page.keyboard.press(key)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("form.say, form.end")

    def choices(self) -> int:
        talk = current_talk(self.store, self.worker.id)
        return -1 if talk is None else sum(turn.speaker == "assistant" for turn in talk.conversation.turns)
