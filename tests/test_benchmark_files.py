import gzip
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.evaluate.benchmark_files import find_file, read_rows, refuse_folders


def test_every_form_gives_the_same_rows(tmp_path: Path) -> None:
    forms = {
        "a.jsonl": '{"x": "1", "y": "two"}\n\n{"x": "3", "y": "four"}\n',
        "a.json": '[{"x": "1", "y": "two"}, {"x": "3", "y": "four"}]',
        "a.csv": 'x,y\n1,two\n3,"four"\n',
        "a.tsv": "x\ty\n1\ttwo\n3\tfour\n",
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert read_rows(path) == [{"x": "1", "y": "two"}, {"x": "3", "y": "four"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.csv", b"x,y\n", "is empty"),
        ("a.jsonl", b'{"x": 1}\n{"x": ', "line 2 is not JSON"),
        ("a.json", b'[{"x": 1}', "is not JSON"),
        ("a.json", b"[1, 2]", "something other than JSON objects"),
        ("a.jsonl.gz", b"\x1f\x8b\x08broken", "cannot be read"),
        ("a.jsonl", b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_rows(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_rows(tmp_path / "no.jsonl")
    with pytest.raises(UserError, match="is a folder"):
        read_rows(tmp_path)
    with pytest.raises(UserError, match="is no folder"):
        refuse_folders([tmp_path / "no"])


def test_a_file_is_found_by_its_stem_here_or_one_folder_down(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    for name in ("evals/arc_easy_test.jsonl.gz", "evals/HumanEval.jsonl", "hellaswag_val_1000.jsonl", "notes.txt"):
        (tmp_path / name).write_text("{}")
    assert find_file([tmp_path], ["arc_easy_test"]) == tmp_path / "evals/arc_easy_test.jsonl.gz"
    assert find_file([tmp_path], ["humaneval"]) == tmp_path / "evals/HumanEval.jsonl"
    assert find_file([tmp_path], ["absent", "hellaswag_val"]) == tmp_path / "hellaswag_val_1000.jsonl"
    assert find_file([tmp_path], ["arc"]) == tmp_path / "evals/arc_easy_test.jsonl.gz"
    assert find_file([tmp_path], ["notes", "arc_e"]) is None
