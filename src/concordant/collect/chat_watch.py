"""Open API requests of a web process, looked at together: one query every 200 ms, as for the workers' pages.

While a client is there, its request says so in the store every few seconds; when it leaves, its texts are erased.
"""

import asyncio
import time
from collections.abc import AsyncGenerator

from concordant.store.api_requests import ApiState, hand_over, seen, states
from concordant.store.database import Database

POLL_SECONDS = 0.2
SEEN_SECONDS = 5.0


class ChatWatch:
    """Looks into the store for all requests of a process. Lives on one event loop; queries run in threads."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._watched: set[str] = set()
        self._next: asyncio.Task[dict[str, ApiState]] | None = None
        self._seen = time.monotonic()
        self._endings: set[asyncio.Task[None]] = set()

    async def states(self, id: str) -> AsyncGenerator[ApiState, None]:
        """How a request stands, every 200 ms, until the reader leaves; then its texts are erased."""
        self._watched.add(id)
        try:
            while True:
                found = await self._tick()
                if id in found:
                    yield found[id]
        finally:
            self._watched.discard(id)
            # Not awaited: where the client has gone, this coroutine is being cancelled.
            ending = asyncio.create_task(asyncio.to_thread(hand_over, self._db, id))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _tick(self) -> dict[str, ApiState]:
        if self._next is None:
            self._next = asyncio.create_task(self._look_soon())
        return await asyncio.shield(self._next)

    async def _look_soon(self) -> dict[str, ApiState]:
        await asyncio.sleep(POLL_SECONDS)
        self._next = None  # who comes from here on is not in this look
        watched = tuple(self._watched)
        if time.monotonic() - self._seen > SEEN_SECONDS:
            self._seen = time.monotonic()
            await asyncio.to_thread(seen, self._db, watched)
        return await asyncio.to_thread(states, self._db, watched)
