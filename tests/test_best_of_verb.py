"""``concordant evaluate best-of`` as typed, on toy models: numbers, files, going on, and a policy on the same axes."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.cli import main
from concordant.models.made_model import model_id
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from hh_rows import write_hh
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels


@pytest.fixture
def pm(toy: ToyModels, tmp_path: Path) -> Path:
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    with torch.no_grad():
        model.network.score.weight.mul_(100)
    model.save(tmp_path / "pm")
    return tmp_path / "pm"


@pytest.fixture
def words(toy: ToyModels, pm: Path, tmp_path: Path) -> list[str]:
    lessons = [*good_over_bad(5), preference("x" * 400, "yes", "no")]
    write_hh(tmp_path / "hh.jsonl", lessons)
    made = ["evaluate", "best-of", tmp_path / "hh.jsonl", "--model", toy.chat, "--pm", pm, "--n", 6]
    return [*map(str, made), "--max-new-tokens", "6", "--out", str(tmp_path / "out")]


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main(words) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_numbers_and_files(
    words: list[str], pm: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PreferenceModel.from_language_model(toy.gpt2, seed=1).save(tmp_path / "test-pm")
    words += ["--test-pm", str(tmp_path / "test-pm"), "--limit", "4"]
    result = said(capsys, words)
    assert (result["prompts"], result["n"], result["left_out"]) == (4, 6, 1)
    assert [point["k"] for point in result["points"]] == [1, 2, 3, 4, 5, 6]
    scores = [point["score"] for point in result["points"]]
    assert scores == sorted(scores) and scores[-1] > scores[0]
    assert "test_score" in result["points"][0]
    rows = Run.open(tmp_path / "out").metrics()
    assert scores[-1] == pytest.approx(sum(max(row["score"]) for row in rows) / 4)
    table = list(csv.DictReader((tmp_path / "out/best-of-k-against-root-kl.csv").read_text().splitlines()))
    assert [float(row["score"]) for row in table] == pytest.approx(scores)
    assert (tmp_path / "out/best-of-k-against-root-kl.svg").read_text().startswith("<svg")

    # A run that was killed goes on, and the same command again computes nothing.
    (tmp_path / "out/result.json").unlink()
    Run(tmp_path / "out").rewind(2)
    again = said(capsys, words)
    assert again == result
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "4 prompts, 6 replies each" in text and "     k     KL    √KL    score ± s.e.       test ± s.e." in text


def test_a_policy_on_the_same_axes(
    words: list[str], pm: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, own = model_id(toy.chat), model_id(pm)
    for name, against, begun in (
        ("policy", own, base),
        ("other", "pm@000000000000", base),
        ("elsewhere", own, "chat@000000000000"),
    ):
        run = Run.begin(tmp_path / name, "policy", {}, {"pm": against, "base": begun})
        run.log({"step": 1, "kl": 0.25, "score": 0.5})
    said(capsys, [*words, "--policy", str(tmp_path / "policy")])
    table = list(csv.DictReader((tmp_path / "out/best-of-k-against-root-kl.csv").read_text().splitlines()))
    assert (table[-1]["root_kl"], table[-1]["score"], table[-1]["what"]) == ("0.5", "0.5", "policy")
    assert "was trained against pm@000000000000, and --pm is pm@" in refused(
        capsys, [*words, "--policy", str(tmp_path / "other")]
    )
    assert f"was trained from chat@000000000000, and --model is {base}" in refused(
        capsys, [*words, "--policy", str(tmp_path / "elsewhere")]
    )
    assert "is no policy run" in refused(capsys, [*words, "--policy", str(tmp_path / "out")])


def test_a_run_that_was_killed_keeps_what_it_had_and_goes_on_with_the_same_inputs_alone(
    words: list[str], pm: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before its result was whole, how many prompts were too long is not lost; models are known by content."""
    finish = Run.finish

    def killed(run: Run, result: dict[str, Any]) -> None:
        finish(run, result)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "finish", killed)
        assert main(words) == 130
    capsys.readouterr()
    assert said(capsys, words)["left_out"] == 1
    parents = Run.open(tmp_path / "out").head["parents"]
    assert parents["model"] == model_id(toy.chat) and parents["pm"].startswith("pm@")
    PreferenceModel.from_language_model(toy.chat, seed=3).save(pm)
    assert "holds another run (parents.pm was 'pm@" in refused(capsys, words)
    moved = tmp_path / "chat"
    shutil.copytree(toy.gpt2, moved)
    words[words.index("--model") + 1] = str(moved)
    assert "parents.model was 'chat@" in refused(capsys, words)


def test_what_cannot_be_asked_is_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for change, message in (
        (["--n", "1"], "--n 1 must lie between 2 and 1,000"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--temperature", "0"], "must be above 0"),
        (["--pm", "absent"], "absent holds no preference model"),
        (["--max-prompt-tokens", "3"], "none of the 6 prompts fits --max-prompt-tokens 3"),
    ):
        assert message in refused(capsys, [*words, *change])
