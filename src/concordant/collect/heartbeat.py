"""Whether the reply generator is alive: a small file that it touches every second, so that pages can wait honestly.

A file and not a row, because it must not take the store's write lock once a second. A generator on another machine
writes no file here; then the pages of this one say nothing about it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from concordant.runs import write_whole

STALE_SECONDS = 10.0
"""After this long without a sign the generator counts as gone."""


class GeneratorState(StrEnum):
    """What the generator does. UNKNOWN: nothing is said about it here."""

    STARTING = "starting"
    IDLE = "idle"
    WRITING = "writing"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The file. ``path`` None: nobody looks, nothing is written."""

    path: Path | None

    def beat(self, state: GeneratorState) -> None:
        """Say that the generator is alive and what it does."""
        if self.path is None:
            return
        if self.path.exists() and self.path.read_text() == state.value:
            os.utime(self.path)
        else:
            write_whole(self.path, state.value)

    @contextmanager
    def beating(self, state: Callable[[], GeneratorState]) -> Iterator[None]:
        """Beat from a thread, once a second, while the block lasts."""
        over = threading.Event()

        def run() -> None:
            self.beat(state())
            while not over.wait(1.0):
                self.beat(state())

        thread = threading.Thread(target=run, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def read(self) -> GeneratorState:
        """What the generator last said, or GONE if that was too long ago."""
        if self.path is None:
            return GeneratorState.UNKNOWN
        if not self.path.exists() or time.time() - self.path.stat().st_mtime > STALE_SECONDS:
            return GeneratorState.GONE
        return GeneratorState(self.path.read_text())
