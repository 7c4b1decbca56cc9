"""Guessing from times alone which side was written by the faster of two models, as a curious worker could.

Everything that a client can clock is taken: how long each request took, when each event of a stream came, and when and
how much the text of each side grew. What the texts say is left out. Used by tests and by ``benchmarks/``.
"""

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import comb

import httpx
import numpy as np
from numpy.typing import NDArray

from concordant.collect.generator import run_generator
from concordant.collect.room import Room
from concordant.collect.scripted_replies import PacedSampler
from concordant.collect.served_page import read_page
from concordant.collect.simulate import Browser, SimulationReport
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.sampler import OnText, Reply, Sampler
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.registry import Snapshot, SnapshotKind, add_snapshot, deploy
from concordant.store.tables import ComparisonRow, ReplyRow
from concordant.store.talks import open_talk
from in_process import serving

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Babble:
    """Replies of 12 to 30 words, of the same kind from every model: only the speed tells models apart."""

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        rng = random.Random(seed)
        texts = [[" ".join(["word"] * rng.randint(12, 30)) for _ in range(n)] for _ in conversations]
        return [[Reply(text, True, len(text)) for text in replies] for replies in texts]


@dataclass(slots=True)
class Clocked:
    """One comparison as a client saw it. ``seen``: (moment, characters of A, characters of B) at each event."""

    comparison: str
    moments: list[float]
    seen: list[tuple[float, int, int]] = field(default_factory=list)


def deploy_fast_and_slow(db: Database) -> tuple[Snapshot, Snapshot]:
    """Two models of equal weight."""
    made = [
        add_snapshot(db, label, SnapshotKind.MODEL, {"folder": label, "adapter": None}) for label in ("fast", "slow")
    ]
    for one in made:
        deploy(db, one.id, 1.0)
    return made[0], made[1]


@contextmanager
def two_models(room: Room, fast: Snapshot, seconds: tuple[float, float]) -> Iterator[str]:
    """URL of pages before two models, one of which takes ``seconds[0]`` a word and the other ``seconds[1]``."""
    pace: dict[bool, Sampler] = {
        True: PacedSampler(Babble(), seconds[0]),
        False: PacedSampler(Babble(), seconds[1]),
    }
    stop = threading.Event()
    thread = threading.Thread(target=run_generator, args=(room.db, lambda one: pace[one.id == fast.id], stop))
    thread.start()
    try:
        with serving(room) as url:
            yield url
    finally:
        stop.set()
        thread.join()


async def clock(db: Database, url: str, workers: int, turns: int) -> list[Clocked]:
    """What so many workers clock in one conversation each, always between the two models."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_work(db, url, number, turns)) for number in range(workers)]
    return [one for task in tasks for one in task.result()]


async def _work(db: Database, url: str, number: int, turns: int) -> list[Clocked]:
    worker, token = await asyncio.to_thread(add_worker, db, f"clock {number}", WorkerKind.SCRIPTED)
    await asyncio.to_thread(open_talk, db, worker.id, Objective.HELPFUL, turns, "board:clock")
    found = []
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        browser = Browser(client, SimulationReport())
        page = await browser.get(f"/w/{token}")
        if (agree := page.form("/work/agree", "agreed")) is not None:
            await browser.post(agree, agreed="1")
        for turn in range(turns):
            found.append(await _turn(client, browser, f"question {turn}"))
    return found


async def _turn(client: httpx.AsyncClient, browser: Browser, text: str) -> Clocked:
    form = (await browser.get("/work")).form("/work/say", "text")
    assert form is not None
    clocked = Clocked("", [time.perf_counter()])
    await browser.submit(form, text=text)
    clocked.moments.append(time.perf_counter())
    page = await browser.get("/work")
    clocked.moments.append(time.perf_counter())
    if page.stream is not None:
        await _listen(client, page.stream, clocked)
    clocked.moments.append(time.perf_counter())
    page = read_page((await client.get("/work")).text)
    clocked.moments.append(time.perf_counter())
    choose = page.form("/work/choose", "button")
    assert choose is not None, page.problem
    await browser.submit(choose, button="2")
    clocked.moments.append(time.perf_counter())
    clocked.comparison = choose.hidden["comparison"]
    return clocked


async def _listen(client: httpx.AsyncClient, stream: str, clocked: Clocked) -> None:
    async with client.stream("GET", stream) as answer:
        async for line in answer.aiter_lines():
            if line in ("event: ready", "event: failed"):
                return
            if line.startswith("data: "):
                now = json.loads(line.removeprefix("data: "))
                clocked.seen.append((time.perf_counter(), len(now["a"]), len(now["b"])))


def fast_is_a(db: Database, fast: Snapshot) -> dict[str, bool]:
    """Comparison → whether the faster model's reply was shown as A."""
    with db.read() as session:
        rows = session.query(ComparisonRow.id, ComparisonRow.swap, ReplyRow.snapshot_id).join(
            ReplyRow, ReplyRow.comparison_id == ComparisonRow.id
        )
        return {
            comparison: (snapshot == fast.id) != swap for comparison, swap, snapshot in rows.filter(ReplyRow.place == 0)
        }


def features(clocked: Clocked) -> list[float]:
    """Every time of a comparison, and the differences of the two sides."""
    began, end = clocked.moments[0], clocked.moments[-2]
    gaps = np.diff([began, *(moment for moment, _, _ in clocked.seen), end])
    sides = [_side([(moment, seen[side]) for moment, *seen in clocked.seen], began, end) for side in (0, 1)]
    return [
        *np.diff(clocked.moments).tolist(),
        *(float(one) for one in (gaps.mean(), gaps.std(), gaps.max(), len(gaps))),
        *(a - b for a, b in zip(*sides, strict=True)),
        *(a + b for a, b in zip(*sides, strict=True)),
    ]


def _side(grown: list[tuple[float, int]], began: float, end: float) -> list[float]:
    """First text, last growth, the time between them, how often it grew, characters a second, of one side."""
    steps = [
        (moment, size) for index, (moment, size) in enumerate(grown) if size > (grown[index - 1][1] if index else 0)
    ]
    first, last = (steps[0][0], steps[-1][0]) if steps else (end, end)
    speed = (steps[-1][1] - steps[0][1]) / max(last - first, 1e-3) if len(steps) > 1 else 0.0
    return [first - began, last - began, last - first, float(len(steps)), speed]


@dataclass(frozen=True, slots=True)
class Guesses:
    """How many sides were guessed right, each by a classifier that had not seen it."""

    right: int
    of: int

    @property
    def share(self) -> float:
        return self.right / self.of

    @property
    def chance(self) -> float:
        """How likely so many or more are by tossing a coin: the upper tail of Binomial(of, 1/2)."""
        return float(sum(comb(self.of, k) for k in range(self.right, self.of + 1)) / 2**self.of)


def guess(rows: Sequence[Sequence[float]], truth: Sequence[bool], folds: int = 8) -> Guesses:
    """Logistic regression with a ridge, on standardised features and their squares, by cross-validation."""
    values, target = np.array(rows, dtype=float), np.array(truth, dtype=float)
    right = 0
    for fold in range(folds):
        held = np.arange(len(target)) % folds == fold
        mean, scale = values[~held].mean(0), values[~held].std(0) + 1e-9
        train, test = (_expanded((values[part] - mean) / scale) for part in (~held, held))
        weights = _fit(train, target[~held])
        right += int(((test @ weights > 0) == (target[held] > 0.5)).sum())
    return Guesses(right, len(target))


def _expanded(values: Floats) -> Floats:
    clipped = np.clip(values, -4, 4)
    return np.hstack([np.ones((len(values), 1)), clipped, clipped**2])


def _fit(values: Floats, target: Floats, ridge: float = 3.0, steps: int = 25) -> Floats:
    """Newton's method."""
    weights = np.zeros(values.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(values @ weights, -30, 30)))
        slope = values.T @ (target - chance) - ridge * weights
        bend = (values * (chance * (1 - chance))[:, None]).T @ values + ridge * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def guess_sides(room: Room, fast: Snapshot, seconds: tuple[float, float], size: tuple[int, int]) -> Guesses:
    """Serve, clock (workers, turns) and guess. ``room.config.show`` says how replies appear."""
    with two_models(room, fast, seconds) as url:
        clocked = asyncio.run(clock(room.db, url, *size))
    truth = fast_is_a(room.db, fast)
    clocked.sort(key=lambda one: one.comparison)  # a random order: the folds mix workers and turns
    return guess([features(one) for one in clocked], [truth[one.comparison] for one in clocked])
