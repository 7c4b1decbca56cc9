"""Which reply a policy finds likelier: shares by hand, the x axis, and the verb on models of random weights."""

import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.commands.likelihood_verb import _samples
from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.likelihood import ceiling, measure_likelihood
from concordant.evaluate.likelihood_figure import likelihood_figure
from concordant.models.language_model import LanguageModel
from concordant.runs import Run
from hh_rows import write_hh
from lengths import LENGTHS
from scripted_asked import ScriptedAsked
from test_made_model import policy
from toy_model import ToyModels


def silent(*_: object) -> None:
    pass


def pair(number: int, better: str, worse: str, strength: int | None = None) -> Preference:
    comparison = Comparison(Conversation().human(f"ask {number}"), better, worse)
    return Preference(comparison, "a", Objective.HELPFUL, strength=strength)


PAIRS = [
    pair(1, "one two three", "one"),
    pair(2, "one", "one two three"),
    pair(3, "one two", "two one"),
    pair(4, "one two", "one"),
    pair(5, "one", "two", strength=1),
]


def even(context: str, option: str) -> float:
    """Every reply is as likely as any other, so a token of a long one is likelier: right, wrong, level, right."""
    return -2.0


def by_token(context: str, option: str) -> float:
    """Every token is as likely as any other: all are level by the mean, and the shorter would win by the sum."""
    return -1.0 * len(option.split())


def test_by_hand(tmp_path: Path) -> None:
    models = [ScriptedAsked(tmp_path, by_token, name="before"), ScriptedAsked(tmp_path, even, name="after")]
    found = measure_likelihood(models, {"helpful": PAIRS}, {"before": 0, "after": 512}, silent)
    (row,) = found["tasks"]
    assert (row["task"], row["n"], row["clusters"]) == ("helpful", 4, 4)
    assert row["scores"]["before"]["value"] == 0.5 and row["scores"]["after"]["value"] == 2.5 / 4
    assert row["differences"]["after"]["value"] == 0.125
    assert (row["differences"]["after"]["better"], row["differences"]["after"]["worse"]) == (2, 1)
    assert found["samples"] == {"before": 0, "after": 512}
    assert found["dropped"] == {"helpful": {"weakest strength": 1}}
    # Lengths: 13 against 3, 3 against 13, 7 against 7, 7 against 3.
    above = ceiling(LENGTHS, PAIRS, silent)
    assert (above["value"], above["n"]) == (2.5 / 4, 4)
    with pytest.raises(UserError, match="nothing in 'x' can be compared"):
        measure_likelihood(models, {"x": PAIRS[-1:]}, {"before": 0, "after": None}, silent)


def test_the_figure_says_what_came(tmp_path: Path) -> None:
    models = [ScriptedAsked(tmp_path, by_token, name="before"), ScriptedAsked(tmp_path, even, name="after")]
    result = measure_likelihood(models, {"helpful": PAIRS}, {"before": 0, "after": 512}, silent)
    result["ceilings"] = {"helpful": {"pm": ceiling(LENGTHS, PAIRS, silent)}}
    figure = likelihood_figure(result)
    assert figure.title.startswith("after: helpful 62.5\u202f% (+12.5 points")
    assert "pm on helpful: 62.5\u202f%" in figure.caption and "helpful 4." in figure.caption
    rows = [line.split(",")[:4] for line in figure.csv.splitlines()[1:]]
    assert rows == [
        ["helpful", "before", "0", "0.5"],
        ["helpful", "after", "512", "0.625"],
        ["helpful", "pm", "", "0.625"],
    ]
    assert "replies sampled in training" in figure.svg
    result["samples"]["after"] = None
    assert "replies sampled in training" not in likelihood_figure(result).svg, "side by side, by their names"


def test_how_far_each_was_trained(tmp_path: Path) -> None:
    run = policy(tmp_path / "policy-1", adapter=True)
    (run.kept / "4" / "kept.json").write_text('{"updates": 4, "samples": 128}')
    assert _samples(str(run.kept / "4")) == 128
    assert _samples(str(run.path)) is None, "nothing was logged"
    for step in range(3):
        Run(run.path).log({"step": step, "samples": 32 * step})
    assert _samples(str(run.path)) == 96, "three updates of 32"
    assert _samples("smollm2-135m") == _samples(str(tmp_path)) == 0


def test_the_verb(
    toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_hh(tmp_path / "helpful.jsonl", PAIRS[:4])
    asked = ["evaluate", "likelihood", str(toy.chat), str(toy.gpt2), "--data", f"helpful={tmp_path / 'helpful.jsonl'}"]
    asked += ["--out", str(tmp_path / "out"), "--json"]
    assert main(asked) == 0
    result = json.loads(capsys.readouterr().out)
    (row,) = result["tasks"]
    assert result["models"] == ["chat", "gpt2"] and row["n"] == 4 and set(row["scores"]) == {"chat", "gpt2"}
    assert result["samples"] == {"chat": 0, "gpt2": 0}
    assert sorted(Path(file).name for file in result["files"]) == ["likelihood-accuracy.csv", "likelihood-accuracy.svg"]
    monkeypatch.setattr(LanguageModel, "load", lambda *_: pytest.fail("a model was loaded"))
    assert main(asked) == 0 and json.loads(capsys.readouterr().out) == result, "all was answered"
    assert main([*asked[:-1], "--limit", "2"]) == 0
    assert "helpful, n = 2: the better reply is likelier" in capsys.readouterr().out
    assert main([*asked, "--limit", "0"]) == 2 and "--limit 0 must be at least 1" in capsys.readouterr().err
    assert main(["evaluate", "likelihood", "m", "--data", "file.jsonl", "--out", str(tmp_path / "o")]) == 2
    assert "names nothing; write NAME=file.jsonl" in capsys.readouterr().err
