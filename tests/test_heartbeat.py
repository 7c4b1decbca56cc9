import os
import time
from pathlib import Path

from concordant.collect.heartbeat import STALE_SECONDS, GeneratorState, Heartbeat


def test_what_was_said_is_read_until_it_is_stale(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path / "state")
    assert heartbeat.read() is GeneratorState.GONE
    for state in (GeneratorState.STARTING, GeneratorState.WRITING, GeneratorState.WRITING):
        heartbeat.beat(state)
        assert heartbeat.read() is state
    past = time.time() - STALE_SECONDS - 1
    os.utime(tmp_path / "state", (past, past))
    assert heartbeat.read() is GeneratorState.GONE
    heartbeat.beat(GeneratorState.WRITING)  # the same word again is a sign of life too
    assert heartbeat.read() is GeneratorState.WRITING


def test_without_a_file_nothing_is_known() -> None:
    Heartbeat(None).beat(GeneratorState.IDLE)
    assert Heartbeat(None).read() is GeneratorState.UNKNOWN


def test_it_beats_while_the_block_lasts(tmp_path: Path) -> None:
    heartbeat, states = Heartbeat(tmp_path / "state"), iter(GeneratorState)
    with heartbeat.beating(lambda: next(states)):
        deadline = time.monotonic() + 10
        while heartbeat.read() is not GeneratorState.IDLE and time.monotonic() < deadline:
            time.sleep(0.02)
        assert heartbeat.read() is GeneratorState.IDLE
