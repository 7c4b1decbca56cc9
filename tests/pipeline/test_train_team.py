"""``train pm`` under torchrun: two processes are one trainer, which gives the losses, gradients and weights of one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from concordant.runs import Run
from toy_lessons import good_over_bad
from toy_model import ToyModels

SETTINGS = ("batch_size=5", "learning_rate=1e-3", "warmup_steps=2", "row_tokens=64", "checkpoint_seconds=0")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    rows = [
        {side: f"{one.prompt.to_hh()}\n\nAssistant: {getattr(one, side)}" for side in ("chosen", "rejected")}
        for one in good_over_bad(23)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train(data: Path, model: Path, out: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = ["-m", "concordant.cli", "train", "pm", "--data", str(data), "--model", str(model), "--out", str(out)]
    settings = [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]
    done = subprocess.run(
        [*start, *command, *settings, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("more", [(), ("lora_rank=4", "lm_coef=1")], ids=["all weights", "LoRA, loss on text"])
def test_two_processes_train_as_one_does(more: tuple[str, ...], data: Path, toy: ToyModels, tmp_path: Path) -> None:
    """The last batch, of three comparisons, is cut into unequal parts; the first process alone writes and speaks."""
    one, two = (Run(tmp_path / name) for name in ("one", "two"))
    train(data, toy.chat, one.path, 1, *more)
    said = train(data, toy.chat, two.path, 2, *more).stdout
    assert json.loads(said)["comparisons"] == 23 and said.count("\n") == 1
    assert [row["step"] for row in two.metrics()] == [1, 2, 3, 4, 5]
    for mine, theirs in zip(one.metrics(), two.metrics(), strict=True):
        for name in mine.keys() - {"seconds"}:
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4, abs=1e-6), name
    weights, others = (load_file(run.model / "model.safetensors") for run in (one, two))
    for name, weight in weights.items():
        torch.testing.assert_close(others[name], weight, atol=2e-5, rtol=1e-4)
