"""``demo``, ``init`` and ``iterate`` as typed; the circle itself is in ``test_demo.py`` and ``test_online.py``."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.collect.serving import Links
from concordant.commands.demo_verbs import STAGES, _numbers, closing_table
from concordant.demo import FULL, QUICK, Demo
from concordant.programme import Programme

STEPS: dict[str, dict[str, Any]] = {
    "collect": {"choices": 256, "seconds": 200.4},
    "freeze": {"dataset": "iteration-1", "comparisons": 250, "worker_kinds": {"scripted": 250}, "seconds": 0.0},
    "pm": {
        "n": 51,
        "accuracy": 0.7451,
        "ci95": [0.6112, 0.8451],
        "length_baseline": {"longer_wins": 0.6471},
        "seconds": 150.0,
    },
    "policy": {
        "before": {"score": -0.1, "score_se": 0.12, "kl": 0.0, "finished": 0.25, "n": 48},
        "after": {"score": 0.524, "score_se": 0.1, "kl": 3.456, "finished": 0.5, "n": 48},
        "seconds": 240.0,
    },
    "deploy": {"snapshot": "policy-1", "seconds": 0.0},
    "compare": {"choices": 96, "seconds": 90.0},
    "report": {
        "board": {
            "anchor": "smollm2-135m",
            "ratings": [
                {"model": "policy-1", "elo": 45.4, "ci95": [-12.0, 101.6], "games": 80},
                {"model": "smollm2-135m", "elo": 0.0, "ci95": [0.0, 0.0], "games": 80},
            ],
        },
        "seconds": 2.0,
    },
}


def test_as_many_iterations_as_asked_for_however_often_it_stops(tmp_path: Path) -> None:
    programme = Programme.init(tmp_path / "p")
    assert list(_numbers(programme, 2, first=4)) == [4, 5]
    made = []
    for number in _numbers(programme, 3, first=6):
        made.append(number)
        if number == 7:
            break  # stopped in iteration 7: it is begun, and not finished
    made += _numbers(programme, 3, first=7)
    assert made == [6, 7, 7, 8]
    assert list(_numbers(programme, 3, first=9)) == [9, 10, 11]


def test_the_closing_table() -> None:
    assert closing_table(STEPS, {"model": 37.2, "collect": 1.0}).splitlines() == [
        "",
        "comparisons            250 to learn from (scripted workers), 96 old against new",
        "preference model       74.5 % [61, 85] on 51 unseen comparisons",
        "  longer reply wins    64.7 %",
        "score                  -0.10 ± 0.12 → +0.52 ± 0.10",
        "KL, nats per reply     0.00  →  3.46",
        "replies that end       25.0 %  →  50.0 %",
        "Elo of policy-1        +45 [-12, 102] against smollm2-135m, 80 games",
        "time",
        f"  {STAGES['model']:<35}    0:37",
        f"  {STAGES['collect']:<35}    3:20",
        f"  {STAGES['freeze']:<35}    0:00",
        f"  {STAGES['pm']:<35}    2:30",
        f"  {STAGES['policy']:<35}    4:00",
        f"  {STAGES['deploy']:<35}    0:00",
        f"  {STAGES['compare']:<35}    1:30",
        f"  {STAGES['report']:<35}    0:02",
        f"  {'in all':<35}   12:00",
    ]


def test_the_closing_table_without_trial_and_board() -> None:
    steps = {
        **STEPS,
        "policy": {"before": {}, "after": {}, "seconds": 1.0},
        "report": {"no_board": "policy-1 won every game", "seconds": 1.0},
    }
    lines = closing_table(steps, {}).splitlines()
    assert "Elo                    policy-1 won every game" in lines
    assert not any(line.startswith(("score", "KL")) for line in lines)


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """What a command that cannot be done says, in one line."""
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "programme"
    for _ in range(2):
        assert main(["init", str(folder)]) == 0
        assert capsys.readouterr().out == f"{folder} is a programme; next: concordant serve --dir {folder}\n"
    assert Programme.open(folder).config.model == "smollm2-135m"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("")
    assert "is not empty and is no programme" in refused(capsys, ["init", str(tmp_path / "full")])
    assert "is not empty and is no programme" in refused(capsys, ["demo", "--dir", str(tmp_path / "full")])


def test_iterate_needs_a_programme_and_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no programme" in refused(capsys, ["iterate", "--dir", str(tmp_path)])
    Programme.init(tmp_path / "p")
    assert "no pages are served from" in refused(capsys, ["iterate", "--dir", str(tmp_path / "p")])
    assert "--iterations 0 must be at least 1" in refused(
        capsys, ["iterate", "--dir", str(tmp_path / "p"), "--iterations", "0"]
    )
    # What a server that was killed leaves behind is no server.
    (tmp_path / "p/serve.json").write_text('{"url": "http://127.0.0.1:9", "pid": 1}')
    assert "no pages are served from" in refused(capsys, ["iterate", "--dir", str(tmp_path / "p")])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """Folder and settings of each demo that was asked for; it ends at once."""
    found: list[tuple[Path, str]] = []

    @contextmanager
    def running(folder: Path, settings: str, stages: Any) -> Iterator[Demo]:
        found.append((folder, settings))
        with stages.stage("model"):
            pass
        yield Demo(STEPS, Links("http://here/w/1", "http://here/staff/link/2"))

    monkeypatch.setattr("concordant.demo.running_demo", running)
    return found


def test_a_demo_in_short(asked: list[tuple[Path, str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--then-stop"]) == 0
    found = capsys.readouterr()
    assert found.out == f"{closing_table(STEPS, {'model': 0.0})}\n\nconcordant-demo/report/index.html\n"
    assert "base model" in found.err
    assert main(["demo", "--quick", "--then-stop", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["dir"], result["steps"], list(result["stage_seconds"])) == ("concordant-quick", STEPS, ["model"])
    assert main(["demo", "--quick", "--dir", "elsewhere", "--then-stop"]) == 0
    folders = [("concordant-demo", FULL), ("concordant-quick", QUICK), ("elsewhere", QUICK)]
    assert asked == [(Path(folder), settings) for folder, settings in folders]


def test_a_demo_serves_until_ctrl_c(
    asked: list[tuple[Path, str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waits = threading.Event.wait

    def interrupt(event: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is not threading.main_thread():  # such as a progress bar's
            return waits(event, timeout)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Event, "wait", interrupt)
    assert main(["demo", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "worker      http://here/w/1" in out and "researcher  http://here/staff/link/2" in out
    assert out.endswith("ended; the same command serves it again\n")
    assert main(["demo", "--quick", "--json"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["steps"] == STEPS  # one object alone, with the table beside it
    assert "http://here/w/1" in found.err
