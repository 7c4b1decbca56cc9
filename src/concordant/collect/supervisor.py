"""A child process that is kept running: the reply generator beside the pages. Neither waits for the other.

The child is started again when it dies, and ends when its parent does, however that ends, because its standard input
closes then. Left out: several children.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

RESTART_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a child that died is started again; the last one is kept."""
STEADY_SECONDS = 60.0
"""A child that ran for so long begins again with the first pause."""
GRACE_SECONDS = 5.0
"""What a child gets to end by itself."""


class Supervisor:
    """Keeps a child running while the block lasts. Its output goes to a log; why it died is said on standard error."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self._name = name
        self._command = list(command)
        self._log = log
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> "Supervisor":
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        deaths, said = 0, ""
        while not self._over.is_set():
            began = time.monotonic()
            with self._log.open("ab") as log:
                child = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=log, stderr=log)
            while child.poll() is None and not self._over.wait(0.2):
                pass
            _end(child)
            if self._over.is_set():
                return
            deaths = 1 if time.monotonic() - began > STEADY_SECONDS else deaths + 1
            reason = self._last_words() or f"status {child.returncode}"
            if reason != said:  # the same trouble again is said once
                said = reason
                print(f"the {self._name} ended and is started again: {reason}", file=sys.stderr, flush=True)
            self._over.wait(RESTART_SECONDS[min(deaths, len(RESTART_SECONDS)) - 1])

    def _last_words(self) -> str:
        """The last line of the log."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Ask a child to end, if it still runs, and make it end."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def stop_with_parent(stop: threading.Event) -> None:
    """In the child: set ``stop`` when the parent is gone or asks for it, that is, when standard input ends."""

    def read_to_end() -> None:
        while os.read(0, 4096):
            pass
        stop.set()
        time.sleep(GRACE_SECONDS)
        os._exit(0)  # what could not be interrupted is done again by the next child

    threading.Thread(target=read_to_end, name="parent", daemon=True).start()
