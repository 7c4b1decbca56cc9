"""Frozen data sets: the same content has the same hash, and a changed file is found out."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.datasets import datasets, freeze, freeze_again, load_dataset
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, preferences
from concordant.store.talks import choose
from stories import ask, base_model, draw, person, play, write_replies


@pytest.fixture
def filled(database: Database) -> Database:
    """Three usable choices, one of the weakest strength, and one talk of a script."""
    model = base_model(database)
    play(database, person(database), draw(model), [1, 4, 8])
    play(database, person(database, "script", WorkerKind.SCRIPTED), draw(model, swap=True), [3], Objective.HARMLESS)
    return database


def lines(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)


def test_a_frozen_set_holds_the_preferences_as_they_were(filled: Database, tmp_path: Path) -> None:
    frozen = freeze(filled, "one", Filter(), tmp_path / "datasets")
    assert frozen.path == tmp_path / "datasets" / "one.jsonl.gz"
    assert load_dataset(frozen.path) == [one for _, one in preferences(filled, Filter())]
    assert frozen.counts["taken"] == 3
    assert frozen.counts["dropped"] == {"weakest strength": 1}
    assert frozen.counts["worker_kinds"] == {"person": 2, "scripted": 1}
    assert [one.name for one in frozen.path.parent.iterdir()] == ["one.jsonl.gz"]
    assert datasets(filled) == [frozen]


def test_the_hash_is_over_the_rows_and_the_head_repeats_it(filled: Database, tmp_path: Path) -> None:
    frozen = freeze(filled, "one", Filter(objective=Objective.HARMLESS), tmp_path)
    head, *rows = lines(frozen.path)
    assert hashlib.sha256("".join(rows).encode()).hexdigest() == frozen.digest == json.loads(head)["digest"]
    assert json.loads(head)["filter"]["objective"] == "harmless"
    (row,) = map(json.loads, rows)
    assert row["worker_kind"] == "scripted" and row["strength"] == 2 and row["models"] == ["base", "base"]
    # Swapped, and A (reply 1) was clicked as the more harmful: reply 0, shown as B, is the better.
    assert (row["reply_a"], row["reply_b"], row["preferred"]) == ("reply 1", "reply 0", "b")


def test_freezing_again_is_the_same_set_until_more_was_chosen(filled: Database, tmp_path: Path) -> None:
    first = freeze(filled, "one", Filter(), tmp_path)
    content = first.path.read_bytes()
    assert freeze(filled, "one", Filter(), tmp_path) == first
    assert freeze(filled, "two", Filter(), tmp_path).digest == first.digest
    play(filled, person(filled), draw(base_model(filled)), [1])
    with pytest.raises(UserError, match="'one' exists with other content"):
        freeze(filled, "one", Filter(), tmp_path)
    assert first.path.read_bytes() == content
    assert freeze(filled, "three", Filter(), tmp_path).digest != first.digest


def test_a_lost_file_is_written_again(filled: Database, tmp_path: Path) -> None:
    first = freeze(filled, "one", Filter(), tmp_path)
    content = first.path.read_bytes()
    first.path.unlink()
    freeze(filled, "one", Filter(), tmp_path)
    assert first.path.read_bytes() == content


def test_the_weakest_stay_where_they_are_asked_for(filled: Database, tmp_path: Path) -> None:
    frozen = freeze(filled, "all", Filter(keep_weakest=True), tmp_path)
    assert frozen.counts["taken"] == 4 and frozen.counts["dropped"] == {}


def test_replies_that_teach_nothing_are_left_out(filled: Database, tmp_path: Path) -> None:
    _, comparison = ask(filled, person(filled), draw(base_model(filled)))
    write_replies(filled, lambda job: "the same")
    choose(filled, comparison, 1, "c")
    assert freeze(filled, "one", Filter(), tmp_path).counts["dropped"] == {"equal replies": 1, "weakest strength": 1}


def test_an_empty_set_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would be empty"):
        freeze(database, "none", Filter(), tmp_path)
    assert list(tmp_path.glob("*.gz")) == [] and datasets(database) == []


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a b", "a/b"])
def test_a_name_must_be_a_files(database: Database, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="data set name"):
        freeze(database, name, Filter(), tmp_path)


def test_damage_is_found_out(filled: Database, tmp_path: Path) -> None:
    path = freeze(filled, "one", Filter(), tmp_path).path
    whole, rows = path.read_bytes(), lines(path)

    def packed(parts: list[str]) -> bytes:
        return gzip.compress("".join(parts).encode())

    for content, message in (
        (packed([rows[0], rows[1].replace('"preferred":"a"', '"preferred":"b"'), *rows[2:]]), "not what was frozen"),
        (packed(rows[:-1]), "not what was frozen"),
        (packed([rows[0], rows[2], rows[1], *rows[3:]]), "not what was frozen"),
        (whole[:-20], "damaged"),
        (b"plain text\n", "damaged"),
        (packed(['{"chosen": "x"}\n']), "is not a frozen data set"),
        (packed(["[]\n"]), "is not a frozen data set"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message):
            load_dataset(path)
    path.unlink()
    with pytest.raises(UserError, match="does not exist"):
        load_dataset(path)


def test_a_filter_comes_back_and_freezes_again(database: Database, tmp_path: Path) -> None:
    for filter in (Filter(), Filter(Objective.HARMLESS, Tranche.RS, "s", ("a", "b"), True, "store")):
        assert Filter.from_json(filter.to_json()) == filter
    with pytest.raises(UserError, match="there is no data set 'none'"):
        freeze_again(database, "none", "new", tmp_path)
