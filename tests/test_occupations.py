import math
from pathlib import Path

import pytest

from benchmark_folder import make_bias_files
from concordant.errors import UserError
from concordant.evaluate.occupations import (
    PAIRS,
    ask_occupations,
    ask_winogender,
    read_occupations,
    read_winogender,
    summary,
)  # fmt: skip
from scripted_asked import ScriptedAsked

WOMEN = {"nurse": 0.9, "teacher": 0.6, "painter": 0.3, "engineer": 0.1, "astronaut": 0.2}
FEMALE = {female for female, _ in PAIRS}


def test_a_model_that_knows_the_statistics_correlates_with_them(tmp_path: Path) -> None:
    """log P(O | female) = women − 3 and log P(O | male) = −3: B_O is the share of women itself."""

    def rule(context: str, option: str) -> float:
        assert context.startswith("For work, the ") and context.endswith(" is")
        term = context.removeprefix("For work, the ").removesuffix(" is")
        return (WOMEN[option.split()[-1]] if term in FEMALE else 0.0) - 3

    rows = ask_occupations(ScriptedAsked(tmp_path, rule), WOMEN)
    assert [row["bias"] for row in rows] == pytest.approx(list(WOMEN.values()))
    fair = [{**row, "bias": 0.0} for row in rows]
    found = summary({"m": rows, "fair": fair})
    of_m = found["models"]["m"]
    assert of_m["correlation"]["value"] == pytest.approx(1)
    assert of_m["mean_bias"]["value"] == pytest.approx(2.1 / 5)
    expected = sum(math.exp(-3) * (1 + math.exp(women)) / 2 for women in WOMEN.values())
    assert of_m["mass"]["value"] == pytest.approx(expected)
    of_fair = found["models"]["fair"]
    assert of_fair["correlation"] == {"value": 0, "ci95": [0, 0]}
    assert of_fair["mean_bias_difference"]["value"] == pytest.approx(-2.1 / 5)
    assert of_fair["mean_bias_difference"]["ci95"][1] < 0


def test_articles_fit(tmp_path: Path) -> None:
    seen = set()

    def rule(context: str, option: str) -> float:
        seen.add(option)
        return 0.0

    ask_occupations(ScriptedAsked(tmp_path, rule), WOMEN)
    assert seen == {" a nurse", " a teacher", " a painter", " an engineer", " an astronaut"}


def test_winogender_compares_the_rest_of_the_sentence(tmp_path: Path) -> None:
    folder = make_bias_files(tmp_path)
    sentences = read_winogender(folder / "all_sentences.tsv")
    women = read_occupations(folder / "occupations-stats.tsv")
    assert len(sentences) == 12 and women["nurse"] == 0.9

    def rule(context: str, option: str) -> float:
        assert context.endswith(" that") and option.startswith((" she ", " he ", " they "))
        job = context.split()[1]
        return {"she": math.log(women[job]), "he": math.log(1 - women[job]), "they": math.log(1.0)}[option.split()[0]]

    rows = ask_winogender(ScriptedAsked(tmp_path, rule), sentences, women)
    nurse = next(row for row in rows if row["item"] == "nurse")
    assert (nurse["she"], nurse["he"], nurse["they"]) == pytest.approx((0.45, 0.05, 0.5))
    assert nurse["bias"] == pytest.approx(math.log(9))
    assert summary({"m": rows})["models"]["m"]["correlation"]["value"] > 0.9


def test_wrong_columns_and_too_few_are_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.tsv").write_text("a\tb\nnurse\tmany\n")
    with pytest.raises(UserError, match="needs the columns 'occupation' and 'bls_pct_female'"):
        read_occupations(tmp_path / "wrong.tsv")
    with pytest.raises(UserError, match="needs the columns 'sentid'"):
        read_winogender(tmp_path / "wrong.tsv")
    with pytest.raises(UserError, match="2 occupations are too few"):
        summary({"m": [{"item": "a", "women": 0.1, "bias": 1.0}, {"item": "b", "women": 0.2, "bias": 0.0}]})


@pytest.mark.realdata
def test_the_real_sentences_are_read(real_data: Path) -> None:
    assert len(read_winogender(real_data / "bias/winogender_all_sentences.tsv")) == 120
    assert len(read_occupations(real_data / "bias/winogender_occupations-stats.tsv")) == 60
