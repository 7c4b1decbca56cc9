"""How the pages are served: the socket, the links that are printed, and where others find the address.

``serve.json`` in the programme's folder says where the pages are while they are. Left out: several web processes, and
TLS; a proxy in front does these.
"""

import json
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import httpx
import uvicorn

from concordant.collect.app import HEALTHY, create_app
from concordant.collect.room import Room, built_in_consent
from concordant.errors import UserError
from concordant.runs import write_whole
from concordant.store.consents import ConsentText
from concordant.store.database import Database
from concordant.store.journal import process_exists
from concordant.store.people import WorkerKind, add_staff_token, add_worker, is_staff_token, worker_by_token

CLOSING_SECONDS = 5
"""How long open requests may take when the process ends."""


@dataclass(frozen=True, slots=True)
class Links:
    """The two addresses that are printed: a worker's and the researcher's. Who has one needs no password."""

    worker: str
    researcher: str


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or the address is not this machine's.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"port {port} does not exist; choose one from 1 to 65535 with --port, or 0 for a free one")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror:
        raise UserError(f"host {host!r} is not an address; use 127.0.0.1 for this machine only") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise UserError(
            f"port {port} on {host} cannot be used ({error.strerror}); choose another with --port, or --port 0 for a "
            "free one"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket, as this machine reaches it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def links(db: Database, folder: Path, url: str) -> Links:
    """The two links, the same at every start: their secrets are kept in ``links.json``, readable by its owner only."""
    path = folder / "links.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    worker, researcher = known.get("worker", ""), known.get("researcher", "")
    if worker_by_token(db, worker) is None:
        _, worker = add_worker(db, "first worker", WorkerKind.PERSON)
    if not is_staff_token(db, researcher):
        researcher = add_staff_token(db)
    tokens = {"worker": worker, "researcher": researcher}
    if tokens != known:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(tokens, file)
    return Links(f"{url}/w/{worker}", f"{url}/researcher?key={researcher}")


def own_secret(folder: Path) -> str:
    """The secret of answers without names, made once: a file for its owner alone, which no page and no link shows."""
    path = folder / "wellbeing.key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text()


def consent_text(file: Path | None) -> ConsentText:
    """What people agree to: a Markdown file's content, or the built-in text.

    Raises:
        UserError: the file cannot be read, or says nothing.
    """
    if file is None:
        return built_in_consent()
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"consent text {file} cannot be read ({error}); check collect.consent") from None
    if not text.strip():
        raise UserError(f"consent text {file} is empty; write what people agree to, or leave collect.consent out")
    return ConsentText(text)


def running_server(folder: Path) -> str | None:
    """URL of the pages of a programme, if they are served and answer.

    What answers at an address left by a server that was killed may be another programme's, so its process counts too.
    """
    path = folder / "serve.json"
    if not path.exists():
        return None
    announced = json.loads(path.read_text())
    url: str = announced["url"]
    return url if process_exists(announced["pid"]) and answers(url) else None


def answers(url: str) -> bool:
    """Whether pages are served at a URL now."""
    try:
        return httpx.get(f"{url}/healthz", timeout=10).text == HEALTHY
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


@contextmanager
def announced(folder: Path, url: str) -> Iterator[None]:
    """``serve.json`` while the block lasts."""
    path = folder / "serve.json"
    write_whole(path, json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def serve_pages(room: Room, listener: socket.socket) -> None:
    """Answer requests on the socket until SIGINT (raises KeyboardInterrupt) or SIGTERM (raises SystemExit)."""
    servers: list[uvicorn.Server] = []
    app = create_app(replace(room, stopping=lambda: servers[0].should_exit))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold the workers' secrets
        server_header=False,
        timeout_graceful_shutdown=CLOSING_SECONDS,
        lifespan="off",
    )
    servers.append(uvicorn.Server(config))
    signal.signal(signal.SIGTERM, _terminate)
    servers[0].run(sockets=[listener])


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
