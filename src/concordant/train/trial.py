"""The trial of a policy: replies to held-out prompts, before and after training, with the same random numbers.

Its openings are never trained on, so it shows what the policy learned and not what it remembers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.conversation import Conversation
from concordant.models.language_model import LanguageModel
from concordant.train.losses import divergence
from concordant.train.rollout import Rollout, forward_all


def mean_and_error(scores: Float[Tensor, " R"], replies_per_prompt: int) -> tuple[float, float]:
    """(mean, its standard error) of scores that come prompt by prompt.

    The error is over prompts, not replies: replies to one prompt share most of what makes their score. With a single
    prompt it is 0, because nothing can be said.
    """
    means = scores.view(-1, replies_per_prompt).mean(dim=1)
    error = means.std().item() / len(means) ** 0.5 if len(means) > 1 else 0.0
    return scores.mean().item(), error


def trial_rows(
    model: LanguageModel,
    prompts: Sequence[Conversation],
    rollout: Rollout,
    scores: Float[Tensor, " R"],
    temperature: float,
    row_tokens: int,
) -> list[dict[str, Any]]:
    """One row for samples.jsonl for each reply of a trial: texts, score, KL against the reference, length."""
    now = forward_all(model, None, rollout, temperature, row_tokens)
    with model.reference():
        reference = forward_all(model, None, rollout, temperature, row_tokens)
    kl = divergence(now.logprobs, reference.logprobs, rollout.loss_mask).k1
    owners = [place for place, row in enumerate(rollout.rows) for _ in row.replies]
    replies = [tokens for row in rollout.rows for tokens in row.replies]
    return [
        {
            "trial": place,
            "prompt": [[turn.speaker, turn.text] for turn in prompts[place].turns],
            "reply": model.format.text(tokens),
            "score": scores[reply].item(),
            "kl": kl[reply].item(),
            "tokens": len(tokens),
            "finished": bool(rollout.finished[reply]),
        }
        for reply, (place, tokens) in enumerate(zip(owners, replies, strict=True))
    ]


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float | int]:
    """Means over a trial's replies, {} for an empty trial."""
    if not rows:
        return {}
    replies = len(rows) // len({row["trial"] for row in rows})
    mean, error = mean_and_error(torch.tensor([row["score"] for row in rows]), replies)
    means = {name: sum(row[name] for row in rows) / len(rows) for name in ("kl", "tokens", "finished")}
    return {"n": len(rows), "score": mean, "score_se": error, **means}
