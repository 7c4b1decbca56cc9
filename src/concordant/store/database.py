"""A store by URL: SQLite in a file, or PostgreSQL. Opening it brings its tables to the newest form.

Every read and every write is one transaction. On SQLite a write takes the only write lock at its beginning, so two
writers never meet half-way; on PostgreSQL the callers lock the rows that they decide upon. Nothing is retried here.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from concordant.errors import StoreBusy, UserError
from concordant.store import (  # noqa: F401 (tables refer to each other: a store needs all)
    audit_table,
    day_tables,
    deployment_tables,
    people_tables,
    quality_tables,
    staff_tables,
)

_BUSY_MILLISECONDS = 10_000
_POSTGRES_DISK_FULL = "53100"
_MIGRATION_LOCK = 7_320_451_902
"""Any number: the key of the PostgreSQL advisory lock under which tables are migrated."""

_WRITE_ALONE_LOCK = _MIGRATION_LOCK + 1


class Database:
    """An open store. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        sqlite = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(concordant_read=True) if sqlite else _read_only(engine)
        # SQLite's own wait for its write lock polls, up to a tenth of a second apart; threads of a process queue here.
        self._writing = Lock() if sqlite else None

    @classmethod
    def open(cls, url: str) -> "Database":
        """Open the store, making it, or its newer tables, where they are missing.

        Raises:
            UserError: the URL cannot be used: wrong form, no server, no folder, no driver, not a store.
        """
        parsed = _parse(url)
        engine = _sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgres_engine(parsed)
        database = cls(engine)
        try:
            database._migrate()
        except BaseException as error:
            engine.dispose()
            if isinstance(error, DatabaseError):
                raise UserError(_why_unusable(parsed, error)) from error
            raise
        return database

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self._engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed at the end of the block, or rolled back if the block raises.

        Raises:
            StoreBusy: another program has held the store's write lock for ten seconds.
            OSError: the disk is full (ENOSPC).
            ConnectionError: the database server went away.
        """
        with (
            self._translated(),
            self._turn(),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def write_alone(self) -> Iterator[Session]:
        """``write``, one at a time over all processes: for what reads before it decides to add a row.

        On SQLite every write is alone.
        """
        with self.write() as session:
            if self.dialect == "postgresql":
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITE_ALONE_LOCK})
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that sees one state of the store; the database refuses to write in it."""
        with self._translated(), Session(self._reader, autoflush=False) as session:
            yield session

    def forget_freed(self) -> bool:
        """Take what was overwritten out of the store's files too; False: others held them open, so not yet.

        SQLite writes its file anew and empties its log, for which nobody else may be in the middle of something. On
        PostgreSQL freed rows are given back; when their bytes are written over, and what its log and backups hold, is
        the server's.
        """
        try:
            return self._vacuum()
        except StoreBusy:
            return False

    def _vacuum(self) -> bool:
        with self._translated(), self._turn(), self._engine.connect() as pooled:
            connection: Any = pooled.connection.driver_connection  # below the transactions of this class
            if self.dialect == "postgresql":
                connection.autocommit = True
                try:
                    connection.execute("VACUUM")
                finally:
                    connection.autocommit = False
                return True
            try:
                connection.execute("PRAGMA query_only = 0")
                connection.execute("VACUUM")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    return False
                raise
            return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)

    def close(self) -> None:
        """Close the connections. What was committed is on disk already."""
        self._engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """This thread's turn to write, where only one can; waited for as long as for other programs."""
        if self._writing is None:
            yield
            return
        if not self._writing.acquire(timeout=_BUSY_MILLISECONDS / 1000):
            raise self._busy()
        try:
            yield
        finally:
            self._writing.release()

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"the store {self._engine.url.database} has been locked by another program for "
            f"{_BUSY_MILLISECONDS // 1000} s; close that program and try again"
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The troubles that are the user's to solve (disk, lock, connection), said in the user's words."""
        try:
            yield
        except OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_FULL:
                raise OSError(errno.ENOSPC, "no space left", self._engine.url.database) from error
            if code is not None and code & 0xFF == sqlite3.SQLITE_BUSY:
                raise self._busy() from error
            state = getattr(error.orig, "sqlstate", None)
            if state == _POSTGRES_DISK_FULL:
                raise OSError(errno.ENOSPC, "no space left", "of the PostgreSQL server") from error
            if error.connection_invalidated or (code is None and state is None):
                address = self._engine.url.render_as_string(hide_password=True)
                raise ConnectionError(f"the connection to the store {address} was lost") from error
            raise

    def _migrate(self) -> None:
        with self._engine.connect() as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            upgrade(connection)


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest revision, inside the connection's transaction.

    Raises:
        UserError: the store was made by a newer version of the program.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise UserError(f"the store's tables have revision {current}, made by a newer concordant; upgrade the program")
    command.upgrade(config, "head")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except ArgumentError:
        raise UserError(f"store URL {url!r} is not a URL; write sqlite:///store.sqlite or postgresql://…") from None
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UserError(f"store URL {url!r} names no file, so nothing would be kept; write sqlite:///store.sqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UserError(f"store URL {url!r}: {backend} is not supported; use sqlite:///… or postgresql://…")
    return parsed


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_MILLISECONDS / 1000}, pool_size=10, max_overflow=40)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # The driver's own transaction control begins too late (at the first write); ours is in _on_begin.
        connection.isolation_level = None
        cursor = connection.cursor()
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")  # a choice that was confirmed survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA recursive_triggers = ON")  # else REPLACE deletes rows behind the triggers' back
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("concordant_read", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {int(reading)}")
        connection.exec_driver_sql("BEGIN DEFERRED" if reading else "BEGIN IMMEDIATE")

    return engine


def _postgres_engine(url: URL) -> Engine:
    try:
        return create_engine(url, pool_size=10, max_overflow=40, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError):
        raise UserError(
            "a PostgreSQL store needs the psycopg driver; install it with pip install 'concordant[postgres]'"
        ) from None


def _read_only(engine: Engine) -> Engine:
    return engine.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")


def _why_unusable(url: URL, error: DBAPIError) -> str:
    reason = " ".join(str(error.orig).split())
    if url.get_backend_name() == "sqlite":
        return f"the store {url.database} cannot be opened ({reason}); is it a store, in a folder that can be written?"
    return f"the store {url.render_as_string(hide_password=True)} cannot be opened ({reason}); check server and URL"
