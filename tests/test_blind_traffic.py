"""Nothing that reaches a worker names a model or hints at one: all traffic of whole sessions, byte by byte.

Two ways: every secret is searched for in every answer, and the same session is held twice with the two models
exchanged, which must not change one byte. Times are ``test_blind_timing.py``.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from concordant.collect import replies_watch, worker_routes
from concordant.collect.heartbeat import GeneratorState, Heartbeat
from concordant.collect.replies_watch import RepliesWatch, Telling, events
from concordant.collect.reply_text import Show
from concordant.comparison import Objective
from concordant.sampler import Reply
from concordant.store import talk_views
from concordant.store.database import Database
from concordant.store.registry import Deployment, Snapshot, SnapshotKind, active_deployments, add_snapshot, deploy
from concordant.store.reply_queue import ReplyJob, claim, fail, finish, write_texts
from concordant.store.tables import ReplyRow
from concordant.store.talk_views import PendingComparison
from concordant.store.talks import Draw
from concordant.store.transcripts import Exchange
from visitors import Visitor, fresh_store, room_with

OWNER = "owner-of-the-lease"
SEEDS = (1_357_913_579, 2_468_024_680)
TOKENS, SCORES = (7_777_771, 7_777_772), (0.123454321, 9.876567891)
A, B = ["Alpha", "Alpha says", "Alpha says this."], ["Beta is", "Beta is longer here", "Beta is longer here, and done."]
IDS = re.compile(r"[0-9a-f]{32}")


@dataclass
class Wire:
    """Everything that a client hears, with ids put into the order in which they came."""

    heard: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)

    def listen(self, response: Any) -> None:
        response.read()
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.multi_items())
        self.say(f"{response.status_code} {response.request.method} {response.url}\n{headers}\n{response.text}")

    def say(self, text: str) -> None:
        self.raw.append(text)
        self.heard.append(self._same(text))

    def _same(self, text: str) -> str:
        named = IDS.sub(lambda found: self._names.setdefault(found[0], f"id {len(self._names)}"), text)
        # A link's secret, and the time of the cookie that holds it, are each session's own.
        return re.sub(r"(concordant_worker=|/w/)[\w-]+|expires=[^;]+", r"\1", named)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies_watch, "POLL_SECONDS", 0.002)


def two_models(db: Database) -> tuple[Snapshot, Snapshot]:
    """A model and best of k over it, with names, weights and folders that are found nowhere by chance."""
    spec = {"folder": "folder-of-the-base", "adapter": "adapter-of-the-policy"}
    one = add_snapshot(db, "label-one", SnapshotKind.MODEL, spec, run="run-of-one")
    other = add_snapshot(db, "label-two", SnapshotKind.BEST_OF_K, {"of": one.id, "pm": "folder-of-the-pm", "k": 61803})
    deploy(db, one.id, 0.731519)
    deploy(db, other.id, 0.268481)
    return one, other


def session(db: Database, folder: Path, objective: Objective, show: Show, one_is_a: bool) -> tuple[Wire, Visitor]:
    """A whole session of two turns: partial texts, a failure, a retry, a change of mind, ratings, the end."""
    policy = "helpful" if objective is Objective.HELPFUL else "red-team"
    room = room_with(
        db, folder, policy=policy, show=show, tasks=1, helpful_turns=2, red_team_turns=2, cross_model_share=1.0
    )
    room.heartbeat.beat(GeneratorState.WRITING)
    visitor, wire = Visitor(db, room, f"visitor {objective} {show}"), Wire()
    visitor.client.event_hooks["response"] = [wire.listen]
    with visitor.client:
        visitor.enter()
        for address in re.findall(r"/static/[\w./-]+", visitor.client.get("/work").text):
            visitor.client.get(address)
        visitor.send("/work/start")
        for turn in range(2):
            _turn(visitor, wire, show, one_is_a, turn)
        visitor.send("/work/end", "rating", rating="3", comment="It was fine.")
        visitor.client.get("/work")
    return wire, visitor


def _turn(visitor: Visitor, wire: Wire, show: Show, one_is_a: bool, turn: int) -> None:
    db, comparison = visitor.db, visitor.say(f"question {turn}")
    a, b = _jobs(db, one_is_a)
    wire.say(asyncio.run(_streamed(db, comparison, show, (a.reply_id, b.reply_id))))
    visitor.client.get("/work")
    fail(db, OWNER, a.reply_id, "snapshot label-one in folder-of-the-base broke")
    fail(db, OWNER, b.reply_id, "snapshot label-two in folder-of-the-pm broke")
    visitor.client.get(f"/work/stream/{comparison}")
    visitor.send("/work/retry")
    a, b = _jobs(db, one_is_a)
    tokens, scores = (TOKENS, SCORES) if one_is_a else (TOKENS[::-1], SCORES[::-1])
    finish(db, OWNER, {a.reply_id: Reply(A[-1], True, tokens[0], scores[0])})
    visitor.client.get("/work")
    finish(db, OWNER, {b.reply_id: Reply(B[-1], False, tokens[1], scores[1])})
    visitor.client.get(f"/work/stream/{comparison}")
    visitor.client.get(f"/work/stream/{comparison}", params={"only": "end"})
    visitor.choose(3)
    visitor.client.get("/work?again=1")
    form = visitor.page.form("/work/choose")
    assert form is None, "the choice is made"


def _jobs(db: Database, one_is_a: bool) -> tuple[ReplyJob, ReplyJob]:
    """The replies that are shown as A and as B. Reply 0 is always by the first model."""
    first, second = sorted(claim(db, OWNER, 10, 60.0), key=lambda job: job.seed)
    return (first, second) if one_is_a else (second, first)


async def _streamed(db: Database, comparison: str, show: Show, ids: tuple[str, str]) -> str:
    """What the stream of a pair says while its texts grow."""
    pieces, watch = [], RepliesWatch(db, Heartbeat(None))
    stream = events(watch, comparison, Telling(show=show))
    pieces.append(await anext(stream))
    if show == "together":
        pieces.append(await anext(stream))
    for text_a, text_b in zip(A[:-1], B[:-1], strict=True):
        await asyncio.to_thread(write_texts, db, OWNER, dict(zip(ids, (text_a, text_b), strict=True)))
        if show != "together":
            while text_a not in pieces[-1]:
                pieces.append(await anext(stream))
    await stream.aclose()
    return "".join(dict.fromkeys(pieces))


def draws(monkeypatch: pytest.MonkeyPatch, models: tuple[Snapshot, Snapshot], one_is_a: bool) -> None:
    drawn = Draw((models[0].id, models[1].id), SEEDS, swap=not one_is_a)
    monkeypatch.setattr(worker_routes, "draw", lambda *_: drawn)


MODES = [(objective, show) for objective in Objective for show in ("together", "lockstep", "free")]


@pytest.mark.parametrize(("objective", "show"), MODES)
def test_no_secret_is_in_any_answer(
    store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: Objective, show: Show
) -> None:
    models = two_models(store)
    draws(monkeypatch, models, True)
    wire, visitor = session(store, tmp_path, objective, show, True)
    secrets = set(_secrets(store, models, active_deployments(store))) | {
        visitor.room.seed * 40,
        visitor.room.secret * 40,
    }
    assert len(wire.raw) > 40 and len(secrets) > 25
    for answer in wire.raw:
        found = {secret for secret in secrets if secret in answer}
        assert not found, f"{found} in {answer[:200]}"
    told = {cookie.name for cookie in visitor.client.cookies.jar}
    assert told == {"concordant_worker"} and len({text for text in wire.raw if "set-cookie" in text.lower()}) == 1
    assert all("/static/" in "".join(wire.raw) and name in "".join(wire.raw) for name in ("worker.js", "room.css"))


def _secrets(db: Database, models: tuple[Snapshot, Snapshot], deployments: list[Deployment]) -> Iterator[str]:
    """Names, ids, folders, weights, seeds, scores and lengths: all that the store holds of who wrote what."""
    for one in models:
        yield from (one.id, one.label, *(str(value) for value in one.spec.values()), one.run or one.label)
    for deployment in deployments:
        yield from (deployment.id, str(deployment.weight))
    with db.read() as session:
        for row in session.scalars(select(ReplyRow)):
            yield from (row.id, str(row.seed), str(row.tokens), str(row.score), row.owner or OWNER)
            yield from ("broke", "best_of", "snapshot", "swap", "snapshot_id")


@pytest.mark.parametrize(("objective", "show"), MODES)
def test_exchanging_the_models_changes_no_byte(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: Objective, show: Show
) -> None:
    """Who writes A writes B in the other run; both show the same texts, and no client can tell which run it is."""
    heard = []
    for one_is_a in (True, False):
        folder = tmp_path / str(one_is_a)
        folder.mkdir()
        with fresh_store(sqlite_template, folder) as database:
            draws(monkeypatch, two_models(database), one_is_a)
            heard.append(session(database, folder, objective, show, one_is_a)[0].heard)
    assert len(heard[0]) == len(heard[1])
    for first, second in zip(*heard, strict=True):
        assert first == second


def test_a_leak_of_the_order_in_the_store_is_seen(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself: pages that show replies in the order in which the store holds them would give models away."""

    def in_order_of_the_store(turn: Exchange) -> PendingComparison:
        a, b = (talk_views.reply_view(reply) for reply in sorted(turn.replies, key=lambda reply: reply.place))
        return PendingComparison(turn.comparison.id, turn.message.turn, a, b)

    monkeypatch.setattr(talk_views, "_pending", in_order_of_the_store)
    with pytest.raises(AssertionError):
        test_exchanging_the_models_changes_no_byte(
            sqlite_template, tmp_path, monkeypatch, Objective.HELPFUL, "together"
        )
