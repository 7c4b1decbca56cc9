"""A policy run that is killed at twenty moments, in rollouts, updates and saves, ends as if nobody had."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from concordant.runs import Run, read_jsonl
from toy_model import ToyModels

TESTS = Path(__file__).parents[1]
KILLS = 20


@pytest.fixture(scope="module")
def killed(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the runs."""
    out = tmp_path_factory.mktemp("killed")
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(TESTS / "policy_killer.py"), str(toy.chat), str(out), str(KILLS)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_the_moments_lie_in_every_phase(killed: Path) -> None:
    kills = list(read_jsonl(killed / "kills.jsonl"))
    assert len(kills) == KILLS
    assert min(Counter(kill["phase"] for kill in kills).values()) >= KILLS // 3
    assert len({kill["function"] for kill in kills}) > 5


def test_killed_runs_equal_the_one_that_was_not_bit_for_bit(killed: Path) -> None:
    """Policy, value head, both states of the optimiser, rates, draws, metrics, replies, snapshots; not the seconds."""
    straight, *others = [Run(path) for path in [killed / "straight", *sorted(killed.glob("[0-9]*"))]]
    assert others
    expected = written(straight)
    assert {"last/state.safetensors", "model/adapter_model.safetensors", "samples.jsonl"} <= expected.keys()
    assert any(name.startswith("kept/") for name in expected)
    for run in others:
        assert written(run) == expected
        assert timeless(run.metrics()) == timeless(straight.metrics())
        assert timeless([run.result]) == timeless([straight.result])


def written(run: Run) -> dict[str, bytes]:
    """Every file of a run but those that tell seconds."""
    timed = ("metrics.jsonl", "result.json")
    files = [path for path in run.path.rglob("*") if path.is_file() and path.name not in timed]
    # One that was killed after its result was written keeps its checkpoint; nobody reads it.
    return {str(path.relative_to(run.path)): path.read_bytes() for path in files if path.parent != run.checkpoint}


def timeless(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
