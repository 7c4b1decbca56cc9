import json
import math
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.conversation import Conversation
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow
from concordant.programme import Programme
from concordant.runs import Run


class LengthModel(PreferenceModel):
    """A preference model whose score is the reply's length."""

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        return SharedRow([0], [[0], [0]])

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[0.1 * len(reply) for reply in replies] for _, replies in items]


class ShortModel(LengthModel):
    """Thrice as sure that shorter is better."""

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[-3 * score for score in scores] for scores in super().score_many(items)]


@pytest.fixture(autouse=True)
def length_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LengthModel(network=None, format=ChatFormat(tokenizer=None))
    monkeypatch.setattr(PreferenceModel, "load", lambda *_: model)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight comparisons, of which six prefer the longer reply, and one of equal replies."""
    rows = []
    for number in range(9):
        chosen, rejected = ("long reply", "short") if number < 6 else ("short", "long reply" if number < 8 else "short")
        talk = f"\n\nHuman: number {number}?\n\nAssistant: "
        rows.append(json.dumps({"chosen": talk + chosen, "rejected": talk + rejected}))
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def hhh(tmp_path: Path) -> Path:
    """Six items of two categories, of which five have the longer reply for the correct one."""
    rows = [
        {"category": "honest" if number < 3 else "other", "prompt": f"{number}?", "chosen": "longer", "rejected": "no"}
        for number in range(6)
    ]
    rows[1] |= {"chosen": "no", "rejected": "longer"}
    path = tmp_path / "hhh.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"category": "kind"}]))
    return path


@pytest.fixture
def games(tmp_path: Path) -> Path:
    rows = [
        f"new,old,{'a' if number % 4 else 'b'},w{number % 6},{1 if number % 5 == 0 else 3}" for number in range(160)
    ]
    path = tmp_path / "games.csv"
    path.write_text("\n".join(["model_a,model_b,winner,worker,strength", *rows]))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A programme's folder with a finished run of each kind."""
    programme = Programme.init(tmp_path / "home")
    pm = Run.begin(programme.runs / "pm-1", "pm", {}, {"data": "set"})
    for step in range(1, 21):
        pm.log({"step": step, "comparisons": 16 * step, "loss": 0.7 - 0.005 * step})
    pm.finish({"comparisons": 320, "seconds": 10.0})
    policy = Run.begin(programme.runs / "policy-1", "policy", {}, {"pm": "pm-1"})
    for step in range(1, 9):
        policy.log({"step": step, "samples": 32 * step, "score": 0.5 * step, "score_se": 0.1, "kl": float(step * step)})
    policy.finish({"updates": 8, "seconds": 20.0})
    return programme.path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_pm_gives_the_contracts_fields(data: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "runs" / "pm-1"
    assert main(["evaluate", "pm", str(run), "--data", str(data), "--json"]) == 0
    result = json.loads(said(capsys))
    assert {"n", "accuracy", "ci95", "ties", "nll", "ece", "length_baseline", "by_turn", "by_file"} <= result.keys()
    assert (result["n"], result["accuracy"], result["dropped"]) == (8, 0.75, {"equal replies": 1})
    # six gaps of +0.5 and two of −0.5
    assert result["nll"] == pytest.approx(0.75 * math.log1p(math.exp(-0.5)) + 0.25 * math.log1p(math.exp(0.5)))
    assert json.loads((run / "evaluation.json").read_text()) == result
    assert main(["report", str(run), "--out", str(runs / "report"), "--json"]) == 0
    assert json.loads(said(capsys))["figures"]["calibration"].startswith("Calibrated as far as 8 comparisons")


def test_pm_in_words_and_with_a_limit(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "pm", str(tmp_path / "model"), "--data", str(data), "--limit", "3"]) == 0
    assert said(capsys).startswith("3 comparisons from 3 openings")
    assert not (tmp_path / "model").exists()


def test_a_limit_draws_the_same_comparisons_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "pm", "model", "--data", str(data), "--limit", "4", "--json"]
    main(command)
    first = said(capsys)
    main(command)
    assert said(capsys) == first


def test_several_pms_are_measured_as_one(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One likes length, the other dislikes it more: together they are right on the two short replies of eight. No
    single run's folder keeps that."""

    def load(folder: Path, device: str) -> LengthModel:
        kind = ShortModel if folder.name == "short" else LengthModel
        return kind(network=None, format=ChatFormat(tokenizer=None))

    monkeypatch.setattr(PreferenceModel, "load", load)
    arguments = ["evaluate", "pm", str(runs / "pm-1"), str(tmp_path / "short"), "--data", str(data)]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["n"], result["accuracy"], result["ties"]) == (8, 0.25, 0.0)
    # Its members' gaps on "long reply" against "short" are ±(0.5, −1.5), which spread by 1 everywhere.
    spread = result["by_spread"]
    assert spread["mean"] == pytest.approx(1.0) and [third["n"] for third in spread["thirds"]] == [3, 3, 2]
    assert not (runs / "pm-1/evaluation.json").exists()
    assert main([*arguments, "--combine", "minimum"]) == 0
    words = capsys.readouterr().out
    assert "minimum of 2 models" in words and "members' spread, in thirds" in words
    assert "1.00 to 1.00 (|Δ|" in words and max(map(len, words.splitlines())) <= 80
    assert main([*arguments[:4], str(tmp_path / "short"), *arguments[4:]]) == 2
    assert "is named twice" in capsys.readouterr().err


def test_pm_with_a_bag_of_words_and_figures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lessons = tmp_path / "lessons.jsonl"
    talk = "\n\nHuman: {}?\n\nAssistant: {}"
    rows = [
        {"chosen": talk.format(opening, "long reply"), "rejected": talk.format(opening, "short")}
        for opening in ("number 3", "else", "something", "other")
    ]
    lessons.write_text("\n".join(map(json.dumps, rows)))
    out = tmp_path / "out"
    command = ["evaluate", "pm", "model", "--data", str(data), "--train", str(lessons), "--out", str(out)]
    assert main([*command, "--json"]) == 0
    result = json.loads(said(capsys))
    baseline = result["words_baseline"]
    assert (baseline["n"], baseline["accuracy"], baseline["trained_on"]) == (8, 0.75, 3)
    assert baseline["left_out"] == {"opening stands in the test set": 1}
    assert (baseline["lead"], baseline["lead_ci95"]) == (0.0, [0.0, 0.0])
    assert result["files"] == [str(out / "calibration.svg"), str(out / "calibration.csv")]
    assert main(command) == 0
    text = said(capsys)
    assert re.search(r"bag of words +75\.0 %", text)
    assert re.search(r"ahead of words +\+0\.0 points \(\+0\.0 to \+0\.0\)", text)
    everything = ["evaluate", "pm", "model", "--data", str(data), "--train", str(data)]
    assert main(everything) == 2
    assert "no comparison to fit the bag of words on (8 opening stands in the test set)" in capsys.readouterr().err


def test_pm_by_objective(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "red.jsonl"
    other.write_text(data.read_text().replace("number", "red"))
    assert main(["evaluate", "pm", "model", "--data", str(data), "--harmless", str(other), "--json"]) == 0
    result = json.loads(said(capsys))
    assert {name: part["n"] for name, part in result["by_objective"].items()} == {"helpful": 8, "harmless": 8}
    assert (result["n"], result["dropped"]) == (16, {"equal replies": 2})
    assert main(["evaluate", "pm", "model", "--data", str(data), "--harmless", str(other)]) == 0
    assert "objective" in said(capsys)


def test_hhh(hhh: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = runs / "runs" / "pm-1", tmp_path / "figures"
    assert main(["evaluate", "hhh", str(run), str(hhh), "--out", str(out), "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["n"], result["accuracy"], result["macro_mean"]) == (6, pytest.approx(5 / 6), pytest.approx(5 / 6))
    assert {name: part["accuracy"] for name, part in result["by_category"].items()} == {
        "honest": pytest.approx(2 / 3),
        "other": 1.0,
    }
    # "no" against "longer": 0.1 for each of four letters
    assert [(one["item"], one["difference"]) for one in result["worst"]] == [(2, pytest.approx(-0.4))]
    assert result["dropped"] == {"no category out of helpful, honest, harmless, other": 1}
    names = [f"{name}.{end}" for name in ("hhh-accuracy", "hhh-differences") for end in ("svg", "csv")]
    assert result.pop("files") == [str(out / name) for name in names]
    assert json.loads((run / "hhh.json").read_text()) == result
    assert main(["evaluate", "hhh", str(run), str(hhh)]) == 0
    text = said(capsys)
    assert "6 items of the HHH evaluation" in text and "mean of the categories" in text

    assert main(["report", str(run), "--out", str(tmp_path / "report"), "--json"]) == 0
    titles = json.loads(said(capsys))["figures"]
    assert titles["hhh-accuracy"].startswith("Right on 83")
    assert titles["accuracy-by-threshold"] is None


def test_calibration_writes_its_figure(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures"
    assert main(["evaluate", "calibration", "model", "--data", str(data), "--out", str(out), "--json"]) == 0
    result = json.loads(said(capsys))
    assert result["files"] == [str(out / "calibration.svg"), str(out / "calibration.csv")]
    assert (out / "calibration.svg").read_text().startswith("<svg")
    assert result["bins"][0]["n"] == 8


def test_elo(games: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "elo", str(games), "--anchor", "old", "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["n"], result["dropped"]) == (128, {"weakest strength": 32})
    assert result["ratings"][0]["elo"] == pytest.approx(400 * math.log10(3))  # 96 wins to 32
    assert (tmp_path / "out" / "elo.svg").exists()


def test_frontier(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "frontier", str(runs / "runs" / "policy-1"), "--json"]) == 0
    assert json.loads(said(capsys))["slope"] == pytest.approx(0.5)
    assert main(["evaluate", "frontier", str(runs / "runs" / "pm-1")]) == 2
    assert "is no policy run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["evaluate", "pm", "model", "--data", "absent.jsonl"], "absent.jsonl does not exist"),
        (["evaluate", "pm", "model", "--data", "test.jsonl", "--limit", "0"], "--limit 0 must be at least 1"),
        (
            ["evaluate", "pm", "m", "--data", "test.jsonl", "--harmless", "test.jsonl", "--objective", "harmless"],
            "--harmless goes without --objective harmless; give those files as --data",
        ),
        (["evaluate", "pm", "m", "--data", "test.jsonl", "--train", "absent"], "absent does not exist"),
        (["evaluate", "pm", "m", "--data", "test.jsonl", "--out", "test.jsonl"], "--out test.jsonl is a file"),
        (["evaluate", "hhh", "m", "absent.jsonl"], "absent.jsonl does not exist"),
        (["evaluate", "hhh", "m", "test.jsonl"], "test.jsonl: no item of the HHH evaluation"),
        (["evaluate", "elo", "absent.csv"], "absent.csv does not exist"),
        (["evaluate", "frontier", "absent"], "absent/config.json does not exist"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    command: list[str],
    message: str,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
