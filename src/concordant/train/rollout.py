"""A batch of replies with everything PPO needs of them, and the passes over it that compute log-probs and values.

Replies to one prompt share a row (``models/shared_rows.py``), in sampling's scoring as in training. Tensors over
tokens are (R, L): R replies, those of one prompt together; L tokens of the longest; ``loss_mask`` True = counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget
from concordant.train.critic import Critic, PmCritic


@dataclass(frozen=True, slots=True)
class Rollout:
    """Replies of one update, as they were sampled.

    Attributes:
        rows: one a prompt: its tokens and those of the K replies to it.
        finished: (R,) whether each reply ended by itself.
        sampled_logprobs: (R, L) as the sampler saw them.
        loss_mask: (R, L) the tokens of replies.
    """

    rows: list[SharedRow]
    finished: Bool[Tensor, " R"]
    sampled_logprobs: Float[Tensor, "R L"]
    loss_mask: Bool[Tensor, "R L"]

    @classmethod
    def of(cls, prompts: Sequence[list[int]], sampled: Sequence[Sequence[SampledReply]]) -> "Rollout":
        replies = [reply for group in sampled for reply in group]
        width = max(len(reply.tokens) for reply in replies)
        logprobs = torch.zeros(len(replies), width)
        mask = torch.zeros(len(replies), width, dtype=torch.bool)
        for index, reply in enumerate(replies):
            logprobs[index, : len(reply.tokens)] = torch.tensor(reply.logprobs)
            mask[index, : len(reply.tokens)] = True
        rows = [
            SharedRow(prompt, [reply.tokens for reply in group]) for prompt, group in zip(prompts, sampled, strict=True)
        ]
        return cls(rows, torch.tensor([reply.finished for reply in replies]), logprobs, mask)

    @property
    def lengths(self) -> Float[Tensor, " R"]:
        """(R,) tokens of each reply."""
        return self.loss_mask.sum(dim=1).float()

    def reply_places(self, rows: Sequence[int]) -> list[int]:
        """Places in (R, …) tensors of the replies in these rows, in order."""
        starts = [0]
        for row in self.rows:
            starts.append(starts[-1] + len(row.replies))
        return [place for row in rows for place in range(starts[row], starts[row + 1])]


@dataclass(frozen=True, slots=True)
class Pass:
    """What a forward pass over some rows of a rollout gives; (r, L) tensors over the replies in those rows."""

    logprobs: Float[Tensor, "r L"]
    values: Float[Tensor, "r L"]
    entropy: Float[Tensor, "r L"]


def forward(
    model: LanguageModel,
    critic: Critic | None,
    rollout: Rollout,
    rows: Sequence[int],
    temperature: float,
) -> Pass:
    """Log-probabilities, values (0 without a critic) and entropies of the replies in ``rows``.

    The value of a token is read at the place that predicts it: what was to be expected before it was chosen.
    """
    batch = RowBatch.pack([rollout.rows[row] for row in rows], model.device)
    hidden = model.hidden(batch)
    at, columns, predictors = batch.reply_tokens()
    states = hidden[at, predictors]
    logprobs, entropy = model.token_logprobs(states, batch.input_ids[at, columns], temperature)
    if isinstance(critic, PmCritic):
        values = critic(batch, at, predictors)
    else:
        values = torch.zeros_like(logprobs) if critic is None else critic(states)[:, 0]
    # Reply tokens come row by row and reply by reply, which is the order of True in the mask.
    mask = rollout.loss_mask[rollout.reply_places(rows)].to(model.device)
    return Pass(*(_spread(part, mask) for part in (logprobs, values, entropy)))


def _spread(flat: Float[Tensor, " N"], mask: Bool[Tensor, "r L"]) -> Float[Tensor, "r L"]:
    return torch.zeros(mask.shape, dtype=flat.dtype, device=flat.device).masked_scatter(mask, flat)


@torch.no_grad()
def forward_all(
    model: LanguageModel, critic: Critic | None, rollout: Rollout, temperature: float, row_tokens: int
) -> Pass:
    """``forward`` over the whole rollout in bounded parts, without gradients; (R, L)."""
    shape = rollout.loss_mask.shape
    whole = Pass(torch.zeros(shape), torch.zeros(shape), torch.zeros(shape))
    for rows in within_budget(rollout.rows, row_tokens, model.device):
        part = forward(model, critic, rollout, rows, temperature)
        places = rollout.reply_places(rows)
        whole.logprobs[places] = part.logprobs.cpu()
        whole.values[places] = part.values.cpu()
        whole.entropy[places] = part.entropy.cpu()
    return whole


def minibatches(rollout: Rollout, count: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Rows of the rollout in a random order, in ``count`` parts of about equal size."""
    order = torch.randperm(len(rollout.rows), generator=generator).tolist()
    count = min(count, len(order))
    for part in range(count):
        yield order[part * len(order) // count : (part + 1) * len(order) // count]
