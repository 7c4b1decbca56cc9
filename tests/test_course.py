"""The course of a run: when it has diverged, by hand, and where it goes on."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from concordant.errors import UserError
from concordant.models.parallel import Team
from concordant.runs import Run
from concordant.train.course import LONG, Course, adamw


def course(floor: float = 0.5) -> Course:
    torch.manual_seed(0)
    network = nn.Linear(3, 1)
    network.bias.requires_grad_(False)
    return Course(network, adamw(network, 0.1, 0.0), floor, "; a coin's is 0.5")


def a_run(folder: Path) -> Run:
    return Run.begin(folder / "run", "pm", {}, {})


def feed(it: Course, run: Run, losses: list[float]) -> None:
    for loss in losses:
        it.stop_if_diverged(run, {"loss": loss, "grad_norm": 1.0}, 0.1)
        it.step += 1


def test_twenty_losses_three_times_the_floor_are_a_divergence(tmp_path: Path) -> None:
    """The limit is 3 · 0.5; a first loss of 0.4 lies below the floor and changes nothing."""
    it, run = course(), a_run(tmp_path)
    feed(it, run, [0.4] + [1.6] * (LONG - 2))
    assert it.limit == pytest.approx(1.5)
    with pytest.raises(UserError) as error:
        feed(it, run, [1.6])  # twenty now, and their mean is 1.54
    assert "mean loss of 20 steps is 1.54 (it began at 0.40; a coin's is 0.5) at step 20" in str(error.value)


def test_a_run_that_begins_high_is_measured_by_where_it_began(tmp_path: Path) -> None:
    it = course()
    feed(it, a_run(tmp_path), [4.0] * 40)
    assert it.limit == pytest.approx(12.0)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_once(number: float, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the run diverged; it had no checkpoint yet; .* learning_rate"):
        feed(course(), a_run(tmp_path), [number])
    with pytest.raises(UserError, match="its gradient"):
        course().stop_if_diverged(a_run(tmp_path), {"loss": 0.5, "grad_norm": number}, 0.1)


def test_it_goes_on_where_the_checkpoint_stands(tmp_path: Path) -> None:
    """Three steps, a checkpoint, two more: a fresh course stands at three, and takes the same two."""

    def step(it: Course) -> None:
        loss = (it.network(torch.ones(2, 3)) - it.step).square().mean()
        loss.backward()
        run.log({"step": it.step + 1, "loss": loss.item()})
        it.apply(0.1)

    run, it = a_run(tmp_path), course()
    for _ in range(3):
        step(it)
    assert it.save_now_and_then(run, loss=9.0, every=0.0) < 1 and not run.checkpoint.exists()  # far from learning
    it.save_now_and_then(run, loss=0.1, every=1e9)
    assert not run.checkpoint.exists()  # not yet time
    it.save_now_and_then(run, loss=0.1, every=0.0)
    for _ in range(2):
        step(it)
    losses = [row["loss"] for row in run.metrics()]
    again = course()
    again.go_on(run, Team())
    assert (again.step, list(again.recent), again.first) == (3, losses[:3], losses[0])
    for _ in range(2):
        step(again)
    assert [row["loss"] for row in run.metrics()] == losses
    assert all(torch.equal(a, b) for a, b in zip(it.network.parameters(), again.network.parameters(), strict=True))
    assert [weight.shape for weight in again.weights] == [(1, 3)]  # the bias is not trained
