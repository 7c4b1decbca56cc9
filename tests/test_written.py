"""Replies that people wrote: the file, its rows in the store, and what a talk that begins with one shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Tranche
from concordant.errors import UserError
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.preferences import Filter, preferences
from concordant.store.registry import Snapshot, SnapshotKind, snapshot
from concordant.store.reply_queue import claim, finish
from concordant.store.talk_views import view
from concordant.store.talks import Given, choose, open_talk, say
from concordant.store.written import WrittenFile, add_written, not_yet_given, read_written, written_replies
from stories import base_model, draw, person

ROWS = [
    {"prompt": "why is the sky blue", "reply": "Because of scattering.", "writer": "Ann"},
    {"prompt": "why is the sky blue", "reply": "It scatters light.", "writer": "Bob"},
    {"prompt": "how tall is a tree", "reply": "It varies.", "writer": "Ann"},
]


def file_of(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def imported(db: Database, folder: Path) -> tuple[Snapshot, WrittenFile]:
    found = read_written(file_of(folder, *ROWS))
    return add_written(db, "people", "people.jsonl", found), found


def test_a_file_is_read_and_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, *ROWS, ROWS[0], {**ROWS[0], "reply": " "}, {"prompt": "x"}, "[1]", "{", {**ROWS[0], "writer": 5}, ""
    )
    found = read_written(path)
    assert found.rows == tuple((row["prompt"], row["reply"], row["writer"]) for row in ROWS)
    assert found.dropped == {
        "the same reply to the same prompt again": 1,
        "empty prompt, reply or writer": 1,
        "not an object with texts prompt, reply and writer": 4,
    }
    for content in (b"", b"\xff\xfe", b"{}\n"):
        path.write_bytes(content)
        with pytest.raises(UserError):
            read_written(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_written(tmp_path / "absent")


def test_a_file_is_a_snapshot_once(database: Database, tmp_path: Path) -> None:
    made, found = imported(database, tmp_path)
    assert made.kind is SnapshotKind.WRITTEN and made.spec["rows"] == 3
    assert add_written(database, "people", "people.jsonl", found) == made == snapshot(database, "people")
    worker = person(database)
    assert len(not_yet_given(database, made.id, worker.id)) == 3
    with pytest.raises(UserError, match="'people' is taken"):
        add_written(database, "people", "other.jsonl", found)
    for table in ("written_replies", "given_openings", "reply_failures"):
        if table == "written_replies":
            with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
                session.execute(text(f"DELETE FROM {table}"))


def test_a_person_against_a_model(database: Database, tmp_path: Path) -> None:
    """From the given opening to a preference whose prompt it is, and in which the people have a name."""
    people, _ = imported(database, tmp_path)
    base, worker = base_model(database), person(database)
    given = not_yet_given(database, people.id, worker.id)[1]
    talk = open_talk(database, worker.id, view_objective(), turns=1, study="")
    comparison = say(database, talk, given.prompt, "given", draw(people, base), Given(given.id))
    assert say(database, talk, given.prompt, "given", draw(people, base), Given(given.id)) == comparison
    shown = view(database, talk)
    assert shown.given and shown.conversation.first_human_turn == "why is the sky blue"
    jobs = claim(database, "w", 10, 60.0)
    ours = [job.reply_id for job in jobs if job.snapshot_id == people.id]
    replies = written_replies(database, ours)
    assert [reply.text for reply in replies.values()] == ["It scatters light."]
    finish(database, "w", {**replies, **{j.reply_id: Reply("model", True, 3) for j in jobs if j.reply_id not in ours}})
    choose(database, comparison, 1, "c")
    ((_, row),) = [(record, preference) for record, preference in preferences(database, Filter())]
    assert row.models == ("people", "base") and row.comparison.reply_a == "It scatters light."
    assert row.tranche is Tranche.BASE and row.prompt.first_human_turn == "why is the sky blue"
    left = [written.prompt for written in not_yet_given(database, people.id, worker.id)]
    assert left == ["how tall is a tree"], "nobody is given a prompt twice, whoever replied"
    assert len(not_yet_given(database, people.id, person(database, "another").id)) == 3


def view_objective() -> Any:
    from concordant.comparison import Objective

    return Objective.HELPFUL


def test_nobody_wrote_a_reply_to_anything_else(database: Database, tmp_path: Path) -> None:
    people, _ = imported(database, tmp_path)
    talk = open_talk(database, person(database).id, view_objective(), turns=1, study="")
    say(database, talk, "why is the sky blue", "say", draw(people))
    assert not view(database, talk).given
    with pytest.raises(LookupError):
        written_replies(database, [job.reply_id for job in claim(database, "w", 10, 60.0)])
