"""The reply generator: takes waiting replies from the store and has samplers write them, outside of any request.

Its own process, so that a slow model holds up no page, and a page that dies loses no reply. One thread samples; a
second one writes what has come so far into the store and renews the leases. Left out: several models at once.
"""

import hashlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from uuid import uuid4

from concordant.collect.heartbeat import GeneratorState, Heartbeat
from concordant.errors import UserError
from concordant.sampler import Reply, Sampler
from concordant.store.database import Database
from concordant.store.registry import Snapshot, snapshot
from concordant.store.reply_queue import ReplyJob, claim, fail, finish, queue_length, write_texts

LOG = logging.getLogger(__name__)

LEASE_SECONDS = 8.0
"""How long a reply waits for a writer that died."""
FLUSH_SECONDS = 0.2
RENEW_SECONDS = 2.0
IDLE_SECONDS = 0.1
GATHER_SECONDS = 0.25
"""Workers who wait for the same batch answer within a moment of each other: waiting so long after the last newcomer
fills the next batch, and a full batch is what makes a small machine fast."""
MOST_GATHERING = 1.5

FAILED = "This reply could not be written. The reason is in the generator's log."


class Stopped(Exception):
    """Raised inside a sampler's ``on_text`` to end it early; its replies are written again after their lease."""


class Progress:
    """What has come so far of the replies held, and the thread that writes it down."""

    def __init__(self, db: Database, owner: str, stop: threading.Event) -> None:
        self._db = db
        self._owner = owner
        self._stop = stop
        self._lock = threading.Lock()
        self._held: dict[str, str] = {}
        self._changed: set[str] = set()
        self._failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def hold(self, jobs: Sequence[ReplyJob]) -> None:
        """These replies are ours from now on: their leases are renewed."""
        with self._lock:
            self._held.update({job.reply_id: "" for job in jobs})

    def drop(self, jobs: Sequence[ReplyJob]) -> None:
        """These are finished or failed."""
        with self._lock:
            for job in jobs:
                self._held.pop(job.reply_id, None)
                self._changed.discard(job.reply_id)

    @property
    def state(self) -> GeneratorState:
        return GeneratorState.WRITING if self._held else GeneratorState.IDLE

    def text(self, reply_id: str, text: str) -> None:
        """The whole text so far.

        Raises:
            Stopped: the generator is to end, or its texts no longer reach the store (see ``check``).
        """
        if self._stop.is_set() or self._failure is not None:
            raise Stopped
        with self._lock:
            if self._held.get(reply_id) != text:
                self._held[reply_id] = text
                self._changed.add(reply_id)

    def check(self) -> None:
        """Raise here what went wrong in the thread: a generator that cannot write to the store must not go on."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        renewed = time.monotonic()
        try:
            while not self._over.wait(FLUSH_SECONDS):
                everything = time.monotonic() - renewed >= RENEW_SECONDS
                self._flush(everything)
                renewed = time.monotonic() if everything else renewed
        except BaseException as error:
            self._failure = error  # raised again in the main thread, by ``check``

    def _flush(self, everything: bool) -> None:
        with self._lock:
            names = list(self._held) if everything else list(self._changed)
            texts = {name: self._held[name] for name in names}
            self._changed.clear()
        if texts:
            write_texts(self._db, self._owner, texts)


def run_generator(
    db: Database,
    samplers: Callable[[Snapshot], Sampler],
    stop: threading.Event,
    batch: int = 64,
    heartbeat: Heartbeat | None = None,
) -> None:
    """Write replies until ``stop`` is set.

    Args:
        db: the store with the queue.
        samplers: the sampler of a snapshot; it is asked anew for every batch, so it should remember.
        stop: set it to end; what is being written then is written again by the next generator.
        batch: most replies in one call of a sampler.
        heartbeat: where to say that the generator is alive.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    progress = Progress(db, owner, stop)
    with progress, (heartbeat or Heartbeat(None)).beating(lambda: progress.state):
        while not stop.is_set():
            progress.check()
            if not gather(db, stop, batch):
                stop.wait(IDLE_SECONDS)
                continue
            jobs = claim(db, owner, batch, LEASE_SECONDS)
            progress.hold(jobs)
            for group in by_snapshot(jobs):
                _write_group(db, owner, samplers, group, progress)
                if stop.is_set():
                    return


def gather(db: Database, stop: threading.Event, batch: int) -> bool:
    """Whether replies wait; where some do, first give others a moment to join them."""
    waiting, begin = queue_length(db), time.monotonic()
    while 0 < waiting < batch and time.monotonic() - begin < MOST_GATHERING:
        if stop.wait(GATHER_SECONDS):
            return False
        before, waiting = waiting, queue_length(db)
        if waiting == before:
            break
    return waiting > 0


def by_snapshot(jobs: Sequence[ReplyJob]) -> Iterator[list[ReplyJob]]:
    """The jobs of each snapshot, the longest waiting snapshot first."""
    groups: dict[str, list[ReplyJob]] = {}
    for job in jobs:
        groups.setdefault(job.snapshot_id, []).append(job)
    yield from groups.values()


def batch_seed(jobs: Sequence[ReplyJob]) -> int:
    """One seed for a batch, from the seeds of its jobs in their order."""
    text = ",".join(str(job.seed) for job in jobs)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 2**31


def _write_group(
    db: Database,
    owner: str,
    samplers: Callable[[Snapshot], Sampler],
    jobs: list[ReplyJob],
    progress: Progress,
) -> None:
    """Write the replies of one snapshot. What breaks a batch is found by writing its replies one by one: only the reply
    that cannot be written fails."""

    def on_text(conversation: int, reply: int, text: str) -> None:
        progress.text(jobs[conversation].reply_id, text)

    sampler: Sampler | None = None
    with _released(progress, jobs):
        try:
            sampler = samplers(snapshot(db, jobs[0].snapshot_id))
            written = sampler.sample([job.prompt for job in jobs], 1, batch_seed(jobs), on_text)
            replies: dict[str, Reply] = {job.reply_id: found[0] for job, found in zip(jobs, written, strict=True)}
        except Stopped:
            return
        except Exception as error:
            if sampler is not None and len(jobs) > 1:
                LOG.warning("snapshot %s: %d replies one by one, because of %s", jobs[0].snapshot_id, len(jobs), error)
                for job in jobs:
                    _write_group(db, owner, samplers, [job], progress)
                return
            LOG.exception("snapshot %s: %d replies could not be written", jobs[0].snapshot_id, len(jobs))
            for job in jobs:
                fail(db, owner, job.reply_id, str(error) if isinstance(error, UserError) else FAILED)
            return
        finish(db, owner, replies)


@contextmanager
def _released(progress: Progress, jobs: list[ReplyJob]) -> Iterator[None]:
    try:
        yield
    finally:
        progress.drop(jobs)
