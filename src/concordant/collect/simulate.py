"""Scripted workers: clients of the same pages and forms as people, with a documented taste (paper §2.1).

Their links and their conversations' study and objective are set in the store, where people cannot reach; everything
else goes over HTTP. A request that is not answered is sent again with the same key, so a server that is killed and
started again loses nothing.
"""

import asyncio
import json
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from concordant.collect.assignment import wanted_turns
from concordant.collect.openings import follow_up, openings
from concordant.collect.served_page import ServedForm, ServedPage, read_page
from concordant.collect.taste import ScriptedTaste, harmful_taste, helpful_taste
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.talks import open_talk

PATIENCE_SECONDS = 120.0
"""How long a server may be away before a worker gives up."""
LOOK_SECONDS = 0.5
"""Between two looks at a page that offers nothing to do."""
MOST_FAILURES = 3
"""How often a worker asks for the same failed replies again."""

OnProgress = Callable[[int, int], None]
"""Called as ``on_progress(conversations done, choices made)``."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What scripted workers do.

    Attributes:
        url: where the pages are.
        conversations: how many whole conversations.
        objectives: of the conversations, in turn.
        study: tag of the conversations, such as "board:iteration-1".
        workers: how many at once.
        taste: how they choose; its seed also draws what they say.
        pause: seconds, as a mean, before each message and each choice, as people read and write; 0: none. Exponential,
            so that workers who began together do not stay so.
        log: JSON lines, one for each choice that the server confirmed; None: no log.
    """

    url: str
    conversations: int
    objectives: tuple[Objective, ...] = (Objective.HELPFUL,)
    study: str = ""
    workers: int = 16
    taste: ScriptedTaste = field(default_factory=ScriptedTaste)
    pause: float = 0.0
    log: Path | None = None


@dataclass(slots=True)
class SimulationReport:
    """What was done. ``repeats``: requests that had to be sent again."""

    conversations: int = 0
    choices: int = 0
    repeats: int = 0
    seconds: float = 0.0


def simulate(
    db: Database, config: CollectConfig, plan: Plan, on_progress: OnProgress | None = None
) -> SimulationReport:
    """Have scripted workers hold ``plan.conversations`` conversations.

    Args:
        db: the store of the server at ``plan.url``.
        config: how many turns a conversation has.
        plan: what to do.
        on_progress: called after each choice and each conversation.

    Raises:
        UserError: the server stays away, refuses, or cannot write replies.
    """
    began = time.monotonic()
    simulation = _Simulation(db, config, plan, on_progress or (lambda conversations, choices: None))
    asyncio.run(simulation.run())
    simulation.report.seconds = time.monotonic() - began
    return simulation.report


class _Simulation:
    """All workers of one plan; they share a queue of conversations and a report."""

    def __init__(self, db: Database, config: CollectConfig, plan: Plan, on_progress: OnProgress) -> None:
        self.db = db
        self.config = config
        self.plan = plan
        self.report = SimulationReport()
        self._on_progress = on_progress
        self._numbers = iter(range(plan.conversations))
        self._openings = {objective: self._shuffled(objective) for objective in plan.objectives}

    async def run(self) -> None:
        context = ssl.create_default_context()  # slow to make, so all workers share one
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(min(self.plan.workers, self.plan.conversations)):
                    group.create_task(self._work(number, context))
        except* UserError as errors:
            raise errors.exceptions[0] from None

    async def _work(self, number: int, context: ssl.SSLContext) -> None:
        name = f"scripted {number + 1}"
        worker, token = await asyncio.to_thread(add_worker, self.db, name, WorkerKind.SCRIPTED)
        async with httpx.AsyncClient(base_url=self.plan.url, timeout=30, verify=context) as client:
            browser = Browser(client, self.report)
            await browser.get(f"/w/{token}")
            for conversation in self._numbers:
                objective = self.plan.objectives[conversation % len(self.plan.objectives)]
                turns = wanted_turns(self.config, objective)
                await asyncio.to_thread(open_talk, self.db, worker.id, objective, turns, self.plan.study)
                await _Talk(self, browser, worker.id, conversation, objective).hold()
                self.report.conversations += 1
                self.progress()

    def opening(self, conversation: int, objective: Objective) -> str:
        """A different opening for each conversation, as long as there are any left."""
        texts = self._openings[objective]
        return texts[conversation % len(texts)]

    def chosen(self, row: dict[str, object]) -> None:
        """The server confirmed a choice."""
        self.report.choices += 1
        if self.plan.log is not None:
            with self.plan.log.open("a") as file:
                file.write(json.dumps(row) + "\n")
        self.progress()

    def progress(self) -> None:
        self._on_progress(self.report.conversations, self.report.choices)

    def _shuffled(self, objective: Objective) -> list[str]:
        texts = list(openings(objective))
        random.Random(f"{self.plan.taste.seed}:{self.plan.study}").shuffle(texts)
        return texts


class Browser:
    """One worker's HTTP client. Sends again what was not answered."""

    def __init__(self, client: httpx.AsyncClient, report: SimulationReport) -> None:
        self._client = client
        self._report = report

    async def get(self, address: str) -> ServedPage:
        """A page, after redirects."""
        answer = await self._send("GET", address, {})
        while answer.is_redirect:
            answer = await self._send("GET", answer.headers["location"], {})
        _require(answer, 200)
        return read_page(answer.text)

    async def post(self, form: ServedForm, **fields: str) -> ServedPage:
        """Send a form, and read the page that it leads to."""
        return await self.get(await self.submit(form, **fields))

    async def submit(self, form: ServedForm, **fields: str) -> str:
        """Send a form as the page offers it; returns where it leads. After that it is done for good."""
        assert set(fields) <= form.fields, f"{form.action} does not offer {set(fields) - form.fields}"
        answer = await self._send("POST", form.action, {**form.hidden, **fields})
        _require(answer, 303)
        location: str = answer.headers["location"]
        return location

    async def wait(self, stream: str) -> None:
        """Until both replies are complete or one failed, or the connection is lost."""
        try:
            async with self._client.stream("GET", stream, params={"only": "end"}) as answer:
                async for line in answer.aiter_lines():
                    if line in ("event: ready", "event: failed"):
                        return
        except httpx.TransportError:
            self._report.repeats += 1
        await asyncio.sleep(LOOK_SECONDS)

    async def _send(self, method: str, address: str, fields: dict[str, str]) -> httpx.Response:
        pause, end = 0.2, time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = await self._client.request(method, address, data=fields or None)
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer
                trouble = f"status {answer.status_code}"
                pause = max(pause, float(answer.headers.get("retry-after", 0)))
            except httpx.TransportError as error:
                trouble = str(error) or type(error).__name__
            if time.monotonic() > end:
                url = str(self._client.base_url)
                raise UserError(f"{url} does not answer ({trouble}); start it with 'concordant serve' and try again")
            self._report.repeats += 1
            await asyncio.sleep(pause)
            pause = min(3.0, pause * 1.6)


def _require(answer: httpx.Response, status: int) -> None:
    if answer.status_code != status:
        said = read_page(answer.text).problem or "no reason given"
        raise UserError(f"{answer.url.path} answered {answer.status_code} instead of {status}: {said}")


class _Talk:
    """One conversation of one scripted worker, from the opening to the rating."""

    def __init__(
        self, simulation: _Simulation, browser: Browser, worker: str, conversation: int, objective: Objective
    ) -> None:
        self._simulation = simulation
        self._browser = browser
        self._worker = worker
        self._objective = objective
        plan = simulation.plan
        self._rng = random.Random(f"{plan.taste.seed}:{plan.study}:{conversation}")
        self._pauses = random.Random(f"{plan.taste.seed}:{plan.study}:{conversation}:pauses")
        self._message = simulation.opening(conversation, objective)
        self._tastes: list[float] = []
        self._failures = 0
        self._looks = 0

    async def hold(self) -> None:
        page = await self._browser.get("/work")
        while True:
            if page.stream is not None:
                await self._browser.wait(page.stream)
                page = await self._browser.get("/work")
            elif form := page.form("/work/agree", "agreed"):
                page = await self._browser.post(form, agreed="1")
            elif form := page.form("/work/choose", "button"):
                await self._pause()
                page = await self._choose(form, page)
            elif form := page.form("/work/retry"):
                page = await self._try_again(form)
            elif form := page.form("/work/end", "rating"):
                await self._browser.post(form, rating=str(self._rating()))
                return
            elif form := page.form("/work/say", "text"):
                await self._pause()
                page = await self._browser.post(form, text=self._message)
            else:
                page = await self._look_again(page)

    async def _pause(self) -> None:
        if self._simulation.plan.pause:
            await asyncio.sleep(self._pauses.expovariate(1 / self._simulation.plan.pause))

    async def _choose(self, form: ServedForm, page: ServedPage) -> ServedPage:
        prompt = Conversation().human(self._message)
        taste, a, b = self._simulation.plan.taste, page.texts["a"], page.texts["b"]
        button = taste.choose(taste.gap(self._objective, prompt, a, b), self._rng)
        judge = helpful_taste if self._objective is Objective.HELPFUL else harmful_taste
        self._tastes.append(judge(prompt, a if button <= 4 else b))
        self._message = follow_up(self._objective, self._rng)
        shown = {"unveiled": "1"} if "unveiled" in form.fields else {}
        after = await self._browser.submit(form, button=str(button), **shown)
        comparison = form.hidden["comparison"]
        self._simulation.chosen({"worker": self._worker, "comparison": comparison, "button": button, "a": a, "b": b})
        self._looks = self._failures = 0
        return await self._browser.get(after)

    async def _look_again(self, page: ServedPage) -> ServedPage:
        """Nothing to do on this page: as a rule no model is in place yet."""
        self._looks += 1
        if self._looks * LOOK_SECONDS > PATIENCE_SECONDS:
            raise UserError(f"nothing to do for {PATIENCE_SECONDS:.0f} s; the page says: {page.problem or 'nothing'}")
        await asyncio.sleep(LOOK_SECONDS)
        return await self._browser.get("/work")

    async def _try_again(self, form: ServedForm) -> ServedPage:
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise UserError("replies cannot be written; the reason is in logs/generator.log of the programme's folder")
        await asyncio.sleep(1.0)
        return await self._browser.post(form)

    def _rating(self) -> int:
        """1 to 5, from how well the chosen replies met the taste."""
        mean = sum(self._tastes) / max(1, len(self._tastes))
        return 1 + sum(mean > cut for cut in (-1.0, 0.0, 1.0, 2.0))
