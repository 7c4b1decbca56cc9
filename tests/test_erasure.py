"""Erasure: the text goes, from rows and from the file's bytes; what is counted stays; nobody else can be touched."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.evaluate.elo import board, games_from_preferences
from concordant.sampler import Reply
from concordant.store import talk_views, talks
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.datasets import freeze, load_dataset
from concordant.store.deployment_tables import FailureRow
from concordant.store.edits import edit
from concordant.store.erasure import Written, erase, erasure_of, written_by
from concordant.store.exports import export
from concordant.store.letters import thread, write_letter
from concordant.store.pay_book import accounts
from concordant.store.pay_rules import Terms
from concordant.store.people import Worker, end_links, participant, permit_edits, worker_by_token
from concordant.store.people_tables import MARKER
from concordant.store.preferences import Filter, counts, preferences
from concordant.store.quality_tables import VerdictRow
from concordant.store.records import collected_records
from concordant.store.reply_queue import claim, finish
from concordant.store.sittings import Handoff, Offer, Outcome, end_sitting, open_sitting
from concordant.store.tables import Base, ReplyRow
from stories import ask, base_model, draw, person, play, policy_model, write_replies

SECRET = "xylophone"
"""A word that stands nowhere else."""
ERASABLE = {
    "messages": {"text"},
    "edits": {"text"},
    "replies": {"text", "error"},
    "talks": {"comment"},
    "sittings": {"panel_session"},
    "participants": {"participant"},
    "letters": {"text"},
    "verdicts": {"note"},
    "reply_failures": {"reason"},
}
"""What migrations 0007 and 0009 let go, table by table."""


def life(db: Database, name: str, secret: str = SECRET) -> Worker:
    """Somebody with text in every place that can hold it: two comparisons, one rewritten reply, an ended sitting."""
    worker, _ = participant(db, "prolific", f"{secret}-{name}")
    permit_edits(db, worker.id, True)
    base, policy = base_model(db), policy_model(db)
    sitting = open_sitting(db, worker.id, Offer(1), Handoff("prolific", "spring", f"session-{secret}"))
    talk = talks.open_talk(db, worker.id, Objective.HELPFUL, 2, "")
    for turn in (1, 2):
        comparison = talks.say(db, talk, f"tell me of the {secret} {turn}", f"k{turn}", draw(base, policy))
        write_replies(db, lambda job: f"the {secret} is {job.seed}")
        talks.choose(db, comparison, 2, f"c{turn}")
    edit(db, comparison, f"a better {secret}", "e")
    talks.end_talk(db, talk, talks.Ending(4, f"I liked the {secret}"))
    with db.write() as session:  # a reviewer's note, and why an earlier attempt at a reply failed
        session.add(VerdictRow(talk_id=talk, place=1, number=1, staff_id="boss", verdict=2, note=secret, key="v"))
        of_pair = ReplyRow.comparison_id == comparison, ReplyRow.place == 0
        reply = session.query(ReplyRow).filter(*of_pair).one()
        session.add(FailureRow(reply_id=reply.id, snapshot_id=reply.snapshot_id, reason=f"no answer to {secret}"))
    end_sitting(db, sitting.id, Outcome.LEFT)
    write_letter(db, worker.id, f"my {secret}", "l1")
    write_letter(db, worker.id, f"your {secret}?", "l2", "boss")
    return worker


def everything(db: Database) -> str:
    """Every cell of every table."""
    with db.read() as session:
        names = [table.name for table in Base.metadata.sorted_tables]
        return str([session.execute(text(f"SELECT * FROM {name}")).all() for name in names])


def test_the_text_goes_and_everything_counted_stays(database: Database) -> None:
    ann, bob = life(database, "ann"), person(database, "Bob")
    base, policy = base_model(database), policy_model(database)
    play(database, bob, draw(base, policy), [3, 7])
    play(database, bob, draw(policy, base), [1])
    assert written_by(database, ann.id) == Written(
        f"prolific {SECRET}-ann", messages=2, replies=4, edits=1, comments=1, letters=2
    )
    games, numbers, before = list_games(database), counts(database), ratings(database)
    pay = accounts(database, Terms("EUR", "task", 100))
    records = numbers_of(database)
    done = erase(database, ann.id, "boss")
    assert done.replies and done.cleaned is not None
    assert SECRET not in everything(database)
    assert list_games(database) == games and len(games) == 5
    assert ratings(database) == before and {one["games"] for one in before["ratings"]} == {5}
    assert counts(database) == numbers and sum(row["n"] for row in numbers) == 6
    assert numbers_of(database) == records
    assert [one.owed for one in accounts(database, Terms("EUR", "task", 100))] == [one.owed for one in pay]
    assert {letter.text for letter in thread(database, ann.id)} == {MARKER}
    assert "question 1" in everything(database), "Bob's text stands"
    assert written_by(database, ann.id).messages == 0
    assert [act.act for act in acts(database, 1)] == ["text erased"]


def ratings(db: Database) -> dict[str, Any]:
    """The board of models, as the report has it."""
    judged = [one for _, one in preferences(db, Filter(keep_weakest=True))]
    return board(games_from_preferences(judged), "base").json()


def list_games(db: Database) -> list[object]:
    """Who beat whom, how strongly, by whom: all that a board of models is made of."""
    return [
        (one.models, one.preferred, one.strength, one.worker)
        for _, one in preferences(db, Filter(keep_weakest=True))
        if one.models
    ]


def numbers_of(db: Database) -> list[object]:
    """Everything recorded of each choice that is no text."""
    with db.read() as session:
        found = list(collected_records(session))
    return [
        (one.id, one.preference.strength, one.collected and (one.collected.replies, one.collected.button))
        + ((one.collected.said, one.collected.chosen, one.collected.rating) if one.collected else ())
        for one in found
    ]


def test_again_changes_nothing_and_goes_on_where_it_stopped(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = life(database, "ann")
    with monkeypatch.context() as patch:
        patch.setattr(Database, "forget_freed", lambda self: False)
        half = erase(database, ann.id, "boss")
    assert half.cleaned is None, "the texts are gone, the file is not clean yet"
    whole = erase(database, ann.id, "another", replies=False)
    assert whole.cleaned is not None and whole.at == half.at and whole.replies
    assert erase(database, ann.id, "boss") == whole == erasure_of(database, ann.id)
    assert [act.act for act in acts(database, 99)].count("text erased") == 1


def test_replies_can_be_kept_and_erased_later(database: Database) -> None:
    ann = life(database, "ann")
    first = erase(database, ann.id, "boss", replies=False)
    assert written_by(database, ann.id).replies == 4 and written_by(database, ann.id).messages == 0
    assert not first.replies and first.cleaned is not None
    second = erase(database, ann.id, "boss")
    assert SECRET not in everything(database)
    assert second.replies and second.at == first.at
    assert second.cleaned is not None and second.cleaned > first.cleaned, "the files hold none of the replies either"


def test_what_is_being_written_ends_first_and_what_comes_late_is_not_taken(database: Database) -> None:
    ann, _ = participant(database, "prolific", "p")
    ask(database, ann, draw(base_model(database)), text=SECRET)
    (job, _) = claim(database, "writer", 2, 60.0)
    erase(database, ann.id, "boss")
    assert talk_views.current_talk(database, ann.id) is None
    finish(database, "writer", {job.reply_id: Reply(f"of {SECRET}", True, 3)})
    assert SECRET not in everything(database)
    again, token = participant(database, "prolific", "p")
    assert again.id != ann.id and worker_by_token(database, token) == again, "who comes again is somebody new"
    with pytest.raises(UserError, match="their links with it"):
        end_links(database, ann.id, "boss")
    with pytest.raises(UserError, match="nobody reads a message"):
        write_letter(database, ann.id, "hello", "k", "boss")


def test_the_files_bytes_hold_none_of_it(sqlite_template: Path, tmp_path: Path) -> None:
    copy(sqlite_template, tmp_path / "store.sqlite")
    db = Database.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    ann = life(db, "ann")
    for number in range(30):  # pages that split and overflow leave copies behind
        talk = talks.open_talk(db, ann.id, Objective.HELPFUL, 1, "")
        talks.say(db, talk, f"{SECRET} {number} " + "words " * 900, "k", draw(base_model(db)))
        write_replies(db, lambda job: f"{SECRET} " * 300)
        talks.end_talk(db, talk, talks.Ending(comment=SECRET))
    files = [tmp_path / f"store.sqlite{end}" for end in ("", "-wal", "-shm")]

    def found() -> int:
        return sum(path.read_bytes().count(SECRET.encode()) for path in files if path.exists())

    assert found() > 100
    assert erase(db, ann.id, "boss").cleaned is not None
    assert found() == 0
    db.close()
    assert found() == 0


def test_a_reader_in_the_way_is_said_and_it_goes_on_later(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(sqlite_template, tmp_path / "store.sqlite")
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    monkeypatch.setattr("concordant.store.database._BUSY_MILLISECONDS", 200)
    db, other = Database.open(url), Database.open(url)
    ann = life(db, "ann")
    with other.read() as session:
        session.execute(text("SELECT count(*) FROM workers")).scalar_one()
        assert db.forget_freed() is False
    assert db.forget_freed() is True
    assert erase(db, ann.id, "boss").cleaned is not None
    db.close()
    other.close()


def test_a_writer_in_the_way_is_not_finished_and_no_failure(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was overwritten is committed by then; only the files are not clean yet."""
    copy(sqlite_template, tmp_path / "store.sqlite")
    monkeypatch.setattr("concordant.store.database._BUSY_MILLISECONDS", 200)
    db = Database.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with db.write(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(db.forget_freed).result() is False
    assert db.forget_freed() is True
    db.close()


def owner(table: str, worker: str) -> str:
    """SQL: the rows of a table that are a worker's."""
    talks_of = f"SELECT id FROM talks WHERE worker_id = '{worker}'"
    pairs = f"SELECT c.id FROM comparisons c JOIN messages m ON m.id = c.message_id WHERE m.talk_id IN ({talks_of})"
    if table == "reply_failures":
        return f"reply_id IN (SELECT id FROM replies WHERE comparison_id IN ({pairs}))"
    if table in ("messages", "verdicts"):
        return f"talk_id IN ({talks_of})"
    return f"comparison_id IN ({pairs})" if table in ("edits", "replies") else f"worker_id = '{worker}'"


@pytest.mark.parametrize("table", ERASABLE)
def test_the_database_lets_go_of_texts_of_the_erased_alone(database: Database, table: str) -> None:
    """Every column of every protected table, for the erased worker and for another one."""
    ann, bob = life(database, "ann"), life(database, "bob")
    erase(database, ann.id, "boss")
    with database.read() as session:
        columns = [column["name"] for column in inspect(session.connection()).get_columns(table)]
    assert ERASABLE[table] < set(columns) == set(Base.metadata.tables[table].columns.keys())
    marker = {"panel_session": "NULL", "participant": f"'{MARKER} {ann.id}'"}

    def refused(change: str) -> bool:
        try:
            with database.write() as session:
                assert session.execute(text(change)).rowcount  # type: ignore[attr-defined]
        except DatabaseError as error:
            assert "append-only" in str(error), error
            return True
        return False

    for column in columns:
        mine, his = owner(table, ann.id), owner(table, bob.id)
        becomes = marker.get(column, f"'{MARKER}'")
        if column in ERASABLE[table]:
            assert not refused(f"UPDATE {table} SET {column} = {becomes} WHERE {mine}"), column
            assert refused(f"UPDATE {table} SET {column} = 'other words' WHERE {mine}"), column
            assert refused(f"UPDATE {table} SET {column} = {becomes} WHERE {his}"), column
        else:
            other = other_value(database, table, column)
            assert refused(f"UPDATE {table} SET {column} = {other} WHERE {mine}"), column
            assert refused(f"UPDATE {table} SET {column} = {other} WHERE {his}"), column
    assert refused(f"DELETE FROM {table} WHERE {owner(table, ann.id)}")


def other_value(database: Database, table: str, column: str) -> str:
    """SQL of a value of the column's type that no row has."""
    kind = str(Base.metadata.tables[table].columns[column].type).upper()
    if "BOOL" in kind:
        return f"NOT {column}"
    if "DATETIME" in kind:
        return "'2001-01-01 00:00:00'"
    return "4711" if any(name in kind for name in ("INT", "DOUBLE", "FLOAT")) else "'other'"


def test_an_erasure_itself_stands(database: Database) -> None:
    ann = life(database, "ann")
    erase(database, ann.id, "boss")
    for change in (
        "UPDATE erasures SET replies = false",
        "UPDATE erasures SET staff_id = 'x'",
        "DELETE FROM erasures",
    ):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(change))
    with pytest.raises(UserError, match="there is no worker 'nobody'"):
        erase(database, "nobody", "boss")


def test_what_is_exported_afterwards_leaves_it_out_and_counts_it(database: Database, tmp_path: Path) -> None:
    ann, bob = life(database, "ann"), person(database, "Bob")
    play(database, bob, draw(base_model(database), policy_model(database)), [1, 8])
    before = freeze(database, "before", Filter(), tmp_path)
    assert before.counts["taken"] == 5
    erase(database, ann.id, "boss")
    after = freeze(database, "after", Filter(), tmp_path)
    assert (after.counts["taken"], after.counts["dropped"]) == (2, {"erased": 3})
    assert MARKER not in str(load_dataset(after.path))
    for format, name in (("hh", "out.jsonl"), ("parquet", "out.parquet")):
        done = export(database, tmp_path / name, "hh" if format == "hh" else "parquet", Filter())
        assert (done.tally.taken, done.tally.dropped["erased"]) == (2, 3)
        assert "| erased | 3 |" in done.card.read_text()
    assert len(list(preferences(database, Filter()))) == 5
    assert len(list(preferences(database, Filter(), with_erased=False))) == 2
