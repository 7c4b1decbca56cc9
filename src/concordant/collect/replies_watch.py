"""Streams of pairs being written: one query every 200 ms for all open pages together, whole texts in numbered events.

A stream keeps nothing of its own: a page that loses it opens it again and is sent the state of the store. A text never
shrinks within a stream. Left out: sending only what is new; texts are short.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from concordant.collect.heartbeat import GeneratorState, Heartbeat
from concordant.collect.messages import Messages, english
from concordant.collect.reply_text import Show, so_far, to_html
from concordant.collect.steps import Step, pair_step, waiting_words
from concordant.store.database import Database
from concordant.store.overview import WatchedPair, watched_pairs

POLL_SECONDS = 0.2
SILENCE_SECONDS = 10.0
"""A stream that says nothing for so long sends an empty comment, so that proxies keep it open."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One look into the store: the watched pairs by id, and what the generator does."""

    pairs: dict[str, WatchedPair]
    generator: GeneratorState


@dataclass(frozen=True, slots=True)
class Telling:
    """How a stream is told.

    Attributes:
        only_end: leave out the ``text`` events.
        show: how much of the replies while they are written.
        say: the words of the note.
        stopping: whether the process ends.
    """

    only_end: bool = False
    show: Show = "together"
    say: Messages = field(default_factory=english)
    stopping: Callable[[], bool] = lambda: False


class RepliesWatch:
    """Looks into the store for all streams of a process. Lives on one event loop; the query runs in a thread."""

    def __init__(self, db: Database, heartbeat: Heartbeat) -> None:
        self._db = db
        self._heartbeat = heartbeat
        self._watched: Counter[str] = Counter()
        self._next: asyncio.Task[Tick] | None = None

    async def states(self, comparison_id: str) -> AsyncGenerator[tuple[WatchedPair, GeneratorState], None]:
        """The state of one pair, every 200 ms, until the reader leaves."""
        self._watched[comparison_id] += 1
        try:
            while True:
                tick = await self._tick()
                if comparison_id in tick.pairs:
                    yield tick.pairs[comparison_id], tick.generator
        finally:
            self._watched[comparison_id] -= 1
            if not self._watched[comparison_id]:
                del self._watched[comparison_id]

    async def _tick(self) -> Tick:
        """The next look, shared by all who wait for one."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_soon())
        return await asyncio.shield(self._next)

    async def _look_soon(self) -> Tick:
        await asyncio.sleep(POLL_SECONDS)
        self._next = None  # who comes from here on is not in this look
        return await asyncio.to_thread(self._look, tuple(self._watched))

    def _look(self, comparison_ids: tuple[str, ...]) -> Tick:
        return Tick(watched_pairs(self._db, comparison_ids), self._heartbeat.read())


async def events(watch: RepliesWatch, comparison_id: str, telling: Telling) -> AsyncGenerator[str, None]:
    """Server-sent events about a pair, until it needs the worker.

    ``text``: {seq, a, b, note}: both texts as HTML, as far as they are shown. ``ready`` and ``failed``: {seq}; the page
    then asks for its new state. In "together" mode nothing tells when a reply goes to another model.
    """
    sequence, silent, sent = 0, 0.0, ("", "", "")
    yield "retry: 1000\n\n"
    # Closed at once, so that nobody looks for a page that is gone.
    async with aclosing(watch.states(comparison_id)) as states:
        async for state, generator in states:
            if telling.stopping():
                return
            step = pair_step(state.pair)
            if step is not Step.WAIT:
                yield _event("ready" if step is Step.CHOOSE else "failed", {"seq": sequence + 1})
                return
            a, b = so_far(telling.show, state.pair.a.text, state.pair.b.text)
            if (sent[0] and not state.pair.a.text) or (sent[1] and not state.pair.b.text):
                # Only what a stopped model had begun vanishes from the store; the page is made anew, without it.
                yield _event("failed", {"seq": sequence + 1})
                return
            if len(a) < len(sent[0]) or len(b) < len(sent[1]):
                a, b = sent[:2]  # a second writer started over: what was shown stays until it is passed
            new = (a, b, waiting_words(telling.say, generator, state.ahead))
            silent += POLL_SECONDS
            if new != sent and not telling.only_end:
                sequence, silent, sent = sequence + 1, 0.0, new
                yield _event("text", {"seq": sequence, "a": to_html(a), "b": to_html(b), "note": new[2]})
            elif silent >= SILENCE_SECONDS:
                silent = 0.0
                yield ": still writing\n\n"


def _event(name: str, data: dict[str, object]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
