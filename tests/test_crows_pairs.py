from pathlib import Path

import pytest

from benchmark_folder import make_bias_files
from concordant.errors import UserError
from concordant.evaluate.crows_pairs import ask_crows_pairs, crows_summary, read_crows_pairs
from scripted_asked import ScriptedAsked


def test_the_likelier_sentence_counts_and_a_tie_is_half(tmp_path: Path) -> None:
    pairs = read_crows_pairs(make_bias_files(tmp_path) / "crows_pairs.csv")
    assert len(pairs) == 6 and pairs[0].more == "All old people wait, 0." and pairs[0].kind == "old"

    def rule(context: str, option: str) -> float:
        assert context == ""
        return -1.0 if option.startswith("All old") else -2.0

    rows = ask_crows_pairs(ScriptedAsked(tmp_path, rule), pairs)
    found = crows_summary(rows)
    assert (found["old"]["share"], found["young"]["share"], found["all"]["share"]) == (1, 0.5, 0.75)
    assert found["all"]["n"] == 6


def test_other_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sent_more,bias_type\nx,y\n")
    with pytest.raises(UserError, match="needs the columns 'sent_more', 'sent_less' and 'bias_type'"):
        read_crows_pairs(tmp_path / "a.csv")
