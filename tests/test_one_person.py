"""One task, one person: sixty-four at once take what there is, and each thing is taken once, on either database."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from sqlalchemy import func, select

from concordant.comparison import Objective
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.day_tables import SittingRow
from concordant.store.people import participant, workers
from concordant.store.reply_queue import claim, finish, queue_length, write_text
from concordant.store.sittings import Handoff, Offer, begin_task, open_sitting
from concordant.store.tables import ReplyRow, TalkRow
from stories import ask, base_model, draw, person, write_replies

MANY = 64
T = TypeVar("T")


def at_once(work: Callable[[int], T]) -> list[T]:
    """The results of sixty-four threads that begin together."""
    together = threading.Barrier(MANY)

    def run(number: int) -> T:
        together.wait()
        return work(number)

    with ThreadPoolExecutor(MANY) as pool:
        return list(pool.map(run, range(MANY)))


@pytest.fixture
def queued(database: Database) -> Iterator[list[str]]:
    """Forty replies that wait, of twenty comparisons."""
    pair = draw(base_model(database))
    for number in range(20):
        ask(database, person(database, f"worker {number}"), pair)
    with database.read() as session:
        yield list(session.scalars(select(ReplyRow.id)))


def test_each_reply_is_leased_once(database: Database, queued: list[str]) -> None:
    leased = Counter(
        job.reply_id for jobs in at_once(lambda number: claim(database, f"writer {number}", 1, 60.0)) for job in jobs
    )
    assert leased == Counter(queued)
    assert (
        queue_length(database) == 0
        and at_once(lambda number: claim(database, f"late {number}", 9, 60.0)) == [[]] * MANY
    )


def test_greedy_writers_share_what_there_is(database: Database, queued: list[str]) -> None:
    taken = at_once(lambda number: [job.reply_id for job in claim(database, f"writer {number}", 7, 60.0)])
    assert Counter(one for some in taken for one in some) == Counter(queued)
    assert all(len(some) <= 7 for some in taken)


def test_a_lease_returns_after_its_owner_vanished_to_one_other(database: Database, queued: list[str]) -> None:
    assert len(claim(database, "vanished", MANY, 0.3)) == len(queued)
    assert claim(database, "early", MANY, 60.0) == [], "it is still theirs"
    time.sleep(0.35)
    jobs = [job for some in at_once(lambda number: claim(database, f"writer {number}", 2, 60.0)) for job in some]
    assert Counter(job.reply_id for job in jobs) == Counter(queued) and {job.attempt for job in jobs} == {2}
    write_text(database, queued[0], "vanished", "too late")
    finish(database, "vanished", {queued[1]: Reply("too late", True, 1)})
    with database.read() as session:
        rows = session.execute(
            select(ReplyRow.status, ReplyRow.text, func.count()).group_by(ReplyRow.status, ReplyRow.text)
        )
        assert [tuple(row) for row in rows] == [("writing", "", len(queued))]


def test_sixty_four_tabs_open_one_task(database: Database) -> None:
    worker = person(database)
    sitting = open_sitting(database, worker.id, Offer(5))

    def decide(*_: Any) -> tuple[Objective, int]:
        return Objective.HELPFUL, 4

    assert len(set(at_once(lambda _: begin_task(database, sitting.id, decide)))) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(TalkRow)) == 1


def test_sixty_four_visits_of_one_participant_are_one_worker_in_one_session(database: Database) -> None:
    def visit(_: int) -> str:
        worker, _token = participant(database, "panel", "p1")
        return open_sitting(database, worker.id, Offer(5), Handoff("panel", "study", "s1")).id

    assert len(set(at_once(visit))) == 1 and len(workers(database)) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(SittingRow)) == 1


def test_sixty_four_people_get_sixty_four_tasks(database: Database) -> None:
    model = base_model(database)
    people = [person(database, f"worker {number}") for number in range(MANY)]
    asked = at_once(lambda number: ask(database, people[number], draw(model)))
    assert len({talk for talk, _ in asked}) == len({comparison for _, comparison in asked}) == MANY
    write_replies(database)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ReplyRow).where(ReplyRow.status == "done")) == 2 * MANY
