"""Workers and the secrets in their links."""

from sqlalchemy import select, text

from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_staff_token, add_worker, is_staff_token, worker_by_token, workers
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
