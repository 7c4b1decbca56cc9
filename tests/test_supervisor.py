"""A child that dies, a child that does not listen, and a child that says why."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from concordant.collect import supervisor
from concordant.collect.supervisor import Supervisor


def wait_for(path: Path, lines: int) -> list[str]:
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, "it did not happen within 30 s"
        time.sleep(0.02)
    return path.read_text().splitlines()


def test_a_child_that_dies_is_started_again_and_ends_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.05,))
    code = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    log = tmp_path / "logs/child.log"
    with Supervisor("child", [sys.executable, "-c", code], log):
        (first,) = wait_for(log, 1)
        os.kill(int(first), signal.SIGKILL)
        _, second = wait_for(log, 2)
        assert first != second
    assert not Path(f"/proc/{second}").exists()


def test_a_child_that_does_not_listen_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.2)
    log = tmp_path / "child.log"
    with Supervisor("child", [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"], log):
        wait_for(log, 1)
    # Leaving the block is the assertion: it joins the thread that waits for the child.


def test_why_it_died_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.02,))
    code = "import sys; print('started'); sys.exit('the model has gone')"
    with Supervisor("reply generator", [sys.executable, "-c", code], tmp_path / "child.log"):
        wait_for(tmp_path / "child.log", 6)
    said = capfd.readouterr().err
    assert said == "the reply generator ended and is started again: the model has gone\n"
