"""API requests in the store: fair, bounded, and without a trace of text once they are over."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from concordant.conversation import Conversation
from concordant.sampler import Reply
from concordant.store.api_keys import add_key
from concordant.store.api_requests import (
    GONE_SECONDS,
    MOST_ATTEMPTS,
    Asked,
    Bounds,
    QueueFull,
    api_waits,
    ask,
    fail,
    finish,
    forget_gone,
    hand_over,
    put_back,
    seen,
    states,
    take,
    write,
)
from concordant.store.database import Database
from concordant.store.deployment_tables import ApiRequestRow
from concordant.store.kill_switch import stop
from concordant.store.registry import SnapshotKind, deploy
from concordant.store.tables import ReplyRow
from stories import base_model

HELLO = Conversation().human("a secret question")
ASKED = Asked(n=2, max_tokens=5, temperature=0.5, seed=9)
WIDE = Bounds(10, 10)


class Desk:
    """A store with a deployed model and two keys."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.base = base_model(db)
        self.deployment = deploy(db, self.base.id, 1.0)
        self.keys = [add_key(db, name)[0].id for name in ("one", "two")]

    def ask(self, key: int = 0, bounds: Bounds = WIDE) -> str:
        return ask(self.db, self.keys[key], self.base.id, HELLO, ASKED, bounds)

    def take(self, owner: str = "w") -> str:
        job = take(self.db, owner, 60.0)
        return "" if job is None else job.id

    def status(self, id: str) -> str:
        return states(self.db, [id])[id].status

    def texts_kept(self) -> int:
        with self.db.read() as session:
            rows = session.scalars(select(ApiRequestRow)).all()
            return sum(row.prompt is not None or row.texts is not None for row in rows)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_from_the_question_to_the_answer(desk: Desk) -> None:
    db, id = desk.db, desk.ask()
    assert api_waits(db) and api_waits(db, {SnapshotKind.MODEL}) and not api_waits(db, {SnapshotKind.ENDPOINT})
    job = take(db, "w", 60.0)
    assert job is not None and (job.id, job.prompt, job.asked, job.attempt) == (id, HELLO, ASKED, 1)
    assert not api_waits(db) and desk.take("other") == ""
    assert write(db, "w", id, ["he", ""], 60.0) and not write(db, "other", id, ["xx", "x"], 60.0)
    assert states(db, [id])[id].texts == ("he", "")
    finish(db, "w", id, [Reply("hello", True, 4, prompt_tokens=6), Reply("hey\x00", False, 5, prompt_tokens=6)])
    state = states(db, [id])[id]
    assert (state.status, state.texts, state.finished) == ("done", ("hello", "hey\ufffd"), (True, False))
    assert (state.prompt_tokens, state.completion_tokens) == (6, 9)
    hand_over(db, id)
    assert desk.texts_kept() == 0 and desk.status(id) == "done"
    with db.read() as session:
        assert session.scalars(select(ReplyRow)).all() == [], "no part of any comparison"


def test_a_client_that_goes_away_cancels(desk: Desk) -> None:
    waiting, begun = desk.ask(), desk.ask()
    assert desk.take() == waiting
    for id in (waiting, begun):
        hand_over(desk.db, id)
    assert not write(desk.db, "w", waiting, ["x", "y"], 60.0)
    finish(desk.db, "w", waiting, [Reply("x", True, 1)] * 2)
    assert {desk.status(id) for id in (waiting, begun)} == {"cancelled"}
    assert desk.texts_kept() == 0 and desk.take() == ""


def test_texts_are_erased_where_the_serving_process_died(desk: Desk) -> None:
    done, waiting, alive = (desk.ask() for _ in range(3))
    assert desk.take() == done
    finish(desk.db, "w", done, [Reply("x", True, 1)] * 2)
    with desk.db.write() as session:
        session.execute(update(ApiRequestRow).values(seen=datetime.now(UTC) - timedelta(seconds=GONE_SECONDS + 1)))
    seen(desk.db, [alive])
    forget_gone(desk.db)
    assert [desk.status(id) for id in (done, waiting, alive)] == ["done", "cancelled", "queued"]
    assert desk.texts_kept() == 1


def test_the_queue_is_bounded_for_all_and_for_each(desk: Desk) -> None:
    first = desk.ask(bounds=Bounds(3, 2))
    desk.ask(bounds=Bounds(3, 2))
    with pytest.raises(QueueFull) as own:
        desk.ask(bounds=Bounds(3, 2))
    desk.ask(1, Bounds(3, 2))
    with pytest.raises(QueueFull) as all_together:
        desk.ask(1, Bounds(3, 2))
    assert (own.value.own, all_together.value.own) == (True, False)
    hand_over(desk.db, first)
    desk.ask(1, Bounds(3, 2))


def test_keys_take_turns(desk: Desk) -> None:
    many = [desk.ask(0) for _ in range(3)]
    late = desk.ask(1)
    assert [desk.take() for _ in range(4)] == [many[0], late, many[1], many[2]]


def test_a_stopped_model_answers_no_program_either(desk: Desk) -> None:
    begun, waiting = desk.ask(), desk.ask()
    assert desk.take() == begun
    stop(desk.db, desk.deployment.id, lambda live, orphan: None)
    assert not write(desk.db, "w", begun, ["x", "y"], 60.0)
    assert desk.take() == ""
    state = states(desk.db, [waiting])[waiting]
    assert (state.status, state.error) == ("failed", "The model is no longer deployed.")
    late = desk.ask()
    assert desk.take() == "" and desk.status(late) == "failed"


def test_what_is_done_when_its_model_is_stopped_is_not_shown(desk: Desk) -> None:
    id = desk.ask()
    desk.take()
    stop(desk.db, desk.deployment.id, lambda live, orphan: None)
    finish(desk.db, "w", id, [Reply("x", True, 1)] * 2)
    assert desk.status(id) == "failed" and desk.texts_kept() == 0


def test_a_writer_that_dies_is_followed_by_another_and_not_for_ever(desk: Desk) -> None:
    id = desk.ask()
    put_back_once = take(desk.db, "w", 60.0)
    assert put_back_once is not None
    put_back(desk.db, "w", id)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        job = take(desk.db, f"w{attempt}", -1.0)
        assert job is not None and job.attempt == attempt
    assert desk.take() == "" and desk.status(id) == "failed"


def test_a_failure_says_whose_it_was(desk: Desk) -> None:
    ids = [desk.ask(), desk.ask()]
    for id, refused in zip(ids, (True, False), strict=True):
        assert desk.take() == id
        fail(desk.db, "w", id, "too long", refused)
    assert [states(desk.db, [id])[id].status for id in ids] == ["refused", "failed"]
