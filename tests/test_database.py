"""Opening a store, its transactions, and what becomes of the troubles that are the user's to solve."""

import errno
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text

from concordant.errors import StoreBusy, UserError
from concordant.store import database as database_module
from concordant.store.database import Database
from concordant.store.tables import Base, WorkerRow
from postgres_server import PostgresStore


def worker(name: str) -> WorkerRow:
    return WorkerRow(name=name, kind="person", token_hash=name)


def names(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(WorkerRow.name).order_by(WorkerRow.name)))


def test_a_write_is_kept_and_a_raise_undoes_it(database: Database) -> None:
    with database.write() as session:
        session.add(worker("kept"))
    with pytest.raises(RuntimeError), database.write() as session:
        session.add(worker("undone"))
        session.flush()
        raise RuntimeError
    assert names(database) == ["kept"]


def test_reading_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"read-?only"), database.read() as session:
        session.add(worker("stray"))
        session.flush()
    assert names(database) == []


def test_a_read_sees_one_state(database: Database) -> None:
    with database.read() as reading:
        assert reading.scalars(select(WorkerRow)).all() == []
        with database.write() as writing:
            writing.add(worker("late"))
        assert reading.scalars(select(WorkerRow)).all() == []
    assert names(database) == ["late"]


def test_opening_again_keeps_what_is_there(store_url: str) -> None:
    first = Database.open(store_url)
    with first.write() as session:
        session.add(worker("kept"))
    first.close()
    second = Database.open(store_url)
    assert names(second) == ["kept"]
    second.close()


def test_migrations_make_the_tables_that_the_code_uses(store_url: str) -> None:
    engine = create_engine(store_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        found = {
            table: {check["name"] for check in inspect(connection).get_check_constraints(table)}
            for table in Base.metadata.tables
        }
    engine.dispose()
    expected = {
        name: {str(item.name) for item in table.constraints if item.name and str(item.name).startswith("ck_")}
        for name, table in Base.metadata.tables.items()
    }
    assert found == expected


def test_a_store_of_a_newer_program_is_refused(database: Database, store_url: str) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(UserError, match=r"revision 9999, made by a newer concordant"):
        Database.open(store_url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("store.sqlite", "'store.sqlite' is not a URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("mysql://host/name", "mysql is not supported"),
        ("sqlite:////no/such/folder/store.sqlite", "/no/such/folder/store.sqlite cannot be opened"),
        ("postgresql://nobody@127.0.0.1:1/none", "nobody@127.0.0.1:1/none cannot be opened"),
    ],
)
def test_an_unusable_url_is_one_line(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Database.open(url)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(UserError) as caught:
        Database.open("postgresql://nobody:secret@127.0.0.1:1/none")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear store, " * 100)
    with pytest.raises(UserError, match="is it a store"):
        Database.open(f"sqlite:///{path}")
    assert path.read_text() == "Dear store, " * 100


def test_a_locked_store_says_so(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "_BUSY_MILLISECONDS", 50)
    path = tmp_path / "store.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="locked by another program"), database.write() as session:
        session.add(worker("waiting"))
        session.flush()
    assert names(database) == []  # readers are not held up
    other.close()
    database.close()


def test_a_full_disk_is_an_os_error_and_leaves_nothing(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    with pytest.raises(OSError, match="no space left") as caught, database.write() as session:
        session.execute(text("PRAGMA max_page_count = 1"))  # no page more than there are
        session.add(worker("x" * 1_000_000))
        session.flush()
    assert caught.value.errno == errno.ENOSPC
    assert names(database) == []
    database.close()


@pytest.mark.postgres
def test_a_server_that_went_away_is_a_connection_error_and_comes_back(postgres: PostgresStore) -> None:
    postgres.empty()
    database = Database.open(postgres.url)
    with pytest.raises(ConnectionError, match=r"the store postgresql\S+ was lost"), database.write() as session:
        session.add(worker("undone"))
        session.flush()
        mine = session.scalar(text("SELECT pg_backend_pid()"))
        with database.write() as other:
            other.execute(text("SELECT pg_terminate_backend(:mine)"), {"mine": mine})
        session.execute(text("SELECT 1"))
    assert names(database) == []
    database.close()


def test_two_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = "import sys; from concordant.store.database import Database; Database.open(sys.argv[1]).close()"
    url = f"sqlite:///{tmp_path / 'new.sqlite'}"
    started = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
