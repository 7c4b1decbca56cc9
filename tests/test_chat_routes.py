"""/v1 as a program uses it, over the application with a generator beside it."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import select

from concordant.collect import api_writer, generator
from concordant.collect.app import create_app
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.room import Room
from concordant.collect.scripted_replies import PacedSampler
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.programme_config import ApiConfig
from concordant.sampler import OnText, Reply, ReplyLimits, Sampler
from concordant.store.api_keys import add_key, revoke_key
from concordant.store.database import Database
from concordant.store.deployment_tables import ApiRequestRow
from concordant.store.kill_switch import stop
from concordant.store.registry import Snapshot, active_deployments, deploy, retire
from concordant.store.reply_queue import claim, finish
from served import free_port
from stories import ask as ask_as_worker
from stories import base_model, draw, person, policy_model
from visitors import fresh_store, room_with

HELLO = {"model": "base", "messages": [{"role": "user", "content": "hello there"}]}


class Echo:
    """Says its limits and the prompt, word by word; knows its tokens."""

    def __init__(self, limits: ReplyLimits | None = None) -> None:
        self.limits = limits or ReplyLimits(99)

    def with_limits(self, limits: ReplyLimits) -> "Echo":
        return Echo(limits)

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        if "too long" in conversations[0].turns[-1].text:
            raise UserError("the last message does not fit; make it shorter")
        if "break" in conversations[0].turns[-1].text:
            raise RuntimeError("a secret of the model at http://inside")
        text = f"{self.limits.max_tokens} {self.limits.temperature:g} {seed} {conversations[0].turns[-1].text}"
        return [[Reply(text, number == 0, 5, prompt_tokens=2) for number in range(n)] for _ in conversations]


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    for name in ("IDLE_SECONDS", "GATHER_SECONDS", "FLUSH_SECONDS"):
        monkeypatch.setattr(generator, name, 0.02)
    monkeypatch.setattr(api_writer, "SHOW_SECONDS", 0.0)
    monkeypatch.setattr(api_writer, "LOOK_SECONDS", 0.0)
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


class Service:
    """The application with a key and, while ``writing`` lasts, a generator."""

    def __init__(self, db: Database, room: Room) -> None:
        self.db = db
        self.base = base_model(db)
        deploy(db, self.base.id, 1.0)
        self.key, self.secret = add_key(db, "program")
        self.client = TestClient(create_app(room), headers={"authorization": f"Bearer {self.secret}"})

    def post(self, **body: Any) -> Any:
        return self.client.post("/v1/chat/completions", json={**HELLO, **body})

    def rows(self) -> Sequence[ApiRequestRow]:
        with self.db.read() as session:
            return session.scalars(select(ApiRequestRow).order_by(ApiRequestRow.created)).all()

    def erased(self) -> bool:
        until(lambda: all(row.texts is None and row.prompt is None and not row.kept for row in self.rows()))
        return True


class Writing:
    """A generator while the block lasts."""

    def __init__(self, db: Database, sampler: Sampler) -> None:
        self._stop = threading.Event()
        arguments = (db, lambda snapshot: sampler, self._stop)
        self._thread = threading.Thread(target=generator.run_generator, args=arguments)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 15 s"
        time.sleep(0.02)


@pytest.fixture
def service(store: Database, tmp_path: Path) -> Iterator[Service]:
    room = replace(room_with(store), api=ApiConfig(queue=3, per_key=2))
    found = Service(store, room)
    with found.client:
        yield found


def error_of(answer: Any) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


def test_a_whole_answer(service: Service) -> None:
    with Writing(service.db, Echo()):
        answer = service.post(n=2, max_tokens=7, temperature=0.5, seed=11)
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert (body["object"], body["model"], body["id"][:9]) == ("chat.completion", "base", "chatcmpl-")
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "7 0.5 11 hello there"}
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop", "length"]
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 10, "total_tokens": 12}
    assert service.erased()
    (row,) = service.rows()
    assert (row.status, row.completion_tokens) == ("done", 10), "counts stay"


def events(answer: Any) -> list[str]:
    return [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]


def test_a_stream(service: Service) -> None:
    body = {**HELLO, "stream": True, "n": 2, "stream_options": {"include_usage": True}, "seed": 3}
    paced = Paced(Echo(), 0.08)
    with Writing(service.db, paced), service.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        found = events(answer)
    assert found[-1] == "[DONE]"
    chunks = [json.loads(text) for text in found[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"} and len({c["id"] for c in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    texts, reasons, pieces = ["", ""], ["", ""], 0
    for chunk in chunks:
        for choice in chunk["choices"]:
            pieces += bool(choice["delta"].get("content"))
            texts[choice["index"]] += choice["delta"].get("content", "")
            reasons[choice["index"]] = choice["finish_reason"] or ""
    assert texts == ["1024 1 3 hello there"] * 2 and reasons == ["stop", "length"]
    assert pieces > 2, "not all at once"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 12
    assert service.erased()


class Paced(PacedSampler):
    """Word by word, under whatever limits."""

    def with_limits(self, limits: ReplyLimits) -> "Paced":
        assert isinstance(self.sampler, Echo)
        return Paced(self.sampler.with_limits(limits), self.seconds)


def test_only_a_valid_key_opens(service: Service) -> None:
    other = TestClient(create_app(room_with(service.db)))
    with other:
        for headers in ({}, {"authorization": "Bearer cc-guess"}, {"authorization": service.secret}):
            for answer in (
                other.get("/v1/models", headers=headers),
                other.post("/v1/chat/completions", json=HELLO, headers=headers),
            ):
                assert answer.status_code == 401 and error_of(answer)["code"] == "invalid_api_key"
                assert answer.headers["www-authenticate"] == "Bearer"
    revoke_key(service.db, "program")
    assert service.post().status_code == 401 and service.rows() == []


def test_the_models_are_those_that_are_live_and_allowed(service: Service) -> None:
    policy = policy_model(service.db)
    deployment = deploy(service.db, policy.id, 1.0)
    listed = service.client.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["base", "policy"] and listed["object"] == "list"
    assert service.client.get("/v1/models/policy").json()["object"] == "model"
    _, narrow = add_key(service.db, "narrow", labels=("base",))
    bearer = {"authorization": f"Bearer {narrow}"}
    assert len(service.client.get("/v1/models", headers=bearer).json()["data"]) == 1
    stop(service.db, deployment.id, lambda live, orphan: None)
    for answer in (service.post(model="policy"), service.client.get("/v1/models/nothing")):
        assert answer.status_code == 404 and error_of(answer)["code"] == "model_not_found"
    retire(service.db, active_deployments(service.db)[0].id)
    assert service.client.get("/v1/models").json()["data"] == []


def test_errors_are_error_objects(service: Service) -> None:
    assert error_of(service.post(tools=[]))["param"] == "tools"
    post = service.client.post
    for answer, status in (
        (post("/v1/chat/completions", content=b"{"), 400),
        (post("/v1/chat/completions", content=b"x" * 200_000), 413),
        (post("/v1/chat/completions", content=iter([b"x"])), 411),
        (post("/v1/chat/completions", json=HELLO, headers={"origin": "http://elsewhere"}), 403),
        (service.client.get("/v1/chat/completions"), 405),
        (service.client.get("/v1/nowhere"), 404),
    ):
        assert answer.status_code == status
        assert error_of(answer)["type"] in ("invalid_request_error", "not_found_error")
    assert service.rows() == []


def test_what_goes_wrong_while_writing(service: Service) -> None:
    def said(text: str) -> Any:
        return service.post(messages=[{"role": "user", "content": text}])

    with Writing(service.db, Echo()):
        long, broken = said("too long"), said("break")
        with service.client.stream(
            "POST",
            "/v1/chat/completions",
            json={**HELLO, "stream": True, "messages": [{"role": "user", "content": "break"}]},
        ) as answer:
            last = events(answer)[-1]
    assert long.status_code == 400 and "does not fit" in error_of(long)["message"]
    assert broken.status_code == 503 and broken.headers["retry-after"] and "inside" not in broken.text
    assert json.loads(last)["error"]["type"] == "server_error" and "inside" not in last
    assert service.erased()


def test_the_queue_is_bounded(service: Service, store: Database) -> None:
    """Nobody writes: two requests of one key wait, the third is sent away."""
    with Waiting(service) as first, Waiting(service) as second:
        until(lambda: len(service.rows()) == 2)
        answer = service.post()
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
        assert error_of(answer)["code"] == "rate_limit_exceeded"
        _, other = add_key(store, "other")
        with Waiting(service, other) as third:
            until(lambda: len(service.rows()) == 3)
            _, fourth = add_key(store, "fourth")
            full = service.client.post(
                "/v1/chat/completions", json=HELLO, headers={"authorization": f"Bearer {fourth}"}
            )
            assert full.status_code == 503 and full.headers["retry-after"]
            with Writing(service.db, Echo()):
                until(lambda: all(waiting.answer is not None for waiting in (first, second, third)))
    assert {waiting.answer.status_code for waiting in (first, second, third)} == {200}


class Waiting:
    """A request in a thread."""

    def __init__(self, service: Service, secret: str = "") -> None:
        self.answer: Any = None

        def run() -> None:
            headers = {"authorization": f"Bearer {secret or service.secret}"}
            self.answer = service.client.post("/v1/chat/completions", json=HELLO, headers=headers)

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> "Waiting":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)


@contextmanager
def on_a_socket(room: Room) -> Iterator[str]:
    """The application on a real socket, so that a client can hang up."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(room), port=port, log_level="critical", lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{port}/v1/chat/completions"
    finally:
        server.should_exit = True
        thread.join(20)


def test_a_client_that_goes_away_cancels_its_request(service: Service) -> None:
    """In the middle of a stream, and while it waits for a whole answer. Nobody writes here."""
    headers = {"authorization": f"Bearer {service.secret}"}
    with on_a_socket(room_with(service.db)) as url, httpx.Client(headers=headers, timeout=20) as client:
        with client.stream("POST", url, json={**HELLO, "stream": True}) as answer:
            assert "assistant" in next(answer.iter_lines())
        until(lambda: [row.status for row in service.rows()] == ["cancelled"])
        with pytest.raises(httpx.ReadTimeout):
            client.post(url, json=HELLO, timeout=0.5)
        until(lambda: [row.status for row in service.rows()] == ["cancelled"] * 2)
    assert service.erased()


def test_without_a_generator_it_says_so_and_keeps_nothing(store: Database, tmp_path: Path) -> None:
    room = room_with(store, tmp_path)
    service = Service(store, room)
    with service.client:
        answer = service.post()
        assert answer.status_code == 503 and answer.headers["retry-after"] and service.rows() == []
        room.heartbeat.beat(GeneratorState.IDLE)
        late = TestClient(
            create_app(replace(room, api=ApiConfig(wait_seconds=0.3))), headers=dict(service.client.headers)
        )
        with late:
            answer = late.post("/v1/chat/completions", json=HELLO)
        assert answer.status_code == 503 and error_of(answer)["code"] == "timeout"
        assert service.erased() and service.rows()[0].status == "cancelled"


def test_workers_come_first(service: Service) -> None:
    """A worker who comes while a program's reply is written gets theirs before it, and the program gets it whole."""
    order: list[str] = []
    arrived = threading.Event()

    class Watched(Echo):
        def with_limits(self, limits: ReplyLimits) -> "Watched":
            return self

        def sample(
            self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
        ) -> list[list[Reply]]:
            assert on_text is not None
            program = conversations[0].turns[0].text == "hello there"
            order.append("program begins" if program else "worker")
            if program and len(order) == 1:
                ask_as_worker(service.db, person(service.db), draw(service.base), text="from a worker")
                arrived.set()
                for _ in range(500):
                    on_text(0, 0, "a beginning")
                    time.sleep(0.01)
            return super().sample(conversations, n, seed, on_text)

    with Writing(service.db, Watched()):
        answer = service.post()
    assert arrived.is_set() and answer.status_code == 200
    assert order == ["program begins", "worker", "program begins"]


def test_a_worker_never_sees_a_request_and_a_program_no_comparison(service: Service) -> None:
    talk, comparison = ask_as_worker(service.db, person(service.db), draw(service.base))
    jobs = claim(service.db, "w", 10, 60.0)
    assert len(jobs) == 2
    finish(service.db, "w", {job.reply_id: Reply("for a worker", True, 1) for job in jobs})
    assert talk and comparison and service.rows() == []
    snapshot: Snapshot = service.base
    assert "for a worker" not in service.client.get("/v1/models").text and snapshot.label == "base"
