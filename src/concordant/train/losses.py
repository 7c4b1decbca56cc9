"""The losses, as pure functions of tensors (paper eq. 4.2, B.1; Schulman et al. 2017, eq. 7).

Notation: P pairs; N tokens; R replies, L tokens of the longest reply. One mask, ``loss_mask``, True = counts. A loss
over tokens is returned as a sum: divided by the number of tokens of the whole batch it is the same for any split.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus


def preference_loss(chosen: Float[Tensor, " P"], rejected: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
    """(P,) −log P(chosen > rejected) = log(1 + e^(r_rejected − r_chosen)), of each pair."""
    return softplus(rejected - chosen)


def language_loss(logprobs: Float[Tensor, " N"]) -> Float[Tensor, ""]:
    """−Σ log p of the N tokens that count: the loss on text of pretraining on votes (Askell et al. 2021)."""
    return -logprobs.sum()


class PolicyLoss(NamedTuple):
    """PPO's clipped loss.

    Attributes:
        total: sum over the tokens that count.
        clipped: how many of them have a ratio outside 1 ± clip.
        largest_ratio: the largest of their ratios new / old.
    """

    total: Float[Tensor, ""]
    clipped: Float[Tensor, ""]
    largest_ratio: Float[Tensor, ""]


def policy_loss(
    logprobs: Float[Tensor, "R L"],
    old_logprobs: Float[Tensor, "R L"],
    advantages: Float[Tensor, "R L"],
    loss_mask: Bool[Tensor, "R L"],
    clip: float,
) -> PolicyLoss:
    """−min(ρ·A, clip(ρ, 1 − ε, 1 + ε)·A) with ρ = e^(new − old), summed over the mask.

    Args:
        logprobs: of each token under the policy that learns.
        old_logprobs: the same under the policy that sampled.
        advantages: A of each token.
        loss_mask: the tokens of replies.
        clip: ε.
    """
    # Padding is set to a ratio of one before the exponential, so that it can neither overflow nor pass a gradient.
    ratio = torch.where(loss_mask, logprobs - old_logprobs, 0.0).exp()
    gain = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    outside = ((ratio - 1).abs() > clip) & loss_mask
    largest = torch.where(loss_mask, ratio.detach(), 0.0).max()
    return PolicyLoss(-(gain * loss_mask).sum(), outside.sum().float(), largest)


def value_loss(
    values: Float[Tensor, "R L"], returns: Float[Tensor, "R L"], loss_mask: Bool[Tensor, "R L"]
) -> Float[Tensor, ""]:
    """½(V − return)², summed over the mask."""
    return 0.5 * (torch.where(loss_mask, values - returns, 0.0) ** 2).sum()


class Divergence(NamedTuple):
    """Two estimates of KL(policy ‖ reference), nats for each reply (R,), from samples of the policy.

    Attributes:
        k1: Σ log(π/π₀): unbiased, signed; this is what the reward uses.
        k3: Σ (π₀/π − 1 + log(π/π₀)): unbiased too, never negative, and of less variance.
    """

    k1: Float[Tensor, " R"]
    k3: Float[Tensor, " R"]


def divergence(
    logprobs: Float[Tensor, "R L"], ref_logprobs: Float[Tensor, "R L"], loss_mask: Bool[Tensor, "R L"]
) -> Divergence:
    """KL of each reply, over its own tokens only."""
    gap = torch.where(loss_mask, logprobs - ref_logprobs, 0.0)
    return Divergence(gap.sum(dim=1), (torch.expm1(-gap) + gap).sum(dim=1))
