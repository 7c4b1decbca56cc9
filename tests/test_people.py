"""Workers and the secrets in their links."""

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from concordant.store.database import Database
from concordant.store.people import (
    WorkerKind,
    add_worker,
    participant,
    participant_of,
    participants,
    worker_by_token,
    workers,
)
from concordant.store.tables import WorkerRow


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
    with database.read() as session:
        row = session.get_one(WorkerRow, worker.id)
        stored = row.token_hash
        everything = str(session.execute(text("SELECT * FROM workers")).all())
    assert token not in everything
    assert len(stored) == 64 and stored != token


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
