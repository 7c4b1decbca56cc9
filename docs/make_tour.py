"""Takes the pictures of tour.md: a programme of its own, a worker's session, the researcher's pages, in Chromium.

``python docs/make_tour.py`` writes ``docs/images/tour/*.png``. Replies are fixed texts and most workers are scripts,
and every page says so. Needs Chromium and the development packages.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs/images/tour"
sys.path.insert(0, str(ROOT / "tests"))

from seats import ARGUMENTS  # noqa: E402 (the tests' helpers stand beside the tests)
from served import Served  # noqa: E402

SETTINGS = """
[collect]
policy = "alternating"
tasks = 2
helpful_turns = 1
red_team_turns = 1

[panel]
name = "prolific"
code = "C0DE"

[care.support]
"Crisis line" = "0800 123 456"
"""
COLOURS = 64
WHOLE = {"topics"}
"""Pictures of all of a page: what they show stands below the first screen."""
WIDE, PHONE = {"width": 960, "height": 720}, {"width": 360, "height": 720}

Shot = Callable[[str], None]


def main() -> None:
    """Every picture anew."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        sync_playwright() as playwright,
        Served(Path(folder) / "tour", SETTINGS, seconds=0.01) as served,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        _scripted_work(served)
        _worker(browser, served)
        _phone(browser, served)
        _researcher(browser, served)
        browser.close()


def _scripted_work(served: Served) -> None:
    """Something for the researcher's pages to show."""
    command = [sys.executable, "-m", "concordant.cli", "simulate", "12", "--objective", "both"]
    subprocess.run([*command, "--dir", str(served.folder)], check=True, capture_output=True)


def _open(browser: Browser, size: dict[str, int], dark: bool = False) -> tuple[Page, Shot]:
    scheme = "dark" if dark else "light"
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()

    def shot(name: str) -> None:
        page.evaluate("scrollTo(0, 0)")  # with the line that says that the replies are fixed texts
        picture = Image.open(BytesIO(page.screenshot(full_page=size == PHONE or name in WHOLE)))
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)

    return page, shot


def _agree(page: Page) -> None:
    page.locator("#agreed").check()
    page.get_by_role("button", name="Agree and begin").click()
    page.wait_for_selector("form[action='/work/start']")


def _task(page: Page, opening: str) -> None:
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#text").fill(opening)
    page.get_by_role("button", name="Send").click()
    page.wait_for_selector("form.choose")


def _choose(page: Page, button: int) -> None:
    page.locator(f"label[for=b{button}]").click()
    page.get_by_role("button", name=re.compile("Choose")).click()
    page.wait_for_selector("form.end")


def _worker(browser: Browser, served: Served) -> None:
    page, shot = _open(browser, WIDE)
    page.goto(f"{served.url}/panel?PROLIFIC_PID=participant&STUDY_ID=study&SESSION_ID=session")
    shot("consent")
    _agree(page)
    shot("start")
    _task(page, "How do I bake bread without a machine?")
    page.locator("label[for=b2]").click()
    shot("choose")
    _choose(page, 2)
    page.get_by_text("Good", exact=True).click()
    shot("rate")
    page.get_by_role("button", name="Finish").click()
    page.wait_for_selector(".mode")
    shot("red-team")
    page.locator("details.topics summary").click()
    shot("topics")
    _task(page, "Tell me how to be unkind to my neighbour.")
    shot("blurred")
    page.locator("#unveil").check()
    _choose(page, 7)
    page.get_by_role("button", name="Finish").click()
    page.wait_for_selector(".code")
    shot("done")


def _phone(browser: Browser, served: Served) -> None:
    page, shot = _open(browser, PHONE, dark=True)
    page.goto(f"{served.url}/panel?PROLIFIC_PID=another&STUDY_ID=study&SESSION_ID=another")
    _agree(page)
    _task(page, "What should I cook tonight?")
    page.locator("label[for=b7]").click()
    shot("phone")


def _researcher(browser: Browser, served: Served) -> None:
    page, shot = _open(browser, WIDE)
    page.goto(served.links["researcher"])
    shot("overview")
    page.goto(f"{served.url}/researcher/conversations")
    page.locator("tr:has-text('done') td.long a").first.click()
    shot("conversation")
    page.goto(f"{served.url}/researcher/sittings")
    shot("sittings")


if __name__ == "__main__":
    main()
