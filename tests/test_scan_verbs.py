"""What ``concordant scan`` refuses before anything is trained. Whole scans: ``pipeline/test_run_scan.py``."""

from pathlib import Path

import pytest

from concordant.cli import main
from concordant.commands.scan_verbs import _table
from hh_rows import write_hh
from toy_lessons import good_over_bad
from toy_model import ToyModels


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["comparisons", "--limit", "3", "--test-fraction", "0.5"], "takes their numbers from --sizes"),
        (["comparisons", "--sizes", "0", "--test-fraction", "0.5"], "--sizes 0 must be at least 1"),
        (["comparisons", "--sizes", "8"], "name them by --test or --test-fraction"),
        (["comparisons", "--test-fraction", "0.5"], "1,000 comparisons were asked for, and "),
        (["mixture", "--shares", "1.5", "--test-fraction", "0.5"], "--shares 1.5 must lie between 0 and 1"),
        (["mixture", "--test-fraction", "0.5"], "holds no harmless comparison"),
        (["setting", "--key", "learningrate", "--values", "1", "--test-fraction", "0.5"], "unknown key 'learningrate'"),
        (["setting", "--values", "1", "--test-fraction", "0.5"], "the following arguments are required: --key"),
        (["loss-weight", "--test-fraction", "0.5", "--limit", "0"], "--limit 0 must be at least 1"),
        (["comparisons", "--test-fraction", "0.5", "--models", "{toy}", "{toy}/"], "two are called the same"),
    ],
)
def test_refused_in_one_line(
    words: list[str], message: str, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hh(tmp_path / "help.jsonl", good_over_bad(20))
    rest = [word.format(toy=toy.chat) for word in words[1:]]
    rest += [] if "--models" in rest else ["--models", str(toy.chat)]
    command = ["scan", words[0], "--data", f"helpful={tmp_path}/help.jsonl", "--out", str(tmp_path / "scan"), *rest]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "scan").exists()


def test_the_table_fits_a_terminal() -> None:
    point = {
        "model": "m" * 40,
        "curve": "harmless",
        "x": 0.3,
        "accuracy": 0.6667,
        "ci95": [0.5, 0.8],
        "seeds": [0.6667],
    }
    lines = _table("harmless_share", [point])
    assert max(map(len, lines)) <= 80
    assert "0.3" in lines[1] and "66.7 %" in lines[1] and "50.0 to 80.0" in lines[1]
