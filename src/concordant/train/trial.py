"""Replies as rows of samples.jsonl: those of the trial, and a few of the updates.

The trial is replies to held-out prompts, before and after training, with the same random numbers. Its openings are
never trained on, so it shows what the policy learned and not what it remembers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.models.language_model import LanguageModel
from concordant.train.judging import Judged, mean_and_error
from concordant.train.losses import divergence
from concordant.train.rollout import Rollout, forward_all


def trial_rows(
    model: LanguageModel, judged: Judged, rollout: Rollout, temperature: float, row_tokens: int
) -> list[dict[str, Any]]:
    """One row for each reply of a trial, with its place among the trial's prompts."""
    now = forward_all(model, None, rollout, temperature, row_tokens)
    with model.reference() as reference:
        before = forward_all(reference, None, rollout, temperature, row_tokens)
    kl = divergence(now.logprobs, before.logprobs, rollout.loss_mask).k1
    owners = [place for place, row in enumerate(rollout.rows) for _ in row.replies]
    rows = reply_rows(judged, rollout, kl)
    return [{"trial": place, **row} for place, row in zip(owners, rows, strict=True)]


def reply_rows(judged: Judged, rollout: Rollout, kl: Float[Tensor, " R"]) -> list[dict[str, Any]]:
    """One row for each reply: texts, scores, KL against the reference, length."""
    owners = [prompt for prompt, group in zip(judged.prompts, judged.replies, strict=True) for _ in group]
    texts = [text for group in judged.replies for text in group]
    rows: list[dict[str, Any]] = [
        {
            "prompt": [[turn.speaker, turn.text] for turn in prompt.conversation.turns],
            "objective": prompt.objective,
            "reply": text,
            "score": judged.scores[reply].item(),
            "kl": kl[reply].item(),
            "tokens": int(rollout.lengths[reply].item()),
            "finished": bool(rollout.finished[reply]),
        }
        for reply, (prompt, text) in enumerate(zip(owners, texts, strict=True))
    ]
    if judged.test_scores is not None:
        for row, value in zip(rows, judged.test_scores.tolist(), strict=True):
            row["test_score"] = value
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float | int]:
    """Means over a trial's replies, {} for an empty trial."""
    if not rows:
        return {}
    replies = len(rows) // len({row["trial"] for row in rows})
    result: dict[str, float | int] = {"n": len(rows)}
    for name in ("score", "test_score"):
        if name in rows[0]:
            scores = torch.tensor([row[name] for row in rows])
            result[name], result[f"{name}_se"] = mean_and_error(scores, replies)
    return result | {name: sum(row[name] for row in rows) / len(rows) for name in ("kl", "tokens", "finished")}
