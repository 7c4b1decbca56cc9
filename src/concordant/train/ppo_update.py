"""One PPO update: K passes of the clipped loss over a batch (paper B.1; Schulman et al. 2017).

Minibatches are whole prompts, with all their replies. A minibatch's gradient is that of its mean loss over tokens, in
however many passes it is computed.
"""

import time
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from concordant.config import PolicyConfig
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.models.shared_rows import within_budget
from concordant.train.losses import policy_loss, value_loss
from concordant.train.rollout import Pass, Rollout, forward, minibatches


@dataclass(frozen=True, slots=True)
class Batch:
    """A rollout with what the update needs; (R, L) tensors."""

    rollout: Rollout
    old: Pass
    advantages: Float[Tensor, "R L"]
    returns: Float[Tensor, "R L"]


@dataclass(slots=True)
class Training:
    """What changes while a policy trains: one trunk with its LoRA, the value head, the optimiser, the step."""

    model: LanguageModel
    value_head: nn.Linear
    optimizer: AdamW
    step: int = 0
    saved_at: float = field(default_factory=time.monotonic)


def update(training: Training, batch: Batch, config: PolicyConfig) -> dict[str, float]:
    """K passes of PPO over the batch; while the critic starts, only the value head learns."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_000 + training.step)
    critic_only = training.step < config.warmup_updates
    weights = [weight for weight in training.model.network.parameters() if weight.requires_grad]
    if training.step == 0:
        # The critic starts at the mean return instead of at 0, wherever this PM's scores lie.
        nn.init.constant_(training.value_head.bias, batch.returns[batch.rollout.loss_mask].mean().item())
    sums = {"policy_loss": 0.0, "value_loss": 0.0, "clip_fraction": 0.0}
    norms, ratio_max, counted = [], 0.0, 0.0
    for _ in range(config.passes):
        for rows in minibatches(batch.rollout, config.minibatches, generator):
            parts = [_accumulate(training, batch, rows, group, config) for group in _groups(batch, rows, config)]
            if critic_only:
                for weight in weights:
                    weight.grad = None
            norms.append(_step(training, weights, config))
            for name in sums:
                sums[name] += sum(part[name] for part in parts)
            ratio_max = max(ratio_max, *(part["ratio_max"] for part in parts))
            counted += sum(part["tokens"] for part in parts)
    return {
        **{name: total / counted for name, total in sums.items()},
        "ratio_max": ratio_max,
        "grad_norm": sum(norms) / len(norms),
        "learning_rate": 0.0 if critic_only else config.learning_rate,
    }


def _groups(batch: Batch, rows: list[int], config: PolicyConfig) -> list[list[int]]:
    """The rows of a minibatch in parts that fit ``row_tokens``."""
    picked = [batch.rollout.rows[row] for row in rows]
    return [[rows[index] for index in group] for group in within_budget(picked, config.row_tokens)]


def _accumulate(
    training: Training, batch: Batch, minibatch: list[int], rows: list[int], config: PolicyConfig
) -> dict[str, float]:
    """Add the gradient of these rows' share of the minibatch's mean loss."""
    device = training.model.device
    new = forward(training.model, training.value_head, batch.rollout, rows, config.temperature)
    places = batch.rollout.reply_places(rows)
    mask = batch.rollout.loss_mask[places].to(device)
    tokens = batch.rollout.loss_mask[batch.rollout.reply_places(minibatch)].sum().item()
    old_logprobs = batch.old.logprobs[places].to(device)
    policy = policy_loss(new.logprobs, old_logprobs, batch.advantages[places].to(device), mask, config.clip)
    critic = value_loss(new.values, batch.returns[places].to(device), mask)
    loss = (policy.total + config.value_coef * critic) / tokens
    _refuse_unless_finite("loss", loss, training, config)
    loss.backward()  # type: ignore[no-untyped-call]
    return {
        "policy_loss": policy.total.item(),
        "value_loss": critic.item(),
        "clip_fraction": policy.clipped.item(),
        "ratio_max": policy.largest_ratio.item(),
        "tokens": mask.sum().item(),
    }


def _step(training: Training, weights: list[nn.Parameter], config: PolicyConfig) -> float:
    norm = torch.nn.utils.clip_grad_norm_([*weights, *training.value_head.parameters()], config.gradient_clip)
    _refuse_unless_finite("gradient", norm, training, config)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    return float(norm)


def _refuse_unless_finite(what: str, value: Tensor, training: Training, config: PolicyConfig) -> None:
    """Stop before a number that is none reaches the weights, and with them the next checkpoint."""
    if not value.isfinite():
        raise UserError(
            f"the {what} became {value.item()} at update {training.step + 1}; the last checkpoint is kept; "
            f"lower policy.learning_rate (now {config.learning_rate})"
        )
