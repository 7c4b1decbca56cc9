"""Exports: HH leaves out what it has no place for and counts it, Parquet keeps all, each has its card."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.exports import card_of, export, outgoing
from concordant.store.hh_files import read_hh
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, matching_records, preferences
from stories import base_model, draw, person, play


@pytest.fixture
def filled(database: Database) -> Database:
    """Four choices, two of them of the weakest strength; the last talk is a script's."""
    model = base_model(database)
    play(database, person(database), draw(model), [1, 4])
    play(database, person(database, "script", WorkerKind.SCRIPTED), draw(model), [5, 8], Objective.HARMLESS)
    return database


def test_hh_counts_what_it_leaves_out(filled: Database, tmp_path: Path) -> None:
    done = export(filled, tmp_path / "out.jsonl.gz", "hh", Filter())
    assert (done.tally.taken, done.tally.dropped) == (2, {"weakest strength": 2})
    read = read_hh(done.path, Objective.HELPFUL, Tranche.BASE).preferences
    wanted = [one for _, one in preferences(filled, Filter())]
    assert [(one.prompt, one.chosen, one.rejected) for one in read] == [
        (one.prompt, one.chosen, one.rejected) for one in wanted
    ]
    rows = [json.loads(line) for line in gzip.decompress(done.path.read_bytes()).splitlines()]
    assert [row["worker_kind"] for row in rows] == ["person", "scripted"]
    card = done.card.read_text()
    assert done.card.name == "out.jsonl.gz.md"
    assert "| weakest strength | 2 |" in card and "- 1 of 2 (50.0 %) by scripted workers" in card
    assert all(f"| {name} |" in card for name in rows[0])


def test_parquet_keeps_all(filled: Database, tmp_path: Path) -> None:
    done = export(filled, tmp_path / "out.parquet", "parquet", Filter())
    assert pq.read_table(done.path).num_rows == done.tally.taken == 4
    card = done.card.read_text()
    assert "Nothing: every comparison that matches is here" in card
    assert all(f"| {name} |" in card for name in pq.read_schema(done.path).names)


def test_a_filter_narrows_both(filled: Database, tmp_path: Path) -> None:
    only = Filter(objective=Objective.HARMLESS)
    assert export(filled, tmp_path / "a.jsonl", "hh", only).tally.by_kind() == {"scripted": 1}
    assert export(filled, tmp_path / "a.parquet", "parquet", only).tally.by_kind() == {"scripted": 2}


def test_nothing_to_write_is_refused_and_leaves_nothing(filled: Database, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no preference in the store matches"):
        export(filled, tmp_path / "a.parquet", "parquet", Filter(study="none"))
    play(filled, person(filled), draw(base_model(filled)), [4], study="weak")
    with pytest.raises(UserError, match="nothing is left to write: 1 weakest strength"):
        export(filled, tmp_path / "a.jsonl", "hh", Filter(study="weak"))
    with pytest.raises(UserError, match="is a folder"):
        export(filled, tmp_path, "hh", Filter())
    assert list(tmp_path.glob("a.*")) == []


def test_the_pieces_are_the_file(filled: Database, tmp_path: Path) -> None:
    for format, name in (("hh", "a.jsonl.gz"), ("hh", "a.jsonl"), ("parquet", "a.parquet")):
        done = export(filled, tmp_path / name, format, Filter())  # type: ignore[arg-type]
        going = outgoing(filled, format, Filter(), packed=name.endswith(".gz"))  # type: ignore[arg-type]
        assert b"".join(going.pieces) == done.path.read_bytes()
        assert going.tally == done.tally
        card = card_of(filled, name, format, Filter())  # type: ignore[arg-type]
        assert card == done.card.read_text()


def test_a_file_that_was_cut_off_does_not_open(filled: Database, tmp_path: Path) -> None:
    packed = b"".join(outgoing(filled, "hh", Filter()).pieces)
    assert len(gzip.decompress(packed).splitlines()) == 2
    with pytest.raises(EOFError):
        gzip.decompress(packed[:-1])
    whole = b"".join(outgoing(filled, "parquet", Filter()).pieces)
    (tmp_path / "x.parquet").write_bytes(whole[:-1])
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(tmp_path / "x.parquet")


def test_nothing_to_send_is_said_before_anything_is_sent(database: Database) -> None:
    with pytest.raises(UserError, match="no preference in the store matches"):
        outgoing(database, "parquet", Filter())
    play(database, person(database), draw(base_model(database)), [4])
    for make in (lambda: outgoing(database, "hh", Filter()), lambda: card_of(database, "x", "hh", Filter())):
        with pytest.raises(UserError, match="nothing is left to write: 1 weakest strength"):
            make()


def test_more_conversations_than_are_read_at_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.records._TALKS_AT_ONCE", 2)
    worker, model = person(database), base_model(database)
    ids = [one for _ in range(5) for one in play(database, worker, draw(model), [1, 8])]
    assert [record.id for record in matching_records(database, Filter())] == ids
    assert outgoing(database, "parquet", Filter(worker_kind=WorkerKind.PERSON)).tally.taken == 0, "not begun"
    with pytest.raises(UserError, match="no preference"):
        outgoing(database, "parquet", Filter(worker_kind=WorkerKind.SCRIPTED))
