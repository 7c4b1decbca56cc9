"""Replies from any OpenAI-compatible endpoint, as a Sampler: the one file outside ``collect`` that speaks HTTP.

It asks ``POST {url}/chat/completions`` and reads the stream. What is likely to pass (429, 5xx, a lost connection, a
broken stream) is tried again within a deadline; everything else fails with a reason for the log, which never holds the
key. The same seed is sent for the same reply, but whether it gives the same text is up to the endpoint. Left out:
completions without a chat format, tools, several choices in one request.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import httpx

from concordant.conversation import Conversation, Speaker
from concordant.errors import UserError
from concordant.sampler import OnText, Reply, ReplyLimits

_ROLES = {Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses that are likely to pass."""
_SHOWN = 300
"""Characters of an answer that go into a reason."""


class EndpointFailed(Exception):
    """No reply could be had. The message says why; it names the endpoint, so it is for logs and researchers only."""


class _Again(Exception):
    """What is likely to pass. ``wait``: seconds that the endpoint asks for."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an endpoint is waited for, in seconds.

    Attributes:
        connect: for a connection.
        silence: between two pieces of an answer.
        deadline: for one reply, all tries and pauses together.
        pause: before the second try; it doubles from try to try.
        most_pause: the longest pause of our own; what the endpoint asks for may be longer, within the deadline.
        tries: most tries.
        at_once: most requests at the same time.
        most_bytes: of one answer; a longer one is no reply.
    """

    connect: float = 10.0
    silence: float = 60.0
    deadline: float = 180.0
    pause: float = 1.0
    most_pause: float = 20.0
    tries: int = 5
    at_once: int = 8
    most_bytes: int = 4_000_000


def endpoint_spec(url: str, model: str, key_env: str | None) -> dict[str, Any]:
    """What a snapshot of kind endpoint holds: the address, the model's name there, and where its key is found.

    Raises:
        UserError: the address is none, or holds what must not be stored.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"--endpoint {url!r} is no address; give the base URL, for example http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError("--endpoint holds more than an address; give a key by --key-env, the name of a variable")
    if not model.strip():
        raise UserError("--model is empty; give the model's name at the endpoint")
    if key_env is not None and not key_env.isidentifier():
        raise UserError("--key-env takes the NAME of an environment variable, never the key itself")
    return {"url": url.rstrip("/"), "model": model, "key_env": key_env}


@dataclass(slots=True)
class _Writing:
    """What has come of one reply."""

    text: str = ""
    reason: str | None = None
    tokens: int | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointSampler:
    """The Sampler protocol over an endpoint.

    Attributes:
        url: base URL; ``/chat/completions`` is put behind it.
        model: its name there.
        key_env: name of the environment variable that holds the key; None: no key is sent.
        limits: length and temperature.
        patience: how long it is waited for.
    """

    url: str
    model: str
    key_env: str | None
    limits: ReplyLimits
    patience: Patience = field(default_factory=Patience)

    def with_limits(self, limits: ReplyLimits) -> "EndpointSampler":
        return replace(self, limits=limits)

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        """n replies to each conversation, each by a request of its own.

        Raises:
            EndpointFailed: a reply could not be had within the deadline.
        """
        lock = threading.Lock()
        places = [(index, reply) for index in range(len(conversations)) for reply in range(n)]

        def write(place: tuple[int, int]) -> Reply:
            index, number = place

            def told(text: str) -> None:
                if on_text is not None:
                    with lock:  # what listens need not bear several threads
                        on_text(index, number, text)

            body = self._body(conversations[index], (seed * 1_000_003 + index * 1_009 + number) % 2**31)
            return self._persist(body, told)

        if len(places) == 1:
            return [[write(places[0])]]
        with ThreadPoolExecutor(max(1, min(self.patience.at_once, len(places)))) as pool:
            replies = list(pool.map(write, places))
        return [replies[start : start + n] for start in range(0, len(places), n)]

    def _body(self, conversation: Conversation, seed: int) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": [{"role": _ROLES[turn.speaker], "content": turn.text} for turn in conversation.turns],
            "max_tokens": self.limits.max_tokens,
            "temperature": self.limits.temperature,
            "seed": seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    def _persist(self, body: dict[str, Any], told: Callable[[str], None]) -> Reply:
        """Try until there is a reply, or the deadline."""
        end = time.monotonic() + self.patience.deadline
        for attempt in count(1):
            try:
                return self._ask(body, end, told)
            except _Again as again:
                own = min(self.patience.most_pause, self.patience.pause * 2 ** (attempt - 1))
                pause = own if again.wait is None else again.wait
                if attempt >= self.patience.tries or time.monotonic() + pause >= end:
                    raise self._failed(f"{again}; given up after {attempt} tries") from None
                time.sleep(pause)
        raise AssertionError("unreachable")

    def _ask(self, body: dict[str, Any], end: float, told: Callable[[str], None]) -> Reply:
        """One try."""
        left = max(0.1, end - time.monotonic())
        limit = httpx.Timeout(left, connect=min(left, self.patience.connect), read=min(left, self.patience.silence))
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        key = self._key()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        try:
            with (
                httpx.Client(timeout=limit) as client,
                client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as answer,
            ):
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                pieces = self._pieces(answer, end)
                if answer.status_code != 200:
                    raise self._refused(answer, pieces)
                if kind == "text/event-stream":
                    found = self._read_stream(pieces, told)
                elif kind == "application/json":  # it does not stream
                    found = self._read_whole(b"".join(pieces))
                else:
                    raise self._failed(f"answered with {kind or 'no content type'} instead of a reply")
        except httpx.TransportError as error:
            raise _Again(f"{type(error).__name__}: {error}") from None
        return self._reply(found)

    def _pieces(self, answer: httpx.Response, end: float) -> Iterator[bytes]:
        """The answer as it comes, as long as there is time and it is not too long."""
        taken = 0
        for piece in answer.iter_raw():
            taken += len(piece)
            if taken > self.patience.most_bytes:
                raise self._failed(f"answered with more than {self.patience.most_bytes:,} bytes")
            if time.monotonic() > end:
                raise self._failed(f"did not end its answer within {self.patience.deadline:g} s")
            yield piece

    def _refused(self, answer: httpx.Response, pieces: Iterator[bytes]) -> Exception:
        said = b""
        for piece in pieces:
            said += piece
            if len(said) > 4 * _SHOWN:
                break
        reason = f"status {answer.status_code}: {' '.join(said.decode(errors='replace').split())[:_SHOWN]}"
        if answer.status_code in _PASSING:
            return _Again(reason, _asked_wait(answer.headers.get("retry-after")))
        return self._failed(reason)

    def _read_stream(self, pieces: Iterator[bytes], told: Callable[[str], None]) -> _Writing:
        found, done = _Writing(), False
        for line in _lines(pieces):
            if not line.startswith("data:"):
                continue  # comments and event names
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                done = True
                break
            before = len(found.text)
            self._take(found, self._json(data), "delta")
            if len(found.text) > before and found.text.strip():
                told(found.text.strip())
        if found.reason is None:
            raise _Again("the stream ended without a finish_reason" if done else "the stream broke off")
        return found

    def _read_whole(self, content: bytes) -> _Writing:
        found = _Writing()
        self._take(found, self._json(content.decode(errors="replace")), "message")
        if found.reason is None:
            raise self._failed("the answer has no choices with a finish_reason")
        return found

    def _take(self, found: _Writing, data: Any, part: str) -> None:
        """One chunk of a stream, or a whole answer."""
        if not isinstance(data, dict):
            raise self._failed("answered with JSON that is no object")
        if data.get("error"):
            raise _Again(f"it said {json.dumps(data['error'])[:_SHOWN]}")
        for choice in data.get("choices") or ():
            said = (choice.get(part) or {}).get("content") if isinstance(choice, dict) else None
            if said is not None and not isinstance(said, str):
                raise self._failed("answered with content that is no text")
            found.text += said or ""
            found.reason = (choice.get("finish_reason") if isinstance(choice, dict) else None) or found.reason
        usage = data.get("usage")
        if isinstance(usage, dict):
            found.tokens = _whole(usage.get("completion_tokens"))
            found.prompt_tokens = _whole(usage.get("prompt_tokens"))

    def _reply(self, found: _Writing) -> Reply:
        text = found.text.strip()
        if found.reason not in ("stop", "length"):
            raise self._failed(f"ended the reply for {found.reason!r}")
        if not text:
            raise _Again("the reply is empty")
        return Reply(text, found.reason == "stop", found.tokens, prompt_tokens=found.prompt_tokens)

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise self._failed(f"answered with what is not JSON: {' '.join(text.split())[:_SHOWN]!r}") from None

    def _key(self) -> str | None:
        if self.key_env is None:
            return None
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise self._failed(f"the environment variable {self.key_env} is not set where replies are written")
        return key

    def _failed(self, reason: str) -> EndpointFailed:
        key = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        # Some servers repeat the key that they refuse.
        return EndpointFailed(f"{self.model} at {self.url}: {reason.replace(key, '…') if key else reason}")


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Whole lines. What stands after the last line break was broken off, unless it says that all is done."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace").strip()
    if rest.strip() == b"data: [DONE]":
        yield "data: [DONE]"


def _asked_wait(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
