"""Progress where there is no terminal: a line now and then, and one for each stage at its end."""

import sys

import pytest

from concordant.commands.progress import TerminalStages, clock, progress


class Clock:
    """Time that passes only when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("concordant.commands.progress.time.monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (61.0, "1:01"), (3599.9, "1:00:00"), (3661.0, "1:01:01")],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At 10 s none yet; at 30 s a quarter is done, so three times as long is left; the next comes 30 s later."""
    time = Clock(monkeypatch)
    with progress("training") as watch:
        for seconds, done in ((0, 0), (10, 1), (30, 2), (45, 3), (61, 4)):
            time.now = 100 + seconds
            watch(done, 8, f"loss 0.{done}")
    assert capsys.readouterr().err == "  training: 2/8, 1:30 left  loss 0.2\n  training: 4/8, 1:01 left  loss 0.4\n"


def test_before_anything_is_done_no_time_is_guessed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    time = Clock(monkeypatch)
    with progress("collecting") as watch:
        watch(0, 12, "")
        time.now += 40
        watch(0, 12, "")
    assert capsys.readouterr().err == "  collecting: 0/12\n"


def test_what_cannot_be_counted_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A download may take minutes, and its one line comes at its beginning."""
    with progress("base model") as watch:
        watch(0, 0, "downloading")
    assert capsys.readouterr().err == "  base model: downloading\n"


def test_stages_leave_a_line_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    time = Clock(monkeypatch)
    stages = TerminalStages({"pm": "preference model"})
    for name, seconds in (("pm", 61), ("other", 5)):
        with stages.stage(name):
            time.now += seconds
    assert capsys.readouterr().err.splitlines() == [
        "  preference model                      1:01",
        "  other                                 0:05",
    ]
    assert stages.seconds == {"pm": 61.0, "other": 5.0}


def test_a_stage_that_fails_leaves_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    stages = TerminalStages({})
    with pytest.raises(KeyError), stages.stage("pm"):
        raise KeyError
    assert (capsys.readouterr().err, stages.seconds) == ("", {})


def test_on_a_terminal_a_bar_is_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress("training") as watch:
        watch(3, 12, "loss 0.6")
        watch(12, 12, "loss 0.5")
    drawn = capsys.readouterr().err
    assert "training" in drawn and "12/12" in drawn and "loss 0.5" in drawn
