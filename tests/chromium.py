"""What tests in a real browser share: Chromium, the store behind the served pages, and a worker in front of them.

The package is imported inside the fixtures, after the annotations of its modules have been put under check. A module
of tests brings its own fixture ``served`` and imports ``store`` and ``seat`` from here.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from concordant.store.database import Database
    from seats import Seat
    from served import Served


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator["Browser"]:
    """Chromium, started."""
    from playwright.sync_api import sync_playwright

    from seats import ARGUMENTS

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Chromium's program."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium on the path")
    return Path(path)


@pytest.fixture(scope="module")
def store(served: "Served") -> Iterator["Database"]:
    """The store of the served programme."""
    from concordant.programme import Programme
    from concordant.store.database import Database

    database = Database.open(Programme.open(served.folder).store_url)
    yield database
    database.close()


@pytest.fixture
def seat(served: "Served", store: "Database", browser: "Browser") -> Iterator["Seat"]:
    """A worker in front of a wide window; an error in the console fails the test."""
    from seats import Seat

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Seat(served, store, context)
    yield found
    context.close()
    assert found.errors == []
