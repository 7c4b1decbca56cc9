"""Pages served from a thread of the test's own process, and replies that the test itself writes.

For what processes of their own cannot show: hostile model output, a reply that fails at the right moment, two paces.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvicorn

from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.collect.serving import address_of, listen
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.reply_queue import ReplyJob, claim, finish


@contextmanager
def serving(room: Room) -> Iterator[str]:
    """URL of a room's pages while the block lasts."""
    listener, stop = listen("127.0.0.1", 0), threading.Event()
    config = uvicorn.Config(
        create_app(replace(room, stopping=stop.is_set)),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="pages")
    thread.start()
    try:
        yield address_of(listener)
    finally:
        stop.set()
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def writing(db: Database, text: Callable[[ReplyJob], str]) -> Iterator[None]:
    """Replies appear a moment after they are asked for, while the block lasts."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.05):
            jobs = claim(db, "writer", 100, 60.0)
            finish(db, "writer", {job.reply_id: Reply(text(job), True, 3) for job in jobs})

    thread = threading.Thread(target=run, name="writer")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
