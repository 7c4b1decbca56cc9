"""An acknowledged choice is never lost or doubled, whatever workers do and whichever process dies.

The same over a longer run with fifty workers: ``benchmarks/kept_choices.py``.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import astuple
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from clumsy import Clumsy, Killer, Ledger, verdict
from concordant.collect import replies_watch, simulate
from concordant.collect.heartbeat import Heartbeat
from concordant.collect.replies_watch import RepliesWatch, Telling, events
from concordant.comparison import Objective
from concordant.programme_config import CollectConfig
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.preferences import Filter, preferences
from concordant.store.reply_queue import claim, finish, write_texts
from served import Served
from stories import ask, base_model, draw, person, play
from visitors import fresh_store

WORKERS, TURNS = 6, 3


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_whatever_happens(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger()
    monkeypatch.setattr(simulate, "Browser", partial(Clumsy, ledger=ledger))
    settings = f'store = "{store_url}"\n[collect]\nhelpful_turns = {TURNS}\nred_team_turns = {TURNS}\n'
    database = Database.open(store_url)
    try:
        with Served(tmp_path / "p", settings, seconds=0.002) as served:
            killer = Killer(served, 0, (0.7, 1.5), most=3)
            killer.start()
            config = CollectConfig(helpful_turns=TURNS, red_team_turns=TURNS)
            plan = simulate.Plan(served.url, WORKERS, tuple(Objective), "kept", workers=WORKERS)
            report = simulate.simulate(database, config, plan)
            killer.stop()
        found = verdict(database, ledger)
        counted = sum(1 for _ in preferences(database, Filter(study="kept", keep_weakest=True)))
    finally:
        database.close()
    assert killer.killed["web"] >= 1 and killer.killed["generator"] >= 1 and report.repeats > 0
    assert all(ledger.sent[how] for how in ("double click", "another tab", "old form", "lost stream"))
    assert ledger.strange == []
    assert astuple(found) == (WORKERS * TURNS, 0, 0, 0, 0, 0, 0), "every page went on, and nothing was lost or doubled"
    assert counted == report.choices == WORKERS * TURNS


def test_the_verdict_sees_what_is_lost_and_what_is_doubled(database: Database) -> None:
    """The check itself: a choice that the store lacks, and one that nobody was told of."""
    (comparison,) = play(database, person(database), draw(base_model(database)), [3])
    right = Ledger(choices={(comparison, 3, "choose-1")}, messages=set())
    found = verdict(database, right)
    assert (found.kept, found.lost, found.doubled, found.unasked) == (1, 0, 0, 0)
    wrong = Ledger(choices={(comparison, 4, "choose-1")})
    assert (verdict(database, wrong).lost, verdict(database, wrong).unasked) == (1, 1)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


PIECES = 9
"""Most pieces of a writing of six looks: the stream's first line, nothing yet, six texts, and the end."""


@pytest.mark.parametrize("cut", range(PIECES + 1))
def test_a_stream_that_is_lost_at_any_piece_is_taken_up_again(
    store: Database, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.setattr(replies_watch, "POLL_SECONDS", 0.004)
    before, after = asyncio.run(_cut(store, cut))
    assert len(before) <= min(cut, PIECES) and after[-1].startswith("event: ready"), "the page goes on"
    texts = [json.loads(piece.partition("data: ")[2])["a"] for piece in before + after if "event: text" in piece]
    assert texts and all(len(later) >= len(sooner) for sooner, later in pairwise(texts)), "what was shown stays"


async def _cut(db: Database, cut: int) -> tuple[list[str], list[str]]:
    """What came before the stream was lost after so many pieces, and what came when it was opened again."""
    watch = RepliesWatch(db, Heartbeat(None))
    _, comparison = ask(db, person(db), draw(base_model(db)))
    first, second = (job.reply_id for job in claim(db, "writer", 2, 60.0))

    async def write() -> None:
        for words in range(1, 7):
            await asyncio.sleep(0.012)
            write_texts(db, "writer", {first: "word " * words, second: "other " * words})
        await asyncio.sleep(0.03)  # so that the second stream too sees a text
        finish(db, "writer", {one: Reply("word " * 7, True, 7) for one in (first, second)})

    writing = asyncio.create_task(write())
    parts = [await _read(events(watch, comparison, Telling(show="free")), limit) for limit in (cut, 1000)]
    await writing
    assert not watch._watched, "a lost stream is watched no more"
    return parts[0], parts[1]


async def _read(stream: AsyncGenerator[str, None], limit: int) -> list[str]:
    pieces: list[str] = []
    async with aclosing(stream) as left:
        while len(pieces) < limit:
            try:
                pieces.append(await anext(left))
            except StopAsyncIteration:
                break
    return pieces
