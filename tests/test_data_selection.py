"""``--data`` and its kin, as they are written."""

import argparse
from pathlib import Path

import pytest

from concordant.commands.data_selection import DataFile, add_data, add_test, data_file, read_pool, select
from concordant.comparison import Objective
from concordant.errors import UserError
from hh_rows import write_hh
from toy_lessons import preference


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_data(parser, "comparisons")
    add_test(parser)
    return parser.parse_args(words)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, count in (("help", 40), ("harm", 12)):
        write_hh(tmp_path / f"{name}.jsonl", [preference(f"{name} {i}", "good", "bad") for i in range(count)])
    return tmp_path


def test_a_file_its_objective_and_its_weight(tmp_path: Path) -> None:
    assert data_file("a.jsonl") == DataFile(Path("a.jsonl"))
    assert data_file("harmless=a.jsonl") == DataFile(Path("a.jsonl"), "harmless")
    assert data_file("helpful=dir/a.jsonl,0.7") == DataFile(Path("dir/a.jsonl"), "helpful", 0.7)
    assert data_file("a.jsonl,2") == DataFile(Path("a.jsonl"), None, 2.0)
    assert data_file("kind=a.jsonl") == DataFile(Path("kind=a.jsonl"))  # a name with an equals sign
    assert data_file("a,b.jsonl") == DataFile(Path("a,b.jsonl"))  # a name with a comma
    odd = tmp_path / "odd,3"
    odd.touch()
    assert data_file(str(odd)) == DataFile(odd)
    assert data_file(f"harmless={odd}") == DataFile(odd, "harmless")
    for weight in ("0", "-1", "nan", "inf"):
        with pytest.raises(argparse.ArgumentTypeError, match="a weight is a number above 0"):
            data_file(f"a.jsonl,{weight}")


def test_a_mixture_and_its_record(files: Path) -> None:
    words = ["--data", f"helpful={files}/help.jsonl,3", f"harmless={files}/harm.jsonl,1"]
    found = select(parsed(*words, "--limit", "20"), seed=0)
    assert [row.objective for row in found.lessons] == [Objective.HELPFUL] * 15 + [Objective.HARMLESS] * 5
    assert found.record["mixed"] == "15 of helpful=help.jsonl, 5 of harmless=harm.jsonl"
    assert found.record["limit"] == "20"
    assert found.record["data"].startswith("helpful=help.jsonl@") and " × 3, harmless=" in found.record["data"]
    assert select(parsed(*words), 0).record["mixed"] == "38 of helpful=help.jsonl, 12 of harmless=harm.jsonl"
    other = select(parsed(words[0], words[1], f"harmless={files}/harm.jsonl,2", "--limit", "20"), 0)
    assert other.record["mixed"] != found.record["mixed"]


def test_plain_files_are_recorded_as_ever(files: Path) -> None:
    found = select(parsed("--data", f"{files}/help.jsonl", f"{files}/harm.jsonl"), 0)
    assert found.record.keys() == {"data", "objective", "limit"}
    assert (found.record["objective"], found.record["limit"], len(found.lessons)) == ("any", "None", 52)
    assert [len(part.partition("@")[2]) for part in found.record["data"].split(", ")] == [12, 12]


def test_two_parts_have_the_same_exam_and_nothing_else_in_common(files: Path) -> None:
    words = ["--data", f"{files}/help.jsonl", "--test-fraction", "0.3", "--split", "50/50", "--part"]
    a, b = (select(parsed(*words, part), 0) for part in "ab")
    assert a.exam == b.exam and a.exam
    openings = [{row.prompt.split_key for row in part} for part in (a.lessons, b.lessons, a.exam)]
    assert sum(map(len, openings)) == len(set.union(*openings)) == 40
    assert (a.record["split"], b.record["split"]) == ("50/50 a", "50/50 b")
    # A test file that shares openings with the other part is cut as well: neither part may have seen it.
    tested = [
        select(parsed("--data", words[1], "--test", words[1], f"{files}/harm.jsonl", *words[4:], p), 0) for p in "ab"
    ]
    assert [len(found.exam) for found in tested] == [12, 12]


def test_in_the_order_of_learning_files_with_weights_take_turns(files: Path) -> None:
    words = ["--data", f"helpful={files}/help.jsonl,3", f"harmless={files}/harm.jsonl,1", "--limit", "16"]
    ordered, plain = (select(parsed(*words), 0, ordered=wanted) for wanted in (True, False))
    assert [row.objective for row in ordered.lessons[:4]].count(Objective.HELPFUL) == 3
    assert [row.objective for row in plain.lessons[:12]] == [Objective.HELPFUL] * 12
    assert set(ordered.lessons) == set(plain.lessons) and ordered.record == plain.record


def test_a_pool_draws_nothing(files: Path) -> None:
    pool = read_pool(parsed("--data", f"{files}/help.jsonl", f"harmless={files}/harm.jsonl", "--limit", "3"))
    assert [len(source.rows) for source in pool.sources] == [40, 12]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{help}", "--split", "50/50"], "--split and --part go together"),
        (["{help}", "--part", "a"], "--split and --part go together"),
        (["{help}", "--split", "50-50", "--part", "a"], "not of the form 50/50"),
        (["{help}", "{help}"], "--data names help.jsonl twice"),
        (["helpful={help}", "--objective", "harmless"], "--objective harmless and helpful=help.jsonl contradict"),
        (["{help},1", "{harm}"], "needs a weight of 0 or more on every file"),
        (["{help},1", "{harm},1", "--limit", "30"], "harm.jsonl has 12 comparisons, and its share of 30 is 15"),
        (["{help}", "--test", "{harm},2"], "--test files have no weights"),
        (["{help}", "--test", "{harm}", "--test-fraction", "0.5"], "goes without --test"),
    ],
)
def test_what_contradicts_itself(words: list[str], message: str, files: Path) -> None:
    filled = [word.format(help=files / "help.jsonl", harm=files / "harm.jsonl") for word in words]
    with pytest.raises(UserError, match=message):
        select(parsed("--data", *filled), 0)


@pytest.mark.realdata
def test_real_files_in_two_parts_and_a_mixture(real_data: Path) -> None:
    """Talks of many turns, each of them a comparison: a split by rows would have them on both sides."""
    files = [f"helpful={real_data}/hh/helpful-{name}.jsonl.gz,1" for name in ("base", "online")]
    words = ["--data", *files, f"harmless={real_data}/hh/harmless-base.jsonl.gz,2", "--test-fraction", "0.1"]
    parts = [select(parsed(*words, "--limit", "1200", "--split", "50/50", "--part", part), 0) for part in "ab"]
    for found in parts:
        assert [row.objective for row in found.lessons].count(Objective.HARMLESS) == 600
        assert len(found.lessons) == 1200 and len(found.exam) > 300
    openings = [{row.prompt.split_key for row in rows} for rows in (parts[0].lessons, parts[1].lessons, parts[0].exam)]
    assert sum(map(len, openings)) == len(set.union(*openings))
