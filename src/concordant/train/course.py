"""The course of a run that takes one gradient step after another: going on, checkpoints, and stopping when it diverges.

Preference models and distilled students share it. Left out: what the gradient is of, and the schedule of its rate.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn
from torch.optim import AdamW

from concordant.errors import UserError
from concordant.models.checkpoints import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    restore_weights,
    trained_weights,
    without_prefix,
)
from concordant.models.parallel import Team
from concordant.runs import Run

FAR, LONG = 3.0, 20
"""A mean loss over so many steps that is so many times where the run began, or the floor, is a divergence."""


@dataclass(slots=True)
class Course:
    """What changes while a network learns.

    Attributes:
        network: its trained weights are those that require a gradient.
        optimizer: of these weights.
        floor: a loss from which learning may well begin; a run that begins below it may rise to ``FAR`` times it.
        said_of_floor: what it is, in words, for the message of a run that diverged.
        step: optimiser steps so far.
        recent: losses of the last ``LONG`` steps.
        first: loss before the first step. What was trained before may begin far above the floor, sure and wrong.
        saved_at: time of the last checkpoint, of a clock that never goes back.
    """

    network: nn.Module
    optimizer: AdamW
    floor: float
    said_of_floor: str = ""
    step: int = 0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=LONG))
    first: float | None = None
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def weights(self) -> list[nn.Parameter]:
        """Those that are trained."""
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    @property
    def limit(self) -> float:
        """Losses above it are far from learning."""
        return FAR * max(self.floor, self.first or 0.0)

    def go_on(self, run: Run, team: Team) -> None:
        """Stand where the run's last checkpoint stands, and its log too; at the beginning where there is none."""
        saved = Checkpoint.load(run.checkpoint)
        if saved:
            restore_weights(self.network, without_prefix("weights", saved.tensors))
            restore_optimizer(self.optimizer, without_prefix("optimizer", saved.tensors))
            self.step = saved.values["step"]
        if team.leads:
            run.rewind(self.step)
        team.wait()  # the others read what was rewound,
        losses = [row["loss"] for row in run.metrics()]
        team.wait()  # and all have read before anything is logged
        self.recent.extend(losses)
        self.first = losses[0] if losses else None

    def stop_if_diverged(self, run: Run, metrics: Mapping[str, float], learning_rate: float) -> None:
        """Refuse to go on after a loss or gradient that is no number, or ``LONG`` steps of a loss far from learning.

        Args:
            run: named in the message.
            metrics: of the step to come, ``loss`` and ``grad_norm`` among them.
            learning_rate: of the run, for the message.

        Raises:
            UserError: so it is; the gradient that led there has not been applied.
        """
        loss = metrics["loss"]
        self.recent.append(loss)
        self.first = loss if self.first is None else self.first
        mean = sum(self.recent) / len(self.recent)
        if not all(map(math.isfinite, metrics.values())):
            said = f"the loss became {loss} and its gradient {metrics['grad_norm']}"
        elif len(self.recent) == LONG and mean > self.limit:
            said = f"the mean loss of {LONG} steps is {mean:.2f} (it began at {self.first:.2f}{self.said_of_floor})"
        else:
            return
        kept = "its last good checkpoint is kept" if run.checkpoint.exists() else "it had no checkpoint yet"
        raise UserError(
            f"{said} at step {self.step + 1}: the run diverged; {kept}; begin another one with a lower learning_rate "
            f"(now {learning_rate})"
        )

    def save_now_and_then(self, run: Run, loss: float, every: float) -> float:
        """Save the weights as they were before this step, when it is time.

        It is called when a batch has shown the weights to be sound, so that a checkpoint is never one of a run that has
        already diverged.

        Args:
            run: whose checkpoint it is.
            loss: of that batch.
            every: seconds between checkpoints.

        Returns:
            The seconds it took.
        """
        began = time.monotonic()
        if self.step and loss <= self.limit and began - self.saved_at >= every:
            tensors = prefixed("weights", trained_weights(self.network))
            tensors |= prefixed("optimizer", optimizer_tensors(self.optimizer))
            Checkpoint(tensors, {"step": self.step}).save(run.checkpoint)
            self.saved_at = time.monotonic()
        return time.monotonic() - began

    def apply(self, rate: float) -> None:
        """Take the step: the gradient that stands in the weights, at this rate."""
        for settings in self.optimizer.param_groups:
            settings["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1


def adamw(network: nn.Module, learning_rate: float, weight_decay: float) -> AdamW:
    """The optimiser of the weights that are trained; β = (0.9, 0.95), which the paper does not state."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    return AdamW(weights, lr=learning_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
