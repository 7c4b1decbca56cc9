"""A worker's task that begins with a given message, on the pages."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from concordant.collect import generator
from concordant.collect.given import given_opening
from concordant.comparison import Objective
from concordant.sampler import ScriptedSampler
from concordant.store.database import Database
from concordant.store.opt_outs import opt_out
from concordant.store.people import WorkerKind, add_worker
from concordant.store.registry import Snapshot, deploy
from concordant.store.written import add_written, read_written
from stories import base_model
from test_generator import Running
from visitors import Visitor, fresh_store, room_with


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    for name in ("FLUSH_SECONDS", "IDLE_SECONDS", "GATHER_SECONDS"):
        monkeypatch.setattr(generator, name, 0.02)
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def people(store: Database, tmp_path: Path) -> Snapshot:
    row = {"prompt": "Why is the sky blue?", "reply": "Light is **scattered**.", "writer": "Ann"}
    (tmp_path / "people.jsonl").write_text(json.dumps(row))
    return add_written(store, "label-of-people", "people.jsonl", read_written(tmp_path / "people.jsonl"))


def test_a_task_that_begins_with_a_given_message(store: Database, people: Snapshot) -> None:
    deploy(store, base_model(store).id, 1.0)
    deploy(store, people.id, 1e9)
    visitor = Visitor(store, room_with(store, tasks=2))
    with visitor.client, Running(store, lambda snapshot: ScriptedSampler()):
        visitor.enter()
        html = visitor.send("/work/start").text
        assert "a message that somebody else wrote" in html and "Why is the sky blue?" in html
        assert ">The message<" in html and ">You<" not in html
        visitor.client.get(f"{visitor.page.stream}?only=end") if visitor.page.stream else None
        html = visitor.client.get("/work").text
        assert "Light is <strong>scattered</strong>." in html and "label-of" not in html and "Ann" not in html
        visitor.choose(1)
        assert "choice" in visitor.client.get("/work").text
        visitor.send("/work/end", rating="4")
        html = visitor.send("/work/start").text
        assert "Why is the sky blue?" not in html and "somebody else" not in html, "not twice to one worker"


def test_people_alone_are_no_model_to_talk_with(store: Database, people: Snapshot) -> None:
    deploy(store, people.id, 1.0)
    visitor = Visitor(store)
    with visitor.client:
        assert "There is no model to talk with" in " ".join(visitor.enter().problem.split())


def test_nobody_is_given_what_they_opted_out_of(store: Database, tmp_path: Path) -> None:
    deploy(store, base_model(store).id, 1.0)
    rows = [("Tell me of a murder", "No."), ("Tell me a story", "They were killed."), ("Tell me why", "Just so.")]
    lines = [json.dumps({"prompt": prompt, "reply": reply, "writer": "Ann"}) for prompt, reply in rows]
    (tmp_path / "people.jsonl").write_text("\n".join(lines))
    people = add_written(store, "label-of-people", "people.jsonl", read_written(tmp_path / "people.jsonl"))
    deploy(store, people.id, 1e9)
    room = room_with(store)
    workers = [add_worker(store, f"w{number}", WorkerKind.PERSON)[0] for number in range(8)]

    def prompts(objective: Objective) -> set[str]:
        openings = [given_opening(room, worker, objective) for worker in workers]
        return {opening.written.prompt for opening in openings if opening is not None}

    assert len(prompts(Objective.HARMLESS)) > 1
    for worker in workers:
        opt_out(store, worker.id, ["violence"])
    assert prompts(Objective.HARMLESS) == {"Tell me why"}
    assert len(prompts(Objective.HELPFUL)) > 1, "helpful work is as ever"


def test_nothing_is_given_where_speed_would_tell(store: Database, people: Snapshot) -> None:
    deploy(store, base_model(store).id, 1.0)
    deploy(store, people.id, 1e9)
    worker, _ = add_worker(store, "w", WorkerKind.PERSON)
    given = {
        show: given_opening(room_with(store, show=show), worker, Objective.HELPFUL) for show in ("together", "free")
    }
    assert given["together"] is not None and given["free"] is None
