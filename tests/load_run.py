"""Pages under load: many open streams, many scripted workers, and a stopwatch on other pages. For tests and benchmarks.

The streams stay open because somebody holds their replies under a long lease; the active workers are ``concordant
simulate`` in a process of its own. Web process, reply generator, workers and stopwatch share the machine.
"""

import asyncio
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from concordant.collect.room import STAFF_COOKIE, WORKER_COOKIE, built_in_consent
from concordant.comparison import Objective
from concordant.programme import Programme
from concordant.store.consents import agree
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.registry import SnapshotKind, add_snapshot, deploy
from concordant.store.reply_queue import claim
from concordant.store.talks import Draw, open_talk, say
from served import Served
from visitors import signed_in_staff


@dataclass(frozen=True, slots=True)
class Size:
    """How much: open streams, active workers, seconds of measuring, seconds a word of a scripted reply.

    ``pause``: seconds, as a mean, that a worker reads or writes before a choice or a message.
    """

    streams: int
    workers: int
    seconds: float
    pace: float = 0.03
    turns: int = 4
    pause: float = 0.0


@dataclass(slots=True)
class Measured:
    """What was seen. ``milliseconds``: page → how long each answer took; ``resident``: process → MB, twice a second."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    resident: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    streams_lost: int = 0
    pieces: int = 0
    statuses: set[int] = field(default_factory=set)
    choices: int = 0
    processor_share: float = 0.0

    def quantile(self, share: float, page: str = "") -> float:
        """Milliseconds of one page, or of all."""
        found = sorted(one for name, some in self.milliseconds.items() if page in ("", name) for one in some)
        return found[min(len(found) - 1, int(share * len(found)))]

    def growth(self, process: str) -> float:
        """MB by which a process grew from the middle third of the run to the last."""
        seen = self.resident[process]
        third = len(seen) // 3
        return sum(seen[-third:]) / third - sum(seen[third : 2 * third]) / third


def run_load(folder: Path, store_url: str, size: Size) -> Measured:
    """Serve a programme on a store, hold the streams, let the workers work, and measure."""
    served = Served(folder, f'store = "{store_url}"\n[collect]\nhelpful_turns = {size.turns}\n', seconds=size.pace)
    database = Database.open(Programme.open(folder).store_url)
    try:
        held = _held(database, size.streams)
        _, staff = signed_in_staff(database)
        with served:
            command = [sys.executable, "-m", "concordant.cli", "simulate", "100000", "--dir", str(folder)]
            with (folder / "simulate.out").open("wb") as out:
                command += ["--concurrency", str(size.workers), "--study", "load", "--pause", str(size.pause)]
                working = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
            try:
                measured = asyncio.run(_measure(served, held, staff, size, database))
            finally:
                working.terminate()
                working.wait(20)
        measured.choices = _choices(database)
    finally:
        database.close()
    return measured


def _held(db: Database, number: int) -> list[tuple[str, str]]:
    """(link's secret, comparison) of workers whose two replies are being written for as long as the run takes."""
    spec = {"folder": "scripted", "adapter": None}
    model = add_snapshot(db, "scripted-replies", SnapshotKind.MODEL, spec)
    deploy(db, model.id, 1.0)
    found = []
    for index in range(number):
        worker, token = add_worker(db, f"waiting {index}", WorkerKind.SCRIPTED)
        agree(db, worker.id, built_in_consent())
        talk = open_talk(db, worker.id, Objective.HELPFUL, 4, "held")
        found.append((token, say(db, talk, "hello", "key", Draw((model.id, model.id), (0, 1), False))))
    claim(db, "holder", 2 * number, 3600.0)
    return found


def _choices(db: Database) -> int:
    from sqlalchemy import func, select

    from concordant.store.tables import ChoiceRow

    with db.read() as session:
        return session.scalar(select(func.count()).select_from(ChoiceRow)) or 0


async def _measure(served: Served, held: list[tuple[str, str]], staff: str, size: Size, db: Database) -> Measured:
    measured, over = Measured(), asyncio.Event()
    streams = [asyncio.create_task(_stream(served.port, *one, measured, over)) for one in held]
    await _until_they_work(db, size.workers)
    memory = asyncio.create_task(_watch_memory(served, measured, over))
    began, used = time.monotonic(), _seconds_used(served.process.pid)
    await _probe(served.url, held[0][0], staff, size.seconds, measured)
    measured.processor_share = (_seconds_used(served.process.pid) - used) / (time.monotonic() - began)
    over.set()
    await asyncio.gather(memory, *streams)
    return measured


async def _until_they_work(db: Database, workers: int) -> None:
    """Until there are as many choices as workers: their arrival is not what is measured."""
    deadline = time.monotonic() + 90
    while await asyncio.to_thread(_choices, db) < workers:
        assert time.monotonic() < deadline, "the workers did not begin within 90 s"
        await asyncio.sleep(0.2)


async def _stream(port: int, token: str, comparison: str, measured: Measured, over: asyncio.Event) -> None:
    """One open stream, as bare as a browser's: read until the run is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"GET /work/stream/{comparison} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {WORKER_COOKIE}={token}\r\n\r\n"
    )
    writer.write(head.encode())
    finished = asyncio.create_task(over.wait())
    while not over.is_set():
        reading = asyncio.create_task(reader.read(65536))
        await asyncio.wait({reading, finished}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            break
        if not reading.result():
            measured.streams_lost += 1
            break
        measured.pieces += 1
    writer.close()


async def _probe(url: str, token: str, staff: str, seconds: float, measured: Measured) -> None:
    """Other pages, one after the other, ten a second."""
    cookies = {WORKER_COOKIE: token, STAFF_COOKIE: staff}
    pages = ("/work", "/", "/researcher", "/researcher/conversations", "/researcher/sittings", "/healthz")
    end = time.monotonic() + seconds
    async with httpx.AsyncClient(base_url=url, cookies=cookies, timeout=30) as client:
        for page in pages:  # the first answers load templates and more
            await client.get(page)
        number = 0
        while time.monotonic() < end:
            page = pages[number % len(pages)]
            number += 1
            began = time.perf_counter()
            answer = await client.get(page)
            measured.milliseconds[page].append(1000 * (time.perf_counter() - began))
            measured.statuses.add(answer.status_code)
            await asyncio.sleep(0.1)


async def _watch_memory(served: Served, measured: Measured, over: asyncio.Event) -> None:
    processes = {"pages": served.process.pid, "generator": served.generator()}
    while not over.is_set():
        for name, process in processes.items():
            measured.resident[name].append(_resident(process))
        await asyncio.sleep(0.5)


def _resident(process: int) -> float:
    """MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def _seconds_used(process: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def summary(measured: Measured, size: Size) -> dict[str, Any]:
    """The figures to publish."""
    return {
        "open_streams": size.streams,
        "streams_lost": measured.streams_lost,
        "active_workers": size.workers,
        "seconds": size.seconds,
        "seconds_a_word": size.pace,
        "seconds_before_each_message_and_choice": size.pause,
        "choices_made": measured.choices,
        "pages_asked": sum(len(some) for some in measured.milliseconds.values()),
        "statuses": sorted(measured.statuses),
        "milliseconds": {
            "median": round(measured.quantile(0.5), 1),
            "p95": round(measured.quantile(0.95), 1),
            "p99": round(measured.quantile(0.99), 1),
            **{f"p95 of {page}": round(measured.quantile(0.95, page), 1) for page in sorted(measured.milliseconds)},
        },
        "processor_share_of_the_pages": round(measured.processor_share, 2),
        "resident_mb": {name: round(seen[-1], 1) for name, seen in measured.resident.items()},
        "resident_growth_mb": {name: round(measured.growth(name), 2) for name in measured.resident},
    }
