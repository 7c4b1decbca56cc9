"""What tests of several rooms share: fresh stores on both databases, tiny models, real data, a browser.

A test that needs what this machine lacks is skipped with the reason (``require_all.py`` makes that a failure in CI).
The package is imported inside the fixtures, after the annotations of its modules have been put under check.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chromium import browser as browser
from chromium import chromium as chromium
from postgres_server import PostgresStore as PostgresStore
from postgres_server import fresh_store, postgres_programs

if TYPE_CHECKING:
    from concordant.store.database import Database
    from toy_model import ToyModels

_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresStore]:
    """A store on the server of CONCORDANT_TEST_POSTGRES, or on a private one in a temporary folder."""
    if postgres_programs() is None and not os.environ.get("CONCORDANT_TEST_POSTGRES"):
        pytest.skip("there is no PostgreSQL (no initdb, and CONCORDANT_TEST_POSTGRES is not set)")
    with fresh_store() as store:
        yield store


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite store to copy."""
    from concordant.store.database import Database

    path = tmp_path_factory.mktemp("template") / "store.sqlite"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty store, once on each database."""
    if request.param == "sqlite":
        path = tmp_path / "store.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    store: PostgresStore = request.getfixturevalue("postgres")
    store.empty()
    yield store.url


@pytest.fixture
def database(store_url: str) -> Iterator["Database"]:
    """An empty store, once on each database."""
    from concordant.store.database import Database

    database = Database.open(store_url)
    yield database
    database.close()


@pytest.fixture
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords are hashed with parameters that take no time and give no protection."""
    from pwdlib import PasswordHash
    from pwdlib.hashers.argon2 import Argon2Hasher

    from concordant.store import passwords

    monkeypatch.setattr(passwords, "_hasher", PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),)))
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> "ToyModels":
    """Folders of tiny models with random weights."""
    from toy_model import make_toy_models

    return make_toy_models(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real, public data (CONCORDANT_DATA, else ../shared/data)."""
    folder = Path(os.environ.get("CONCORDANT_DATA") or _ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"there is no real data in {folder}; set CONCORDANT_DATA")
    return folder
