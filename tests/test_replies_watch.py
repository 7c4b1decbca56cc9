"""Streams of replies, driven without HTTP."""

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concordant.collect import replies_watch
from concordant.collect.assignment import redraw
from concordant.collect.heartbeat import Heartbeat
from concordant.collect.replies_watch import RepliesWatch, Telling, events
from concordant.collect.reply_text import so_far
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.kill_switch import stop
from concordant.store.overview import WatchedPair, watched_pairs
from concordant.store.registry import deploy
from concordant.store.reply_queue import claim, fail, finish, write_texts
from stories import ask, base_model, draw, person, policy_model, write_replies
from visitors import fresh_store

Step = Callable[[], object]


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_watch, "POLL_SECONDS", 0.01)


def asked(store: Database, name: str = "worker") -> str:
    return ask(store, person(store, name), draw(base_model(store)))[1]


def parse(event: str) -> tuple[str, dict[str, Any]]:
    name, data = event.strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def follow(store: Database, comparison: str, steps: list[Step], only_end: bool = False) -> list[tuple[str, Any]]:
    """The events of a stream in which each step happens after the one before it was seen."""

    async def run() -> list[tuple[str, Any]]:
        watch, heard = RepliesWatch(store, Heartbeat(None)), []
        async for event in events(watch, comparison, Telling(only_end, "lockstep")):
            if event.startswith("event"):
                heard.append(parse(event))
            if steps:
                await asyncio.to_thread(steps.pop(0))
        return heard

    return asyncio.run(run())


def test_whole_texts_at_one_pace_in_numbered_events(store: Database) -> None:
    comparison = asked(store)
    jobs = {job.seed: job.reply_id for job in claim(store, "w", 10, 60.0)}

    def write(first: str, second: str) -> Step:
        return lambda: write_texts(store, "w", {jobs[0]: first, jobs[1]: second})

    def finish() -> None:
        from concordant.sampler import Reply
        from concordant.store.reply_queue import finish as done

        done(store, "w", {jobs[0]: Reply("one **two** three four", True, 4), jobs[1]: Reply("eins zwei drei", True, 3)})

    heard = follow(store, comparison, [lambda: None, write("one **two** three", "eins zwei"), finish])
    assert [name for name, _ in heard] == ["text", "text", "ready"]
    assert [data["seq"] for _, data in heard] == [1, 2, 3]
    assert heard[0][1] == {"seq": 1, "a": "", "b": "", "note": "Writing two replies…"}
    assert heard[1][1]["a"] == "<p>one <strong>two</strong></p>\n" and heard[1][1]["b"] == "<p>eins zwei</p>\n"


def test_a_failed_reply_ends_the_stream(store: Database) -> None:
    comparison = asked(store)
    jobs = claim(store, "w", 10, 60.0)

    def both_fail() -> None:
        for job in jobs:
            fail(store, "w", job.reply_id, "broken")

    assert [name for name, _ in follow(store, comparison, [both_fail])] == ["failed"]


def test_what_a_stopped_model_had_begun_leaves_the_page(store: Database) -> None:
    """The page is made anew from the store, where it is no more."""
    comparison, base = asked(store), base_model(store)
    only = deploy(store, base.id, 1.0)
    other = deploy(store, policy_model(store).id, 1.0)
    jobs = claim(store, "w", 10, 60.0)

    def write() -> None:
        write_texts(store, "w", {job.reply_id: "something terrible" for job in jobs})

    heard = follow(store, comparison, [lambda: None, write, lambda: stop(store, only.id, redraw(random.Random(0)))])
    assert [name for name, _ in heard] == ["text", "text", "failed"]
    pair = watched_pairs(store, [comparison])[comparison].pair
    assert (pair.a.text, pair.b.text, pair.a.status) == ("", "", "queued")
    assert {job.snapshot_id for job in claim(store, "w", 10, 60.0)} == {other.snapshot.id}


def test_only_the_end(store: Database) -> None:
    comparison = asked(store)
    heard = follow(store, comparison, [lambda: write_replies(store)], only_end=True)
    assert heard == [("ready", {"seq": 1})]


def test_a_text_never_shrinks_within_a_stream(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store keeps texts from shrinking; a stream does too, whatever it is given."""
    comparison = asked(store)
    texts = iter(["one two three", "one", "o", "other words that are longer now"])
    jobs = claim(store, "w", 10, 60.0)
    write_texts(store, "w", {job.reply_id: "x" for job in jobs})

    def shown(db: Database, ids: tuple[str, ...]) -> dict[str, WatchedPair]:
        from dataclasses import replace

        text = next(texts, None)
        if text is None:
            write_replies(db)
            fail(db, "w", jobs[0].reply_id, "end of the test")
            fail(db, "w", jobs[1].reply_id, "end of the test")
            return watched_pairs(db, ids)
        found = watched_pairs(db, ids)[comparison]
        pair = replace(found.pair, a=replace(found.pair.a, text=text), b=replace(found.pair.b, text=text))
        return {comparison: replace(found, pair=pair)}

    monkeypatch.setattr(replies_watch, "watched_pairs", shown)
    sent = [data["a"] for name, data in follow(store, comparison, []) if name == "text"]
    assert sent == ["<p>one two three</p>\n", "<p>other words that are longer now</p>\n"]


def test_many_streams_share_one_look(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    comparisons = [asked(store, f"worker {n}") for n in range(8)]
    looks: list[int] = []

    def counted(db: Database, ids: tuple[str, ...]) -> dict[str, WatchedPair]:
        looks.append(len(ids))
        if len(looks) == 5:
            write_replies(db)
        return watched_pairs(db, ids)

    monkeypatch.setattr(replies_watch, "watched_pairs", counted)

    async def run() -> list[list[str]]:
        watch = RepliesWatch(store, Heartbeat(None))

        async def one(comparison: str) -> list[str]:
            return [event async for event in events(watch, comparison, Telling(True))]

        return await asyncio.gather(*(one(comparison) for comparison in comparisons))

    for heard in asyncio.run(run()):
        assert heard[0] == "retry: 1000\n\n" and heard[-1].startswith("event: ready")
    assert max(looks) == 8 and len(looks) <= 7


def test_a_stream_ends_with_its_process(store: Database) -> None:
    async def run() -> list[str]:
        watch, looks = RepliesWatch(store, Heartbeat(None)), iter([False, False, True])
        return [event async for event in events(watch, asked(store), Telling(True, stopping=lambda: next(looks)))]

    assert asyncio.run(run()) == ["retry: 1000\n\n"]


def test_a_silent_stream_says_that_it_lives(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_watch, "SILENCE_SECONDS", 0.03)
    comparison = asked(store)

    async def run() -> list[str]:
        watch, heard = RepliesWatch(store, Heartbeat(None)), []
        async for event in events(watch, comparison, Telling(True)):
            heard.append(event)
            if event.startswith(":"):
                await asyncio.to_thread(write_replies, store)
        return heard

    assert ": still writing\n\n" in asyncio.run(run())


def test_together_tells_nothing_of_the_texts_before_both_are_complete(store: Database) -> None:
    comparison = asked(store)
    jobs = claim(store, "w", 10, 60.0)

    async def run() -> list[str]:
        watch, heard = RepliesWatch(store, Heartbeat(None)), []
        write_texts(store, "w", {job.reply_id: "some words here" for job in jobs})
        async for event in events(watch, comparison, Telling()):
            heard.append(event)
            if len(heard) == 2:
                await asyncio.to_thread(write_texts, store, "w", {jobs[0].reply_id: "some words here and more"})
                for job in jobs:
                    await asyncio.to_thread(finish, store, "w", {job.reply_id: Reply("all of it", True, 3)})
        return heard

    heard = asyncio.run(run())
    assert heard[-1].startswith("event: ready")
    assert not any("words here" in event or "all of it" in event for event in heard)


def test_free_shows_each_reply_as_far_as_it_is() -> None:
    assert so_far("free", "one two", "one") == ("one two", "one")
    assert so_far("lockstep", "one two", "one") == ("one", "one")
    assert so_far("together", "one two", "one") == ("", "")
