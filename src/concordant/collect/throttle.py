"""How often one may ask: sign-ins, workers' links, a panel's arrivals, forms; by address, by login, by worker.

Counted in the memory of the one web process, so a restart forgets it. An address is the one that the server sees:
behind a proxy on this machine, what that says (X-Forwarded-For). Left out: reading pages, streams, and ``/v1``, whose
keys are another part's.
"""

import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from math import ceil

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from concordant.collect.room import WORKER_COOKIE, Room
from concordant.programme_config import LimitsConfig
from concordant.store.people import hash_token


class Throttle:
    """Counts by the keys of ``[limits]``."""

    def __init__(self, config: LimitsConfig) -> None:
        self._rates = {name: parse(text) for name, text in config if text}
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def wait(self, rate: str, key: str) -> int | None:
        """Count one more; returns in how many seconds to come again where it is too many, else None."""
        item = self._rates.get(rate)
        if item is None or self._limiter.hit(item, rate, key):
            return None
        return max(1, ceil(self._limiter.get_window_stats(item, rate, key).reset_time - time.time()))

    def forget(self, rate: str, key: str) -> None:
        """Begin a count anew."""
        if (item := self._rates.get(rate)) is not None:
            self._limiter.clear(item, rate, key)


class ThrottleLayer:
    """ASGI layer that answers who comes too often, before any route."""

    def __init__(self, app: ASGIApp, throttle: Throttle, room: Room) -> None:
        self.app = app
        self._throttle = throttle
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        for rate, key in _asked(scope):
            seconds = self._throttle.wait(rate, key)
            if seconds is not None:
                say = self._room.say
                answer = self._room.notice(429, say("notice.busy_title"), say("notice.busy", seconds=seconds))
                answer.headers["Retry-After"] = str(seconds)
                await answer(scope, receive, send)
                return
        await self.app(scope, receive, send)


def address_of_client(connection: HTTPConnection) -> str:
    """Who asks. A household or an office has a whole /64 of IPv6 addresses, so that counts as one."""
    host = "" if connection.client is None else connection.client.host
    try:
        address = ip_address(host)
    except ValueError:  # a socket without addresses, or a test
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:  # how a socket for both kinds shows the older one
        return str(address.ipv4_mapped)
    return str(IPv6Address(int(address) >> 64 << 64))


def _asked(scope: Scope) -> Iterator[tuple[str, str]]:
    """(rate, key) of each limit that a request counts against."""
    connection = HTTPConnection(scope)
    path, posts, address = scope["path"], scope["method"] == "POST", address_of_client(connection)
    if path.startswith("/w/"):
        yield "links", address
    elif path == "/panel":
        yield "panel", address
    elif path.startswith(("/staff/link/", "/staff/oidc")) or (path == "/staff/sign-in" and posts):
        yield "sign_in_address", address
    if posts and not path.startswith("/v1/"):
        yield "forms_address", address
        worker = connection.cookies.get(WORKER_COOKIE)
        if worker is not None:
            yield "forms_worker", hash_token(worker)
