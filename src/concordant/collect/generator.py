"""The reply generator: takes waiting replies from the store and has samplers write them, outside of any request.

Its own process, so that a slow model holds up no page, and a page that dies loses no reply. One thread samples from
the models here; replies of endpoints, which may take long, each have a thread of their own. Another one writes what has
come so far into the store and renews the leases. Requests to the API are written when no worker waits. Left out:
several local models at once.
"""

import hashlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from concordant.collect.api_writer import write_request
from concordant.collect.assignment import redraw
from concordant.collect.heartbeat import GeneratorState, Heartbeat
from concordant.errors import UserError
from concordant.sampler import Sampler
from concordant.store.api_requests import api_waits, forget_gone
from concordant.store.database import Database
from concordant.store.kill_switch import FAILED, rescue
from concordant.store.registry import Snapshot, SnapshotKind, snapshot
from concordant.store.reply_queue import ReplyJob, claim, fail, finish, queue_length, write_texts
from concordant.store.written import written_replies

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

REMOTE = frozenset({SnapshotKind.ENDPOINT})
HERE = frozenset(SnapshotKind) - REMOTE
REMOTE_AT_ONCE = 8
"""Most replies that are asked of endpoints at the same time, for workers."""
API_AT_ONCE = 4
"""The same for programs that ask at ``/v1``; of their own, so that they never keep a worker waiting."""
FORGET_SECONDS = 10.0


class Stopped(Exception):
    """Raised inside a sampler's ``on_text`` to end it early; its replies are written again after their lease."""


@dataclass(slots=True)
class _Held:
    owner: str
    text: str = ""


class Progress:
    """What has come so far of the replies held, and the thread that writes it down."""

    def __init__(self, db: Database, stop: threading.Event) -> None:
        self._db = db
        self._stop = stop
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._changed: set[str] = set()
        self._lost: set[str] = set()
        self._failure: BaseException | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def hold(self, owner: str, jobs: Sequence[ReplyJob]) -> None:
        """These replies are ours from now on: their leases are renewed."""
        with self._lock:
            self._held.update({job.reply_id: _Held(owner) for job in jobs})
            self._lost -= {job.reply_id for job in jobs}

    def drop(self, jobs: Sequence[ReplyJob]) -> None:
        """These are finished or failed."""
        with self._lock:
            for job in jobs:
                self._held.pop(job.reply_id, None)
                self._changed.discard(job.reply_id)
                self._lost.discard(job.reply_id)

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
            held = self._held.get(reply_id)
            if held is not None and held.text != text:
                held.text = text
                self._changed.add(reply_id)

    def all_lost(self, jobs: Sequence[ReplyJob]) -> bool:
        """Whether none of these is ours any more: their deployment was stopped, or another writer has them."""
        with self._lock:
            return all(job.reply_id in self._lost for job in jobs)

    def broke(self, error: BaseException) -> None:
        """What went wrong in a thread is raised in the main one."""
        self._failure = self._failure or error

    def check(self) -> None:
        """Raise here what went wrong in a thread: a generator that cannot write to the store must not go on."""
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
            self.broke(error)

    def _flush(self, everything: bool) -> None:
        with self._lock:
            names = set(self._held if everything else self._changed) - self._lost
            texts: dict[str, dict[str, str]] = {}
            for name in names:
                texts.setdefault(self._held[name].owner, {})[name] = self._held[name].text
            self._changed.clear()
        for owner, own in texts.items():
            kept = write_texts(self._db, owner, own)
            with self._lock:  # one that was dropped meanwhile is not lost
                self._lost |= (own.keys() - kept) & self._held.keys()


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every writing thread shares."""

    db: Database
    samplers: Callable[[Snapshot], Sampler]
    progress: Progress
    stop: threading.Event

    def claim(self, limit: int, kinds: frozenset[SnapshotKind]) -> tuple[str, list[ReplyJob]]:
        """Take replies under a name of their own, so that what comes late for an earlier claim is ignored."""
        owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        jobs = claim(self.db, owner, limit, LEASE_SECONDS, kinds)
        self.progress.hold(owner, jobs)
        return owner, jobs


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
        samplers: the sampler of a snapshot; it is asked anew for every batch, so it should remember, and it must bear
            several threads.
        stop: set it to end; what is being written then is written again by the next generator.
        batch: most replies in one call of a sampler.
        heartbeat: where to say that the generator is alive.
    """
    progress = Progress(db, stop)
    desk = _Desk(db, samplers, progress, stop)
    with progress, _elsewhere(desk), (heartbeat or Heartbeat(None)).beating(lambda: progress.state):
        swept = time.monotonic()
        while not stop.is_set():
            progress.check()
            rescue(db, redraw(random.SystemRandom()))
            if time.monotonic() - swept > FORGET_SECONDS:
                forget_gone(db)
                swept = time.monotonic()
            if gather(db, stop, batch):
                owner, jobs = desk.claim(batch, HERE)
                for group in by_snapshot(jobs):
                    _write_group(desk, owner, group)
                    if stop.is_set():
                        return
            elif not write_request(db, samplers, stop, HERE, lambda: queue_length(db, HERE) > 0):
                stop.wait(IDLE_SECONDS)


@contextmanager
def _elsewhere(desk: _Desk) -> Iterator[None]:
    """Replies of endpoints, each in a thread of its own, while the block lasts.

    At its end nobody waits for an endpoint that does not answer: what is open is written again after its lease.
    """
    over, running, asked = threading.Event(), list[threading.Thread](), list[threading.Thread]()

    def start(work: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                desk.progress.broke(error)

        thread = threading.Thread(target=run, name="endpoint", daemon=True)
        thread.start()
        return thread

    def look() -> None:
        while not (over.wait(IDLE_SECONDS) or desk.stop.is_set()):
            running[:] = [thread for thread in running if thread.is_alive()]
            free = REMOTE_AT_ONCE - len(running)
            if free and queue_length(desk.db, REMOTE):
                owner, jobs = desk.claim(free, REMOTE)
                running.extend(start(partial(_write_group, desk, owner, [job])) for job in jobs)
            asked[:] = [thread for thread in asked if thread.is_alive()]
            if len(asked) < API_AT_ONCE and api_waits(desk.db, REMOTE):
                asked.append(start(partial(write_request, desk.db, desk.samplers, desk.stop, REMOTE)))

    looker = start(look)
    try:
        yield
    finally:
        over.set()
        for thread in (looker, *running):
            thread.join(0.5)


def gather(db: Database, stop: threading.Event, batch: int) -> bool:
    """Whether replies of models here wait; where some do, first give others a moment to join them."""
    waiting, begin = queue_length(db, HERE), time.monotonic()
    while 0 < waiting < batch and time.monotonic() - begin < MOST_GATHERING:
        if stop.wait(GATHER_SECONDS):
            return False
        before, waiting = waiting, queue_length(db, HERE)
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


def _write_group(desk: _Desk, owner: str, jobs: list[ReplyJob]) -> None:
    """Write the replies of one snapshot. What breaks a batch is found by writing its replies one by one: only the reply
    that cannot be written fails."""
    db, progress = desk.db, desk.progress

    def on_text(conversation: int, reply: int, text: str) -> None:
        progress.text(jobs[conversation].reply_id, text)
        if progress.all_lost(jobs):
            raise Stopped

    sampler: Sampler | None = None
    with _released(progress, jobs):
        try:
            if progress.all_lost(jobs):
                return
            of = snapshot(db, jobs[0].snapshot_id)
            if of.kind is SnapshotKind.WRITTEN:
                replies = written_replies(db, [job.reply_id for job in jobs])
            else:
                sampler = desk.samplers(of)
                written = sampler.sample([job.prompt for job in jobs], 1, batch_seed(jobs), on_text)
                replies = {job.reply_id: found[0] for job, found in zip(jobs, written, strict=True)}
        except Stopped:
            return
        except Exception as error:
            if sampler is not None and len(jobs) > 1:
                LOG.warning("snapshot %s: %d replies one by one, because of %s", jobs[0].snapshot_id, len(jobs), error)
                for job in jobs:
                    _write_group(desk, owner, [job])
                return
            LOG.exception("snapshot %s: %d replies could not be written", jobs[0].snapshot_id, len(jobs))
            for job in jobs:
                fail(db, owner, job.reply_id, str(error) if isinstance(error, UserError) else FAILED, _reason(error))
            return
        finish(db, owner, replies)


def _reason(error: Exception) -> str:
    """For researchers: in one line, and of bounded length."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:1000]


@contextmanager
def _released(progress: Progress, jobs: list[ReplyJob]) -> Iterator[None]:
    try:
        yield
    finally:
        progress.drop(jobs)
