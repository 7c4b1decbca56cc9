"""Writes one request to ``/v1/chat/completions`` at a time: when no worker waits, and only while its client is there.

A worker who comes meanwhile goes first: the request is put back and begun again later, with its seed, so that a model
here writes the same text and what was streamed stays true.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from uuid import uuid4

from concordant.errors import UserError
from concordant.sampler import ReplyLimits, Sampler, with_limits
from concordant.store.api_requests import ApiJob, api_waits, fail, finish, put_back, take, write
from concordant.store.database import Database
from concordant.store.registry import Snapshot, snapshot
from concordant.store.reply_queue import Kinds

LOG = logging.getLogger(__name__)

LEASE_SECONDS = 300.0
"""How long a request waits for a writer that died: longer than an endpoint may say nothing before it is given up, or a
second writer would ask it again meanwhile."""
SHOW_SECONDS = 0.2
LOOK_SECONDS = 0.5
FAILED = "The reply could not be written."


class _Ended(Exception):
    """Raised inside a sampler's ``on_text``: the client is gone, the model was stopped, or the generator ends."""


class _WorkersFirst(Exception):
    """Raised inside a sampler's ``on_text``: a worker waits."""


class _Pen:
    """Takes the texts as they come and writes them down now and then."""

    def __init__(self, db: Database, owner: str, job: ApiJob, over: Callable[[], bool], yields: Callable[[], bool]):
        self._db = db
        self._owner = owner
        self._job = job
        self._over = over
        self._yields = yields
        self._texts = [""] * job.asked.n
        self._shown = self._looked = time.monotonic()

    def on_text(self, conversation: int, reply: int, text: str) -> None:
        self._texts[reply] = text
        now = time.monotonic()
        if self._over():
            raise _Ended
        if now - self._shown >= SHOW_SECONDS:
            self._shown = now
            if not write(self._db, self._owner, self._job.id, self._texts, LEASE_SECONDS):
                raise _Ended
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            if self._yields():
                raise _WorkersFirst


def write_request(
    db: Database,
    samplers: Callable[[Snapshot], Sampler],
    stop: threading.Event,
    kinds: Kinds = None,
    yields: Callable[[], bool] = lambda: False,
) -> bool:
    """Write the next request, if one waits; whether one did.

    Args:
        db: the store with the requests.
        samplers: the sampler of a snapshot.
        stop: set it to end early.
        kinds: of the snapshots.
        yields: whether somebody else goes first now.
    """
    if not api_waits(db, kinds):
        return False
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
    job = take(db, owner, LEASE_SECONDS, kinds)
    if job is None:
        return False
    pen = _Pen(db, owner, job, stop.is_set, yields)
    try:
        model = samplers(snapshot(db, job.snapshot_id))
    except Exception:  # a folder that is gone is ours to mend, and its path is nobody's business
        LOG.exception("snapshot %s cannot be loaded for a request to the API", job.snapshot_id)
        fail(db, owner, job.id, FAILED)
        return True
    try:
        sampler = with_limits(model, ReplyLimits(job.asked.max_tokens, job.asked.temperature))
        replies = sampler.sample([job.prompt], job.asked.n, job.asked.seed, pen.on_text)[0]
    except (_Ended, _WorkersFirst):
        put_back(db, owner, job.id)  # ignored where the client is gone
    except UserError as error:
        fail(db, owner, job.id, str(error), refused=True)
    except Exception:
        LOG.exception("snapshot %s: a request to the API could not be answered", job.snapshot_id)
        fail(db, owner, job.id, FAILED)
    else:
        finish(db, owner, job.id, replies)
    return True
