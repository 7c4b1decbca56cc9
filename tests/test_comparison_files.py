import gzip
import json
from pathlib import Path

import pytest

from concordant.commands.comparison_files import is_dataset, read_comparisons
from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.imports import import_files
from concordant.store.preferences import Filter


def hh(path: Path, *replies: str) -> Path:
    """A file in which each reply was preferred to "bad"."""
    rows = [
        {"chosen": f"\n\nHuman: {i}?\n\nAssistant: {reply}", "rejected": f"\n\nHuman: {i}?\n\nAssistant: bad"}
        for i, reply in enumerate(replies)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_files_follow_one_another_and_their_dropped_rows_are_counted_together(tmp_path: Path) -> None:
    files = [hh(tmp_path / "one.jsonl", "good", "bad"), hh(tmp_path / "two.jsonl", "fine", "bad", "bad")]
    found, dropped = read_comparisons(files)
    assert [(preference.chosen, preference.source) for preference in found] == [
        ("good", "one.jsonl"),
        ("fine", "two.jsonl"),
    ]
    assert dropped == {"equal replies": 3}
    assert found[0].objective is Objective.HELPFUL
    assert read_comparisons(files, "harmless")[0][0].objective is Objective.HARMLESS


def test_a_frozen_data_set_is_known_by_its_content_and_filtered_by_objective(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/store.sqlite")
    import_files(database, [hh(tmp_path / "one.jsonl", "good")], Objective.HELPFUL, Tranche.BASE)
    import_files(database, [hh(tmp_path / "two.jsonl", "safe")], Objective.HARMLESS, Tranche.BASE)
    path = freeze(database, "both", Filter(), tmp_path).path
    database.close()
    assert is_dataset(path)
    assert {preference.chosen for preference in read_comparisons([path])[0]} == {"good", "safe"}
    assert [preference.chosen for preference in read_comparisons([path], "harmless")[0]] == ["safe"]


def test_what_is_no_data_set_is_read_as_hh_and_refused_there(tmp_path: Path) -> None:
    assert not is_dataset(hh(tmp_path / "plain.jsonl", "good"))
    with gzip.open(tmp_path / "packed.jsonl.gz", "wt") as file:
        file.write(hh(tmp_path / "plain.jsonl", "good").read_text())
    assert not is_dataset(tmp_path / "packed.jsonl.gz")
    assert len(read_comparisons([tmp_path / "packed.jsonl.gz"])[0]) == 1
    assert not is_dataset(tmp_path / "absent")
    with pytest.raises(UserError, match="does not exist"):
        read_comparisons([tmp_path / "absent"])
