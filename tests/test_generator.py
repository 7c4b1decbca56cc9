"""The reply generator over a real store, with samplers that behave, break, stall or hang."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from concordant.collect import generator
from concordant.collect.assignment import redraw
from concordant.collect.generator import batch_seed, by_snapshot, gather, run_generator
from concordant.collect.heartbeat import GeneratorState, Heartbeat
from concordant.conversation import Conversation
from concordant.endpoint_sampler import EndpointFailed
from concordant.errors import UserError
from concordant.sampler import OnText, Reply, Sampler, ScriptedSampler
from concordant.store.database import Database
from concordant.store.deployment_tables import FailureRow
from concordant.store.kill_switch import stop
from concordant.store.registry import Snapshot, SnapshotKind, add_snapshot, deploy
from concordant.store.reply_queue import ReplyJob, claim
from concordant.store.talk_views import ReplyStatus, view
from concordant.store.talks import retry
from stories import ask, base_model, draw, person, policy_model
from visitors import fresh_store


@dataclass
class Recording:
    """A scripted sampler that remembers its calls; ``before`` runs inside each."""

    before: Callable[[OnText | None], None] = lambda on_text: None
    calls: list[tuple[int, int]] = field(default_factory=list)

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        self.calls.append((len(conversations), seed))
        self.before(on_text)
        return ScriptedSampler().sample(conversations, n, seed, on_text)


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLUSH_SECONDS", "IDLE_SECONDS", "GATHER_SECONDS"):
        monkeypatch.setattr(generator, name, 0.02)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.01)


class Running:
    """The generator in a thread while the block lasts."""

    def __init__(self, db: Database, samplers: Callable[[Snapshot], Sampler], heartbeat: Heartbeat | None = None):
        self.stop = threading.Event()
        self.error: BaseException | None = None

        def run() -> None:
            try:
                run_generator(db, samplers, self.stop, 32, heartbeat)
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def statuses(db: Database, talk: str) -> set[ReplyStatus]:
    pending = view(db, talk).pending
    assert pending is not None
    return {pending.a.status, pending.b.status}


def test_replies_are_written_in_batches_by_snapshot(store: Database) -> None:
    base, policy = base_model(store), policy_model(store)
    talks = [ask(store, person(store, f"worker {n}"), draw(base, policy))[0] for n in range(5)]
    samplers = {base.id: Recording(), policy.id: Recording()}
    with Running(store, lambda snapshot: samplers[snapshot.id]):
        until(lambda: all(statuses(store, talk) == {ReplyStatus.DONE} for talk in talks))
    assert [[size for size, _ in sampler.calls] for sampler in samplers.values()] == [[5], [5]]
    pending = view(store, talks[0]).pending
    assert pending is not None and pending.a.text in ScriptedSampler().replies


def test_texts_appear_while_they_are_written(store: Database) -> None:
    talk, _ = ask(store, person(store), draw(base_model(store)))

    def slowly(on_text: OnText | None) -> None:
        assert on_text is not None
        on_text(0, 0, "so far")
        until(lambda: "so far" in {pending.a.text, pending.b.text} if (pending := view(store, talk).pending) else False)

    sampler = Recording(slowly)
    with Running(store, lambda snapshot: sampler):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE})
    assert len(sampler.calls) == 1


def test_a_sampler_that_breaks_fails_its_replies_only(store: Database, caplog: pytest.LogCaptureFixture) -> None:
    base, policy = base_model(store), policy_model(store)
    talk, comparison = ask(store, person(store), draw(base, policy))
    broken = {"now": True}

    def breaks(on_text: OnText | None) -> None:
        if broken["now"]:
            raise ZeroDivisionError("a defect of the model")

    samplers = {base.id: Recording(), policy.id: Recording(breaks)}
    with caplog.at_level(logging.ERROR), Running(store, lambda snapshot: samplers[snapshot.id]):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE, ReplyStatus.FAILED})
        pending = view(store, talk).pending
        assert pending is not None and "a defect of the model" not in f"{pending.a.error}{pending.b.error}"
        assert "a defect of the model" in caplog.text and "Traceback" in caplog.text
        broken["now"] = False
        retry(store, comparison)
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE})


class FitsShortOnes(ScriptedSampler):
    """Cannot take conversations of more than twenty characters."""

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        if any(len(conversation.first_human_turn) > 20 for conversation in conversations):
            raise UserError("the last message does not fit the model's context; make it shorter")
        return super().sample(conversations, n, seed, on_text)


def test_one_message_that_does_not_fit_fails_alone_and_says_why(store: Database) -> None:
    deployed = draw(base_model(store))
    talks = [ask(store, person(store, f"worker {number}"), deployed)[0] for number in range(3)]
    long, _ = ask(store, person(store, "long"), deployed, text="many words " * 100)
    with Running(store, lambda snapshot: FitsShortOnes()):
        until(lambda: statuses(store, long) == {ReplyStatus.FAILED})
        until(lambda: all(statuses(store, talk) == {ReplyStatus.DONE} for talk in talks))
    pending = view(store, long).pending
    assert (
        pending is not None and pending.a.error == "the last message does not fit the model's context; make it shorter"
    )


def test_a_snapshot_that_cannot_be_loaded_fails_its_replies(store: Database) -> None:
    talk, _ = ask(store, person(store), draw(base_model(store)))

    def missing(snapshot: Snapshot) -> Sampler:
        raise FileNotFoundError("no such folder")

    with Running(store, missing):
        until(lambda: statuses(store, talk) == {ReplyStatus.FAILED})


def test_leases_are_renewed_while_a_sampler_is_silent(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best-of-k says nothing until its end; nobody else may take its replies in the meantime."""
    monkeypatch.setattr(generator, "LEASE_SECONDS", 0.6)
    monkeypatch.setattr(generator, "RENEW_SECONDS", 0.1)
    talk, _ = ask(store, person(store), draw(base_model(store)))
    stolen: list[ReplyJob] = []

    def silent(on_text: OnText | None) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            stolen.extend(claim(store, "another", 10, 60.0))
            time.sleep(0.1)

    with Running(store, lambda snapshot: Recording(silent)):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE})
    assert stolen == []


def test_stopping_ends_a_sampler_and_loses_nothing(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "LEASE_SECONDS", 0.5)
    talk, _ = ask(store, person(store), draw(base_model(store)))
    started = threading.Event()

    def endless(on_text: OnText | None) -> None:
        assert on_text is not None
        started.set()
        for number in range(10_000):
            on_text(0, 0, "word " * number)
            time.sleep(0.01)

    with Running(store, lambda snapshot: Recording(endless)):
        assert started.wait(20)
    assert ReplyStatus.FAILED not in statuses(store, talk)
    with Running(store, lambda snapshot: Recording()):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE})


def test_a_store_that_fails_ends_the_generator(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not go on writing what nobody sees; whoever started it starts it again."""
    ask(store, person(store), draw(base_model(store)))

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(generator, "write_texts", full)

    def long(on_text: OnText | None) -> None:
        assert on_text is not None
        for number in range(1, 10_000):
            on_text(0, 0, "word " * number)
            time.sleep(0.01)

    with Running(store, lambda snapshot: Recording(long)) as running:
        until(lambda: running.error is not None)
    assert isinstance(running.error, OSError)


def test_it_says_what_it_does(store: Database, tmp_path: Path) -> None:
    heartbeat, seen = Heartbeat(tmp_path / "state"), set()
    talk, _ = ask(store, person(store), draw(base_model(store)))

    def look(on_text: OnText | None) -> None:
        until(lambda: heartbeat.read() is GeneratorState.WRITING)
        seen.add(heartbeat.read())

    with Running(store, lambda snapshot: Recording(look), heartbeat):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE} and heartbeat.read() is GeneratorState.IDLE)
    assert seen == {GeneratorState.WRITING}


def test_gathering_waits_for_newcomers_but_not_for_ever(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    assert gather(store, stop, 32) is False
    lengths = iter([2, 4, 6, 6, 6])
    monkeypatch.setattr(generator, "queue_length", lambda db, kinds: next(lengths))
    assert gather(store, stop, 32) is True
    assert list(lengths) == [6]
    monkeypatch.setattr(generator, "queue_length", lambda db, kinds: 32)
    assert gather(store, stop, 32) is True  # a full batch waits for nobody


def test_a_batch_has_one_seed_made_of_all_its_jobs_seeds() -> None:
    def job(name: str, snapshot: str, seed: int) -> ReplyJob:
        return ReplyJob(name, Conversation().human("hi"), snapshot, seed, 1)

    jobs = [job("1", "x", 5), job("2", "y", 6), job("3", "x", 7)]
    assert [[found.reply_id for found in group] for group in by_snapshot(jobs)] == [["1", "3"], ["2"]]
    # sha256("5,6,7") begins with the four bytes below; the sign bit is cut off.
    import hashlib

    first = int(hashlib.sha256(b"5,6,7").hexdigest()[:8], 16)
    assert batch_seed(jobs) == first % 2**31
    assert batch_seed(jobs) != batch_seed(jobs[:2]) != batch_seed(jobs[::-1])


def test_an_endpoint_that_hangs_holds_up_nobody_and_loses_its_replies_when_it_is_stopped(store: Database) -> None:
    """Models here go on meanwhile, another endpoint too, and after the kill switch others write its replies."""
    base = base_model(store)
    slow, quick = (
        add_snapshot(store, name, SnapshotKind.ENDPOINT, {"url": "http://h/v1", "model": name, "key_env": None})
        for name in ("slow", "quick")
    )
    bad = deploy(store, slow.id, 1.0)
    for snapshot in (base, quick):
        deploy(store, snapshot.id, 1.0)
    free = threading.Event()

    def hangs(on_text: OnText | None) -> None:
        assert on_text is not None
        on_text(0, 0, "never to be seen")
        while not free.wait(0.02):
            on_text(0, 0, "never to be seen")

    samplers = {slow.id: Recording(hangs), quick.id: Recording(), base.id: Recording()}
    talks = [
        ask(store, person(store, f"worker {n}"), draw(one, other))[0]
        for n, (one, other) in enumerate([(slow, slow), (quick, quick), (base, base), (base, slow)])
    ]
    with Running(store, lambda snapshot: samplers[snapshot.id]):
        until(lambda: statuses(store, talks[1]) == statuses(store, talks[2]) == {ReplyStatus.DONE})
        until(lambda: len(samplers[slow.id].calls) == 3)
        assert statuses(store, talks[0]) == {ReplyStatus.WRITING}
        assert stop(store, bad.id, redraw(random.Random(0))).redrawn == 3
        until(lambda: all(statuses(store, talk) == {ReplyStatus.DONE} for talk in talks))
        free.set()
    for talk in talks:
        pending = view(store, talk).pending
        assert pending is not None and "never" not in pending.a.text + pending.b.text
    assert all(size == 1 for size, _ in samplers[slow.id].calls), "each reply of an endpoint is a request of its own"


def test_what_an_endpoint_says_of_itself_goes_to_the_log_alone(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Before the worker it is a reply that failed, like any other."""
    spec = {"url": "http://inside:8000/v1", "model": "secret-model", "key_env": None}
    far = add_snapshot(store, "far", SnapshotKind.ENDPOINT, spec)
    talk, _ = ask(store, person(store), draw(far, base_model(store)))

    def breaks(on_text: OnText | None) -> None:
        raise EndpointFailed("secret-model at http://inside:8000/v1: status 500")

    samplers = {far.id: Recording(breaks)}
    with caplog.at_level(logging.ERROR), Running(store, lambda snapshot: samplers.get(snapshot.id, Recording())):
        until(lambda: statuses(store, talk) == {ReplyStatus.DONE, ReplyStatus.FAILED})
    assert "secret-model at http://inside:8000/v1" in caplog.text
    shown = repr(view(store, talk))
    assert "secret" not in shown and "inside" not in shown and "far" not in shown
    with store.read() as session:
        (failure,) = session.scalars(select(FailureRow)).all()
    assert failure.snapshot_id == far.id and "status 500" in failure.reason
