import json
import math
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


def test_a_report_of_named_runs(games: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs / "runs" / name) for name in ("pm-1", "policy-1")]
    out = tmp_path / "report"
    assert main(["report", *names, "--games", str(games), "--out", str(out), "--title", "T", "--json"]) == 0
    result = json.loads(said(capsys))
    assert result["report"] == str(out / "index.html")
    assert result["figures"]["calibration"] is None
    assert "0.50 per √nat" in result["figures"]["score-against-root-kl"]


def test_a_report_of_the_programmes_newest_runs(data: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "pm", str(runs / "runs" / "pm-1"), "--data", str(data)])
    assert main(["report", "--dir", str(runs), "--out", str(runs / "report")]) == 0
    page = (runs / "report" / "index.html").read_text()
    assert "Report on pm-1, policy-1" in page
    assert "No games to rate" in page
    assert said(capsys).endswith(f"{runs / 'report' / 'index.html'}\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["evaluate", "pm", "model", "--data", "absent.jsonl"], "absent.jsonl does not exist"),
        (["evaluate", "pm", "model", "--data", "test.jsonl", "--limit", "0"], "--limit 0 must be at least 1"),
        (["evaluate", "elo", "absent.csv"], "absent.csv does not exist"),
        (["evaluate", "frontier", "absent"], "absent/config.json does not exist"),
        (["report", "--out", "out"], "no RUN was named and . is no programme"),
        (["report", "absent", "--out", "out"], "absent/config.json does not exist"),
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
