"""One PPO update: K passes of the clipped loss over a batch (paper B.1; Schulman et al. 2017).

Minibatches are whole prompts, with all their replies. A minibatch's gradient is that of its mean loss over tokens, in
however many passes it is computed. Without a critic the same loop runs on the policy's loss alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.errors import UserError
from concordant.models.shared_rows import within_budget
from concordant.train.losses import policy_loss, value_loss
from concordant.train.policy_state import Training, policy_rate
from concordant.train.rollout import Pass, Rollout, forward, minibatches
from concordant.train_config import PolicyConfig


@dataclass(frozen=True, slots=True)
class Batch:
    """A rollout with what the update needs; (R, L) tensors.

    Attributes:
        rollout: the replies.
        old: what the policy that sampled them gave.
        kl: (R,) log(π/π₀) of each reply, summed over its tokens.
        advantages: of each token.
        returns: what the critic is to forecast; None without one.
    """

    rollout: Rollout
    old: Pass
    kl: Float[Tensor, " R"]
    advantages: Float[Tensor, "R L"]
    returns: Float[Tensor, "R L"] | None


def update(training: Training, batch: Batch, config: PolicyConfig) -> dict[str, float]:
    """K passes of PPO over the batch; while a critic starts, only the critic learns.

    Returns:
        Losses, clipping, gradient norm and rate, means over all passes.

    Raises:
        UserError: a loss or gradient is not finite; it has not been applied.
    """
    generator = torch.Generator().manual_seed(config.seed * 1_000_000 + training.step)
    critic_only = training.critic is not None and training.step < config.warmup_updates
    if training.step == 0:
        _start_critic(training, batch)
    rate = policy_rate(config, training.step)
    training.optimizer.param_groups[0]["lr"] = rate
    sums: dict[str, float] = {}
    norms, ratio_max = [], 0.0
    for _ in range(config.passes):
        for rows in minibatches(batch.rollout, config.minibatches, generator):
            for group in _groups(batch, rows, config):
                part = _accumulate(training, batch, rows, group, config)
                ratio_max = max(ratio_max, part.pop("ratio_max"))
                sums = {name: sums.get(name, 0.0) + value for name, value in part.items()}
            if critic_only:
                for weight in training.weights:
                    weight.grad = None
            norms.append(_step(training, config))
    counted = sums.pop("tokens")
    return {
        **{name: total / counted for name, total in sums.items()},
        "ratio_max": ratio_max,
        "grad_norm": sum(norms) / len(norms),
        "learning_rate": 0.0 if critic_only else rate,
    }


def _start_critic(training: Training, batch: Batch) -> None:
    """The critic's mean value starts at the mean return instead of at 0, wherever this PM's scores lie."""
    if training.critic is not None and batch.returns is not None:
        off = (batch.returns - batch.old.values)[batch.rollout.loss_mask].mean()
        with torch.no_grad():
            training.critic.bias.add_(off.to(training.critic.bias.device))


def _groups(batch: Batch, rows: list[int], config: PolicyConfig) -> list[list[int]]:
    """The rows of a minibatch in parts that fit ``row_tokens``."""
    picked = [batch.rollout.rows[row] for row in rows]
    return [[rows[index] for index in group] for group in within_budget(picked, config.row_tokens)]


def _accumulate(
    training: Training, batch: Batch, minibatch: list[int], rows: list[int], config: PolicyConfig
) -> dict[str, float]:
    """Add the gradient of these rows' share of the minibatch's mean loss."""
    device = training.model.device
    new = forward(training.model, training.critic, batch.rollout, rows, config.temperature)
    places = batch.rollout.reply_places(rows)
    mask = batch.rollout.loss_mask[places].to(device)
    tokens = batch.rollout.loss_mask[batch.rollout.reply_places(minibatch)].sum().item()
    old_logprobs = batch.old.logprobs[places].to(device)
    policy = policy_loss(new.logprobs, old_logprobs, batch.advantages[places].to(device), mask, config.clip)
    loss = policy.total
    sums = {
        "policy_loss": policy.total.item(),
        "clip_fraction": policy.clipped.item(),
        "ratio_max": policy.largest_ratio.item(),
        "tokens": mask.sum().item(),
    }
    if batch.returns is not None:
        critic = value_loss(new.values, batch.returns[places].to(device), mask)
        loss = loss + config.value_coef * critic
        sums["value_loss"] = critic.item()
    loss = loss / tokens
    _refuse_unless_finite("loss", loss, training, config)
    loss.backward()  # type: ignore[no-untyped-call]
    return sums


def _step(training: Training, config: PolicyConfig) -> float:
    norm = torch.nn.utils.clip_grad_norm_([*training.weights, *training.critic_weights], config.gradient_clip)
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
