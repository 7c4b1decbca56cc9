"""Scripted workers who do all that people do to a page: double clicks, two tabs, old forms sent again, lost streams.

What the server confirmed goes into a ``Ledger``, which is then held against the store. Used by tests and benchmarks.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
from sqlalchemy import func, select

from concordant.collect.served_page import ServedForm
from concordant.collect.simulate import Browser, SimulationReport
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow
from served import Served

TAKEN, REFUSED = 303, 409
Fields = dict[str, str]


@dataclass(slots=True)
class Ledger:
    """What the workers were told.

    Attributes:
        choices: (comparison, button, key) of each choice that was confirmed.
        messages: (talk, key) of each message that was confirmed.
        sent: how often forms were sent, by what for.
        strange: answers that no form should get.
    """

    choices: set[tuple[str, int, str]] = field(default_factory=set)
    messages: set[tuple[str, str]] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)

    def note(self, action: str, fields: Fields, status: int) -> None:
        """An answer that came."""
        if status not in (TAKEN, REFUSED):
            self.strange.append(f"{action} answered {status}")
        if status == TAKEN and action == "/work/choose":
            self.choices.add((fields["comparison"], int(fields["button"]), fields["key"]))
        if status == TAKEN and action == "/work/say":
            self.messages.add((fields["talk"], fields["key"]))


class Clumsy(Browser):
    """A worker's client. Every form goes out twice at once, some a third time from another tab, and old ones later."""

    def __init__(self, client: httpx.AsyncClient, report: SimulationReport, ledger: Ledger) -> None:
        super().__init__(client, report)
        self._http = client
        self._ledger = ledger
        self._rng = random.Random(len(ledger.sent))
        self._old: list[tuple[str, Fields, int]] = []

    async def submit(self, form: ServedForm, **fields: str) -> str:
        """Send a form in every wrong way at once; exactly one of the two tabs is taken."""
        mine = {**form.hidden, **fields}
        sends = [mine, mine, *self._from_another_tab(form.action, mine)]
        self._rng.shuffle(sends)
        answers = await asyncio.gather(*(self._send("POST", form.action, one) for one in sends))
        taken = ""
        for one, answer in zip(sends, answers, strict=True):
            self._ledger.sent["double click" if one is mine else "another tab"] += 1
            self._ledger.note(form.action, one, answer.status_code)
            self._old.append((form.action, one, answer.status_code))
            if answer.status_code == TAKEN:
                taken = answer.headers["location"]
        if not taken:
            raise UserError(f"{form.action}: {[answer.status_code for answer in answers]}, so nobody was heard")
        if len({answer.status_code for one, answer in zip(sends, answers, strict=True) if one is mine}) != 1:
            self._ledger.strange.append(f"{form.action}: a double click had two answers")
        await self._replay()
        return taken

    async def wait(self, stream: str) -> None:
        """Open the stream and lose it again, after nothing, after one piece and after two; then wait."""
        for pieces in range(3):
            with suppress(httpx.TransportError, TimeoutError):
                await asyncio.wait_for(self._lose(stream, pieces), 0.3)
            self._ledger.sent["lost stream"] += 1
        await super().wait(stream)

    async def _lose(self, stream: str, pieces: int) -> None:
        async with self._http.stream("GET", stream) as answer:
            async for _ in answer.aiter_raw():
                if not pieces:
                    return
                pieces -= 1

    async def _replay(self) -> None:
        """An old form, as the back button sends it: it is answered as it was, and changes nothing."""
        action, fields, status = self._rng.choice(self._old)
        if action not in ("/work/choose", "/work/say", "/work/end"):
            return
        answer = await self._send("POST", action, fields)
        self._ledger.sent["old form"] += 1
        if answer.status_code != status:
            self._ledger.strange.append(f"{action} sent again answered {answer.status_code} after {status}")

    def _from_another_tab(self, action: str, mine: Fields) -> list[Fields]:
        if action == "/work/choose":
            return [{**mine, "key": uuid4().hex, "button": str(9 - int(mine["button"]))}]
        if action == "/work/say":
            return [{**mine, "key": uuid4().hex, "text": f"{mine['text']} (from another tab)"}]
        return []


class Killer(threading.Thread):
    """kill -9 of the web process or of the generator, at random moments, until it is told to stop."""

    def __init__(self, served: Served, seed: int, pause: tuple[float, float], most: int) -> None:
        super().__init__(name="killer")
        self._served, self._rng, self._pause, self._most = served, random.Random(seed), pause, most
        self._over = threading.Event()
        self.killed: Counter[str] = Counter()

    def run(self) -> None:
        """Web and generator in turn, so that a short run has both; when, is left to chance."""
        while self.killed.total() < self._most and not self._over.wait(self._rng.uniform(*self._pause)):
            if self.killed.total() % 2:
                self._served.kill_generator()
                self.killed["generator"] += 1
            else:
                self._served.kill()
                self._served.start()
                self.killed["web"] += 1

    def stop(self) -> None:
        """After the kill that is under way."""
        self._over.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ledger against the store. All but ``kept`` must be 0."""

    kept: int
    lost: int
    doubled: int
    unasked: int
    messages_lost: int
    messages_doubled: int
    replies_not_done: int


def verdict(db: Database, ledger: Ledger) -> Verdict:
    """Hold what workers were told against what the store has."""
    with db.read() as session:
        rows = session.execute(select(ChoiceRow.comparison_id, ChoiceRow.button, ChoiceRow.key)).all()
        said = session.execute(select(MessageRow.talk_id, MessageRow.key)).all()
        turns = session.execute(select(MessageRow.talk_id, MessageRow.turn)).all()
        comparisons = session.scalar(select(func.count()).select_from(ComparisonRow)) or 0
        waiting = session.scalar(select(func.count()).select_from(ReplyRow).where(ReplyRow.status != "done")) or 0
    choices, messages = {tuple(row) for row in rows}, {tuple(row) for row in said}
    per_comparison = Counter(comparison for comparison, _, _ in rows)
    assert comparisons == len(said), "each message has one comparison"
    return Verdict(
        kept=len(rows),
        lost=len(ledger.choices - choices),
        doubled=sum(number - 1 for number in per_comparison.values()),
        unasked=len(choices - ledger.choices),
        messages_lost=len(ledger.messages - messages),
        messages_doubled=len(turns) - len({tuple(turn) for turn in turns}) + len(messages - ledger.messages),
        replies_not_done=waiting,
    )


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something, and say so where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} not within {seconds:.0f} s"
        time.sleep(0.02)
