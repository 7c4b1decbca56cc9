"""Workers and the secrets in their links."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, text

from concordant.store.database import Database
from concordant.store.people import (
    WorkerKind,
    add_staff_token,
    add_worker,
    is_staff_token,
    participant,
    participant_of,
    participants,
    worker_by_token,
    workers,
)
from concordant.store.tables import StaffTokenRow, WorkerRow


def test_a_worker_is_found_by_their_token_alone(database: Database) -> None:
    ann, ann_token = add_worker(database, "Ann", WorkerKind.PERSON)
    script, script_token = add_worker(database, "script", WorkerKind.SCRIPTED)
    assert worker_by_token(database, ann_token) == ann
    assert worker_by_token(database, script_token) == script
    assert worker_by_token(database, ann_token[:-1]) is None
    assert worker_by_token(database, "") is None
    assert worker_by_token(database, "\ud800") is None
    assert ann.kind is WorkerKind.PERSON and script.kind is WorkerKind.SCRIPTED
    assert workers(database) == [ann, script]


def test_secrets_are_not_stored(database: Database) -> None:
    worker, token = add_worker(database, "Ann", WorkerKind.PERSON)
    staff = add_staff_token(database)
    with database.read() as session:
        row = session.get_one(WorkerRow, worker.id)
        stored = [row.token_hash, *session.scalars(select(StaffTokenRow.token_hash))]
        everything = str(session.execute(text("SELECT * FROM workers")).all())
    assert token not in everything
    assert all(len(digest) == 64 and digest not in (token, staff) for digest in stored)


def test_staff_tokens_open_the_researchers_pages_and_workers_tokens_do_not(database: Database) -> None:
    first, second = add_staff_token(database), add_staff_token(database)
    _, worker_token = add_worker(database, "Ann", WorkerKind.PERSON)
    assert is_staff_token(database, first) and is_staff_token(database, second)
    assert not is_staff_token(database, worker_token)
    assert not is_staff_token(database, first + "x")


def test_a_participant_is_one_worker_however_many_browsers_come_at_once(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: participant(database, "prolific", "p1"), range(8)))
    (worker,) = {worker for worker, _ in found}
    assert len({token for _, token in found}) == 8
    assert all(worker_by_token(database, token) == worker for _, token in found)
    assert workers(database) == [worker] and worker.kind is WorkerKind.PERSON
    other, _ = participant(database, "another panel", "p1")
    assert other != worker, "ids mean something only within their panel"
    own, _ = add_worker(database, "Ann", WorkerKind.PERSON)
    assert participants(database) == {worker.id: "p1", other.id: "p1"}
    assert (participant_of(database, worker.id), participant_of(database, own.id)) == ("p1", "")
