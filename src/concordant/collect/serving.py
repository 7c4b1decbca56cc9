"""How the pages are served: the socket, the links that are printed, and where others find the address.

``serve.json`` in the programme's folder says where the pages are while they are. Left out: several web processes, and
TLS; a proxy in front does these.
"""

import gc
import json
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import httpx
import uvicorn

from concordant.collect.app import HEALTHY, create_app
from concordant.collect.room import Room, built_in_consent
from concordant.errors import UserError
from concordant.programme_config import StaffConfig
from concordant.runs import write_whole
from concordant.store.consents import ConsentText
from concordant.store.database import Database
from concordant.store.journal import process_exists
from concordant.store.people import WorkerKind, add_worker, worker_by_token
from concordant.store.staff import owner, researcher_can_sign_in
from concordant.store.staff_links import Purpose, make_link

CLOSING_SECONDS = 5
"""How long open requests may take when the process ends."""


@dataclass(frozen=True, slots=True)
class Links:
    """The two addresses that are printed: a worker's, which is their key, and the researcher's.

    ``works_once``: the researcher's signs in, once; else it is the plain address of pages that ask for a password.
    """

    worker: str
    researcher: str
    works_once: bool = False


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
    # The protocol is named because asyncio sets TCP_NODELAY only where it is; without it an answer's second packet
    # waits for the acknowledgement of its first, which clients hold back for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
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
    """The two links. A worker's is the same at every start: its secret is kept in ``links.json``, for its owner alone.

    The researcher's works once and for a day, each call making a new one in the place of the last; it opens the owner's
    account. Where a researcher can sign in, it is the plain address of the pages.
    """
    draw_secret(folder)  # which may rest on what older versions kept in links.json
    path = folder / "links.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    worker = known.get("worker", "")
    if worker_by_token(db, worker) is None:
        _, worker = add_worker(db, "first worker", WorkerKind.PERSON)
    if known != {"worker": worker}:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"worker": worker}, file)
    if researcher_can_sign_in(db):
        return Links(f"{url}/w/{worker}", f"{url}/researcher")
    staff_id = owner(db).staff.id
    token = make_link(db, staff_id, staff_id, Purpose.SIGN_IN)
    return Links(f"{url}/w/{worker}", f"{url}/staff/link/{token}", works_once=True)


def require_accounts(db: Database, host: str, staff: StaffConfig) -> None:
    """Whether the pages may be reached from other machines: only where a researcher can sign in.

    Raises:
        UserError: nobody can, and the address is not of this machine alone.
    """
    if is_loopback(host) or researcher_can_sign_in(db) or staff.oidc.issuer:
        return
    raise UserError(
        f"host {host} can be reached from other machines, and no researcher has a password yet; serve on 127.0.0.1 "
        "first, open the printed link and choose one under 'Your account'"
    )


def is_loopback(host: str) -> bool:
    """Whether every address of a host is this machine's own.

    Raises:
        UserError: it is no address.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        raise UserError(f"host {host!r} is not an address; use 127.0.0.1 for this machine only") from None
    return all(ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def own_secret(folder: Path) -> str:
    """The secret of answers without names, made once: a file for its owner alone, which no page and no link shows."""
    return _kept(folder / "wellbeing.key", lambda: secrets.token_hex(32))


def draw_secret(folder: Path) -> str:
    """The secret of every draw, kept likewise. Programmes of older versions keep theirs, and with it their draws."""

    def first() -> str:
        path = folder / "links.json"
        before = json.loads(path.read_text()).get("researcher") if path.exists() else None
        return f"/researcher?key={before}" if before else secrets.token_hex(32)

    return _kept(folder / "draws.key", first)


def _kept(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        text = make()
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
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
        lifespan="on",
    )
    servers.append(uvicorn.Server(config))
    signal.signal(signal.SIGTERM, _terminate)
    gc.collect()
    gc.freeze()  # what is loaded stays; without this each full collection walks through all of it again
    servers[0].run(sockets=[listener])


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
