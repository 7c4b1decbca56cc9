"""Exports: HH leaves out what it has no place for and counts it, Parquet keeps all, each has its card."""

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.exports import export
from concordant.store.hh_files import read_hh
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, preferences
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
