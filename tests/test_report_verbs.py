"""``report`` as typed: of runs that are named, and of a programme's newest."""

import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.runs import Run


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


def test_a_report_of_named_runs(games: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs / "runs" / name) for name in ("pm-1", "policy-1")]
    out = tmp_path / "report"
    assert main(["report", *names, "--games", str(games), "--out", str(out), "--title", "T", "--json"]) == 0
    result = json.loads(said(capsys))
    assert result["report"] == str(out / "index.html")
    assert result["figures"]["calibration"] is None
    assert "0.50 per √nat" in result["figures"]["score-against-root-kl"]


def test_a_report_of_the_programmes_newest_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--dir", str(runs), "--out", str(runs / "report")]) == 0
    page = (runs / "report" / "index.html").read_text()
    assert "Report on home" in page and "pm-1: " in page and "policy-1: " in page
    assert "No games to rate" in page
    assert said(capsys).endswith(f"{runs / 'report' / 'index.html'}\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["report", "--out", "out"], "no FOLDER was named and . is no programme"),
        (["report", "absent", "--out", "out"], "absent/config.json does not exist"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    command: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
