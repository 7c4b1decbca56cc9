"""From scores to advantages, as pure functions of tensors (paper eq. 4.1; Schulman et al. 2016; Kool et al. 2019).

Notation: R replies, L tokens of the longest. A reply's tokens come first in its row and its padding after them;
padding contributes nothing to any sum here.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def token_rewards(
    scores: Float[Tensor, " R"],
    logprobs: Float[Tensor, "R L"],
    ref_logprobs: Float[Tensor, "R L"],
    loss_mask: Bool[Tensor, "R L"],
    kl_coef: float,
) -> Float[Tensor, "R L"]:
    """r_PM at the last token of each reply, −λ·log(π/π₀) at every token: their sum is r_PM − λ·KL (eq. 4.1).

    The log-ratio is signed and never clamped: clamped, it would be a penalty with a bias.
    """
    rewards = torch.where(loss_mask, -kl_coef * (logprobs - ref_logprobs), 0.0)
    last = loss_mask.sum(dim=1) - 1
    rewards[torch.arange(len(scores), device=scores.device), last] += scores
    return rewards


def generalised_advantages(
    rewards: Float[Tensor, "R L"],
    values: Float[Tensor, "R L"],
    loss_mask: Bool[Tensor, "R L"],
    gamma: float,
    gae_lambda: float,
) -> tuple[Float[Tensor, "R L"], Float[Tensor, "R L"]]:
    """(advantages, returns), both (R, L) and 0 in the padding.

    A_t = δ_t + γλ·A_{t+1} with δ_t = r_t + γ·V_{t+1} − V_t; after a reply's last token V and A are 0, because the
    episode ends there, by itself or at the limit. Returns are A + V.
    """
    rewards, values = rewards * loss_mask, values * loss_mask
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    following_value = torch.zeros_like(following)
    for step in reversed(range(rewards.shape[1])):
        delta = rewards[:, step] + gamma * following_value - values[:, step]
        following = (delta + gamma * gae_lambda * following) * loss_mask[:, step]
        following_value = values[:, step]
        advantages[:, step] = following
    return advantages, (advantages + values) * loss_mask


def leave_one_out(
    rewards: Float[Tensor, "R L"], loss_mask: Bool[Tensor, "R L"], replies_per_prompt: int
) -> Float[Tensor, "R L"]:
    """(R, L) the advantage of every token of a reply is its whole reward less the mean of the other replies'.

    A reply counts as one action, and the K − 1 others to its prompt as the baseline: it needs no critic, and is
    unbiased because no reply stands in its own baseline.

    Args:
        rewards: of each token; replies to one prompt together.
        loss_mask: the tokens of replies.
        replies_per_prompt: K, at least 2.
    """
    whole = (rewards * loss_mask).sum(dim=1).view(-1, replies_per_prompt)
    others = (whole.sum(dim=1, keepdim=True) - whole) / (replies_per_prompt - 1)
    return (whole - others).view(-1, 1) * loss_mask


def whiten(values: Float[Tensor, "R L"], loss_mask: Bool[Tensor, "R L"]) -> Float[Tensor, "R L"]:
    """Mean 0 and variance 1 over the mask; 0 in the padding. Equal values become 0 rather than noise."""
    counted = values[loss_mask]
    centred = counted - counted.mean()
    spread = centred.pow(2).mean().sqrt()
    result = torch.zeros_like(values)
    result[loss_mask] = centred / spread if spread > 1e-6 else 0.0 * centred
    return result
