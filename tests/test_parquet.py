"""Parquet keeps every recorded column of every row."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.conversation import Conversation
from concordant.store.database import Database
from concordant.store.parquet import COLUMNS, write_parquet
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, matching_records
from concordant.store.records import Record
from stories import base_model, draw, person, play, policy_model


def test_a_choice_fills_every_column_but_the_score(database: Database, tmp_path: Path) -> None:
    base, policy = base_model(database), policy_model(database)
    worker = person(database, kind=WorkerKind.SCRIPTED)
    ids = play(database, worker, draw(base, policy, swap=True), [4, 7], Objective.HARMLESS, study="s")
    tally = write_parquet(tmp_path / "x.parquet", matching_records(database, Filter()))
    assert tally.by_kind() == {"scripted": 2}
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column_names == list(COLUMNS)
    first, second = table.to_pylist()
    assert [first["id"], second["id"]] == ids
    assert {name for name, value in second.items() if value is None} == {"score_a", "score_b"}
    assert (first["strength"], first["button"], first["preferred"]) == (1, 4, "b")
    assert (first["model_a"], first["model_b"], first["snapshot_a"]) == ("policy", "base", policy.id)
    assert (first["worker_kind"], first["study"], first["turn"]) == ("scripted", "s", 1)
    assert first["chosen"] == [{"role": "assistant", "content": "reply 0"}]
    assert first["rejected"] == [{"role": "assistant", "content": "reply 1"}]
    assert second["prompt"] == [
        {"role": "user", "content": "question 1"},
        {"role": "assistant", "content": "reply 1"},
        {"role": "user", "content": "question 2"},
    ]
    assert first["said_at"] <= first["done_at_a"] <= first["chosen_at"] < second["said_at"]


def test_imported_rows_leave_the_columns_of_choices_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.parquet._ROWS_AT_ONCE", 2)
    one = Preference(Comparison(Conversation().human("hi"), "x", "y"), "a", Objective.HELPFUL, Tranche.RS, source="f")
    write_parquet(tmp_path / "x.parquet", (Record(f"{n}", one, None, None) for n in range(5)))
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [row["id"] for row in rows] == list("01234")
    names = list(COLUMNS)
    assert all(rows[0][name] is None for name in names[names.index("rejected") + 1 :])
    assert (rows[0]["tranche"], rows[0]["source"], rows[0]["worker_kind"]) == ("rs", "f", None)


def test_a_failure_half_way_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Record:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_parquet(tmp_path / "x.parquet", (broken() for _ in range(2)))
    assert list(tmp_path.iterdir()) == []
