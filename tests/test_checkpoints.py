"""A training state on disk: what is saved comes back bit for bit, and a killed save is as if it had not been."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from concordant.models.checkpoints import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    restore_weights,
    trained_weights,
    without_prefix,
)


def network() -> nn.Sequential:
    """Three layers, of which the last is frozen."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 1))
    made[2].requires_grad_(False)
    return made


def optimizer_of(made: nn.Module) -> AdamW:
    return AdamW([weight for weight in made.parameters() if weight.requires_grad], lr=0.1)


def train(made: nn.Module, optimizer: AdamW, steps: range) -> None:
    for step in steps:
        batch = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        made(batch).pow(2).sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    straight = network()
    optimizer = optimizer_of(straight)
    train(straight, optimizer, range(6))

    first = network()
    half = optimizer_of(first)
    train(first, half, range(3))
    tensors = prefixed("weights", trained_weights(first)) | prefixed("optimizer", optimizer_tensors(half))
    Checkpoint(tensors, {"step": 3, "names": ["a"]}).save(tmp_path / "checkpoint")

    saved = Checkpoint.load(tmp_path / "checkpoint")
    assert saved is not None and saved.values == {"step": 3, "names": ["a"]}
    second = network()
    rest = optimizer_of(second)
    restore_weights(second, without_prefix("weights", saved.tensors))
    restore_optimizer(rest, without_prefix("optimizer", saved.tensors))
    train(second, rest, range(3, 6))
    for one, other in zip(straight.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


def test_only_what_is_trained_is_kept() -> None:
    assert sorted(trained_weights(network())) == ["0.bias", "0.weight", "1.bias", "1.weight"]


def test_a_weight_that_is_missing_is_an_error() -> None:
    made = network()
    weights = trained_weights(made)
    weights.pop("1.bias")
    with pytest.raises(KeyError, match=r"1\.bias"):
        restore_weights(made, weights)


def test_an_optimiser_that_has_not_begun_comes_back_so() -> None:
    """A policy's LoRA has no optimiser state while only the critic learns."""
    made = network()
    fresh = optimizer_of(made)
    assert optimizer_tensors(fresh) == {}
    restore_optimizer(fresh, {})
    train(made, fresh, range(1))
    assert len(optimizer_tensors(fresh)) == 4 * 3  # two moments and a step, for each trained weight


def test_settings_of_the_optimiser_stay_its_own() -> None:
    made = network()
    one = optimizer_of(made)
    train(made, one, range(1))
    other = AdamW([weight for weight in made.parameters() if weight.requires_grad], lr=0.7)
    restore_optimizer(other, optimizer_tensors(one))
    assert other.param_groups[0]["lr"] == 0.7


def test_prefixes() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    both = prefixed("a", {"x/y": one}) | prefixed("ab", {"x/y": two})
    assert without_prefix("a", both) == {"x/y": one}
    assert without_prefix("ab", both) == {"x/y": two}


def test_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint.load(tmp_path / "checkpoint") is None


def test_a_later_checkpoint_takes_the_place_of_an_earlier(tmp_path: Path) -> None:
    for step in (1, 2):
        Checkpoint({"x": torch.full((2,), float(step))}, {"step": step}).save(tmp_path / "checkpoint")
    saved = Checkpoint.load(tmp_path / "checkpoint")
    assert saved is not None and (saved.values["step"], saved.tensors["x"].tolist()) == (2, [2.0, 2.0])
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


MOMENTS = [("save_file", 1), ("write_whole", 1), ("fsync", 2), ("rename", 1), ("rename", 2)]
"""Where a save is killed: before the tensors, before the values, while they are flushed, before each rename."""

KILLED = """
    import os, sys
    from pathlib import Path
    import torch
    import concordant.models.checkpoints as checkpoints
    from concordant.models.checkpoints import Checkpoint

    def die(folder, call, which):
        Checkpoint({"x": torch.zeros(3)}, {"step": 1}).save(folder)
        place = os if hasattr(os, call) else checkpoints
        real, calls = getattr(place, call), []

        def dying(*arguments, **named):
            calls.append(call)
            return os._exit(9) if len(calls) == which else real(*arguments, **named)

        setattr(place, call, dying)
        Checkpoint({"x": torch.ones(3)}, {"step": 2}).save(folder)

    for number, (call, which) in enumerate(MOMENTS):
        child = os.fork()
        if not child:
            die(Path(sys.argv[1]) / str(number) / "checkpoint", call, which)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, (call, which)
"""


def test_a_killed_save_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    script = f"MOMENTS = {MOMENTS!r}\n{textwrap.dedent(KILLED)}"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
    for number in range(len(MOMENTS)):
        saved = Checkpoint.load(tmp_path / str(number) / "checkpoint")
        assert saved is not None and (saved.values["step"], saved.tensors["x"].tolist()) == (1, [0.0] * 3)
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == ["checkpoint"]
