"""What tests of several rooms share: fresh stores on both databases, tiny models, real data, a browser.

A test that needs what this machine lacks is skipped with the reason (``require_all.py`` makes that a failure in CI).
The package is imported inside the fixtures, after the annotations of its modules have been put under check.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from concordant.store.database import Database
    from toy_model import ToyModels

_ROOT = Path(__file__).resolve().parent.parent


class PostgresStore:
    """A database of its own on a PostgreSQL server, emptied for each test; the server's user must be its superuser."""

    def __init__(self, server: str) -> None:
        from sqlalchemy import create_engine, make_url, text
        from sqlalchemy.pool import NullPool

        from concordant.store.database import Database
        from concordant.store.tables import Base

        self._name = f"concordant_test_{os.getpid()}"
        url = make_url(server).set(drivername="postgresql+psycopg")
        self.url = url.set(database=self._name).render_as_string(hide_password=False)
        self._server = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._store = create_engine(self.url)

        with self._server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {self._name} ENCODING 'UTF8' TEMPLATE template0"))
        Database.open(self.url).close()
        with self._store.connect() as connection:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        tables = [table.name for table in reversed(Base.metadata.sorted_tables)]
        statements = (
            "SET LOCAL lock_timeout = '10s'",  # a test that left its store open fails the next one
            "SET LOCAL session_replication_role = replica",  # no triggers: here alone choices may be deleted
            *(f"DELETE FROM {table}" for table in tables),
            f"UPDATE alembic_version SET version_num = '{revision}'",
        )
        self._emptying = "; ".join(statements)

    def empty(self) -> None:
        """Delete all rows. A copy of a template for each test would take twenty times as long."""
        with self._store.begin() as connection:
            connection.exec_driver_sql(self._emptying)

    def drop(self) -> None:
        self._store.dispose()
        with self._server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {self._name} WITH (FORCE)")


def _postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresStore]:
    """A store on the server of CONCORDANT_TEST_POSTGRES, or on a private one in a temporary folder."""
    url = os.environ.get("CONCORDANT_TEST_POSTGRES")
    if url:
        store = PostgresStore(url)
        yield store
        store.drop()
        return
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("there is no PostgreSQL (no initdb, and CONCORDANT_TEST_POSTGRES is not set)")
    folder = Path(tempfile.mkdtemp(prefix="concordant-pg-"))
    # PostgreSQL refuses to run as root.
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if become:
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*become, str(programs / program), "-D", str(folder / "data"), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    try:
        run("initdb", "-U", "concordant", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        # Only a socket in this folder, and no waiting for the disk: the cluster lives as long as the tests.
        settings = f"-k {folder} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=200"
        run("pg_ctl", "-w", "-o", settings, "-l", str(folder / "log"), "start")
        try:
            store = PostgresStore(f"postgresql://concordant@/postgres?host={folder}")
            yield store
            store.drop()
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


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
