"""A PostgreSQL server of one's own in a temporary folder, and a store on it; for tests and for ``benchmarks/``.

The package is imported where it is used, so that tests can put its annotations under check first.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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

    @contextmanager
    def another(self) -> Iterator[str]:
        """URL of a second, empty database without tables, dropped afterwards."""
        from sqlalchemy import make_url

        name = f"{self._name}_other"
        with self._server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
        try:
            yield make_url(self.url).set(database=name).render_as_string(hide_password=False)
        finally:
            with self._server.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")

    def drop(self) -> None:
        self._store.dispose()
        with self._server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {self._name} WITH (FORCE)")


def postgres_programs() -> Path | None:
    """The folder of initdb and pg_ctl."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return installed[-1].parent if installed else None


@contextmanager
def private_server(programs: Path) -> Iterator[str]:
    """URL of a server that listens on a socket in a temporary folder and forgets everything in the end."""
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
        # Only a socket in this folder, and no waiting for the disk: the cluster lives as long as its user.
        settings = f"-k {folder} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=200"
        run("pg_ctl", "-w", "-o", settings, "-l", str(folder / "log"), "start")
        try:
            yield f"postgresql://concordant@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@contextmanager
def fresh_store() -> Iterator[PostgresStore]:
    """A store on a server of one's own, or on that of CONCORDANT_TEST_POSTGRES."""
    url = os.environ.get("CONCORDANT_TEST_POSTGRES")
    if url:
        store = PostgresStore(url)
        yield store
        store.drop()
        return
    programs = postgres_programs()
    assert programs is not None, "there is no PostgreSQL (no initdb, and CONCORDANT_TEST_POSTGRES is not set)"
    with private_server(programs) as server:
        store = PostgresStore(server)
        yield store
        store.drop()
