"""What changes while a policy trains: weights, critic, optimiser, step, and how they are saved and found again.

Everything drawn at random is a function of seed and step, and rates are a function of step, so that a checkpoint needs
no random state, no schedule and no place among the prompts: a run that was killed goes on bit for bit.
"""

import time
from dataclasses import dataclass, field
from typing import Any

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
from concordant.models.language_model import LanguageModel
from concordant.runs import Json, Run
from concordant.sampler import BatchScorer
from concordant.train.critic import Critic, pm_critic
from concordant.train_config import PolicyConfig


@dataclass(slots=True)
class Training:
    """A policy in training.

    Attributes:
        model: the policy; it knows its reference.
        critic: a head on the policy's trunk, or a network of its own; None where advantages need none.
        optimizer: its first group holds the policy's weights.
        step: updates so far.
        history: rows of metrics.jsonl up to ``step``.
        saved_at: when the last checkpoint was made, by the monotonic clock.
    """

    model: LanguageModel
    critic: Critic | None
    optimizer: AdamW
    step: int = 0
    history: list[Json] = field(default_factory=list)
    saved_at: float = field(default_factory=time.monotonic)

    @property
    def weights(self) -> list[nn.Parameter]:
        """The policy's weights that learn, in the order of the optimiser."""
        return _learning(self.model.network)

    @property
    def critic_weights(self) -> list[nn.Parameter]:
        return [] if self.critic is None else _learning(self.critic)


def begin(run: Run, base: LanguageModel, pm: BatchScorer, config: PolicyConfig) -> Training:
    """The training state: fresh, or as the last checkpoint left it. What was logged and kept after that goes.

    Raises:
        UserError: the critic is to begin as ``pm``, and cannot.
    """
    model = base.with_lora(config.lora_rank, config.seed) if config.lora_rank else base.with_all_weights()
    critic = _critic(model, pm, config)
    training = Training(model, critic, _optimizer(model, critic, config))
    saved = Checkpoint.load(run.checkpoint)
    if saved:
        restore_weights(model.network, without_prefix("weights", saved.tensors))
        if critic is not None:
            restore_weights(critic, without_prefix("value_head", saved.tensors))
        restore_optimizer(training.optimizer, without_prefix("optimizer", saved.tensors))
        training.step = saved.values["step"]
    run.rewind(training.step)
    for step in run.kept_steps():
        if step >= training.step:  # that update will be made again
            run.drop_kept(step)
    training.history = run.metrics()
    return training


def _learning(module: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in module.parameters() if weight.requires_grad]


def _optimizer(model: LanguageModel, critic: nn.Module | None, config: PolicyConfig) -> AdamW:
    groups: list[dict[str, Any]] = [{"params": _learning(model.network), "lr": config.learning_rate}]
    if critic is not None:
        groups.append({"params": _learning(critic), "lr": config.value_learning_rate})
    return AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0)


def _critic(model: LanguageModel, pm: BatchScorer, config: PolicyConfig) -> Critic | None:
    if config.advantage != "gae":
        return None
    if config.critic == "pm":
        return pm_critic(model, pm, config.lora_rank, config.seed)
    head = nn.Linear(model.hidden_size, 1).to(model.device)
    for weight in head.parameters():  # bias too: torch would draw it from the global stream
        nn.init.zeros_(weight)
    return head


def save(run: Run, training: Training) -> None:
    """Make the checkpoint that of this step."""
    tensors = prefixed("weights", trained_weights(training.model.network))
    if training.critic is not None:
        tensors |= prefixed("value_head", trained_weights(training.critic))
    tensors |= prefixed("optimizer", optimizer_tensors(training.optimizer))
    Checkpoint(tensors, {"step": training.step}).save(run.checkpoint)
    training.saved_at = time.monotonic()


def samples_of_an_update(config: PolicyConfig) -> int:
    """Replies in one batch."""
    return config.prompts_per_update * config.replies_per_prompt


def policy_rate(config: PolicyConfig, step: int) -> float:
    """The rate of the policy's weights in the update after ``step`` others (paper B.2, B.3).

    It rises linearly over the first ``warmup_samples`` and is halved after each ``halving_samples``; both count sampled
    replies, the first those of this update too, so that no update is lost at a rate of 0.
    """
    size = samples_of_an_update(config)
    risen = min(1.0, (step + 1) * size / config.warmup_samples) if config.warmup_samples else 1.0
    halvings = step * size // config.halving_samples if config.halving_samples else 0
    return config.learning_rate * risen * 0.5**halvings
