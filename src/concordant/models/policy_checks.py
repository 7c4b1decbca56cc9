"""What PPO takes for granted, looked at in seconds: each check measures one number and holds or does not.

The checks look at the very functions that a stage samples and learns with, handed in as ``Paths``, on conversations of
their own, at a temperature other than 1: at 1 a side that forgets to divide by it would pass. Left out: what only a
longer look shows (``evaluate/doctor.py``), and reading a run's record (``evaluate/doctor_policy.py``).
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.conversation import Conversation
from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow

TOKEN_LIMIT = 1e-3
"""Largest difference of two log-probabilities of one token, or of a ratio from 1, that rounding in float32 explains."""
REPLY_LIMIT = 1e-3
"""The same for a whole reply's divergence from a reference that ought to be the policy itself, nats."""
SCORE_LIMIT = 1e-4
"""The same for a preference model's score."""

TEMPERATURE = 0.8
_REPLIES = 2
_EXTRA = 5
"""Columns of padding beside the longest row."""

PROMPTS = (
    Conversation().human("How long do I boil an egg?"),
    Conversation().human("?"),
    Conversation().human("Name a river.").assistant("The Niger.").human("And a longer one?"),
)
"""Of unlike lengths, so that rows are padded."""
JUDGED = ("Seven minutes for a soft yolk.", "No.")

Logprobs = Callable[[Sequence[SharedRow], float], list[Tensor]]
"""(rows, temperature) → log-probabilities of each reply's tokens: a tensor for each reply, rows first."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The functions under examination.

    Attributes:
        sample: (prompts, n, temperature) → n replies to each.
        policy: as the trainer computes log-probabilities of the policy.
        reference: the same of the reference.
    """

    sample: Callable[[list[list[int]], int, float], list[list[SampledReply]]]
    policy: Logprobs
    reference: Logprobs


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: its name.
        measured: a number that is 0 where all is exact; not a number is a fault.
        limit: the largest one that holds.
        holds: the sentence if it does.
        fails: the sentence if it does not.
    """

    check: str
    measured: float
    limit: float
    holds: str
    fails: str

    @property
    def sound(self) -> bool:
        return self.measured <= self.limit

    @property
    def meaning(self) -> str:
        return self.holds if self.sound else self.fails


@dataclass(frozen=True)
class Material:
    """Replies that the policy has written to ``PROMPTS``, and their log-probabilities by the trainer, row by row."""

    model: LanguageModel
    paths: Paths

    @cached_property
    def sampled(self) -> list[list[SampledReply]]:
        return self.paths.sample([self.model.format.prompt(talk) for talk in PROMPTS], _REPLIES, TEMPERATURE)

    @cached_property
    def rows(self) -> list[SharedRow]:
        """A prompt with all its replies a row, as PPO packs them."""
        prompts = [self.model.format.prompt(talk) for talk in PROMPTS]
        return [
            SharedRow(prompt, [reply.tokens for reply in replies])
            for prompt, replies in zip(prompts, self.sampled, strict=True)
        ]

    @cached_property
    def single(self) -> list[SharedRow]:
        """A prompt with one reply a row."""
        return [SharedRow(row.prompt, [reply]) for row in self.rows for reply in row.replies]

    @cached_property
    def alone(self) -> list[Tensor]:
        """Of each reply, in a batch of its own: nothing is padded and nothing is shared."""
        return [self.paths.policy([row], TEMPERATURE)[0] for row in self.single]


def policy_findings(model: LanguageModel, paths: Paths, scorers: Sequence[PreferenceModel]) -> list[Finding]:
    """All checks of a policy that has not learned yet, and of the preference models that are to train it.

    Args:
        model: the policy, as it is before the first update.
        paths: what it is sampled and trained with.
        scorers: networks that give the score.
    """
    with torch.no_grad():
        material = Material(model, paths)
        found = [check_ratio(material), check_divergence(material), check_sampler(material), check_mask(material)]
        if "position_ids" in inspect.signature(model.body.forward).parameters:
            found.append(check_left_padding(material))
        found.append(check_end_of_turn(material))
        found += [check_score_position(scorer) for scorer in scorers]
    return found


def check_ratio(material: Material) -> Finding:
    """The trainer's two passes over the same tokens, all together and one by one: every ratio new / old is 1."""
    together = material.paths.policy(material.rows, TEMPERATURE)
    again = [values for row in material.rows for values in material.paths.policy([row], TEMPERATURE)]
    off = _largest([torch.expm1(one - other) for one, other in zip(together, again, strict=True)])
    return Finding(
        "ratio at step 0",
        off,
        TOKEN_LIMIT,
        "two passes over the same tokens give the same log-probabilities: every ratio is 1 before the first step",
        "a token's ratio is not 1 before the first step: the network is not the same twice (dropout?), or its numbers "
        "depend on what else is in the batch",
    )


def check_divergence(material: Material) -> Finding:
    """Policy against reference before the first step: they are the same, token for token."""
    own, reference = (path(material.rows, TEMPERATURE) for path in (material.paths.policy, material.paths.reference))
    off = _largest([(one - other).abs().sum() for one, other in zip(own, reference, strict=True)])
    return Finding(
        "KL at step 0",
        off,
        REPLY_LIMIT,
        "the policy is its reference before the first step: the divergence is 0",
        "the policy differs from its reference before the first step: another model, weights that were trained before, "
        "or a temperature that divides one side only",
    )


def check_sampler(material: Material) -> Finding:
    """What the sampler said of each token it drew, against the trainer on that reply alone."""
    said = [torch.tensor(reply.logprobs) for replies in material.sampled for reply in replies]
    off = _largest([one - other.cpu() for one, other in zip(said, material.alone, strict=True)])
    return Finding(
        "sampler against trainer",
        off,
        TOKEN_LIMIT,
        "the sampler and the trainer give a drawn token the same log-probability",
        "the sampler and the trainer give a drawn token different log-probabilities: a temperature, a mask or "
        "positions differ between the two",
    )


def check_mask(material: Material) -> Finding:
    """Replies that share a prompt's row against each in a row of its own: none sees another."""
    shared = material.paths.policy(material.rows, TEMPERATURE)
    off = _largest([one - other for one, other in zip(shared, material.alone, strict=True)])
    return Finding(
        "mask",
        off,
        TOKEN_LIMIT,
        "a reply's log-probabilities are the same beside other replies, beside padding, and alone",
        "a reply's log-probabilities depend on the other replies in its row, or on padding: the mask is not obeyed",
    )


def check_left_padding(material: Material) -> Finding:
    """Rows padded on the left, their positions counted from the mask, against rows without padding."""
    model, rows = material.model, material.single
    width = max(len(row.prompt) + len(row.replies[0]) for row in rows) + _EXTRA
    off = []
    for row, alone in zip(rows, material.alone, strict=True):
        tokens = [*row.prompt, *row.replies[0]]
        padding = width - len(tokens)
        ids = torch.tensor([[0] * padding + tokens], device=model.device)
        mask = torch.tensor([[0] * padding + [1] * len(tokens)], device=model.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = model.body(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
        states = output.last_hidden_state[0, padding + len(row.prompt) - 1 : -1]
        drawn = torch.tensor(row.replies[0], device=model.device)
        off.append(model.token_logprobs(states, drawn, TEMPERATURE)[0].cpu() - alone.cpu())
    return Finding(
        "left padding",
        _largest(off),
        TOKEN_LIMIT,
        "a reply's log-probabilities are the same with padding on the left of its row",
        "a reply's log-probabilities change with padding on the left of its row: the mask or the positions are ignored",
    )


def check_end_of_turn(material: Material) -> Finding:
    """Rendered replies end with the end-of-turn token and hold it once; sampled ones stop where they draw it."""
    format = material.model.format
    end = format.end_of_turn
    replies = [format.reply(text) for text in JUDGED]
    wrong = sum(tokens.count(end) != 1 or tokens[-1] != end for tokens in replies)
    for reply in (reply for replies in material.sampled for reply in replies):
        stops = reply.tokens[-1] == end or format.stop_text is not None
        wrong += end in reply.tokens[:-1] or (reply.finished and not stops)
    return Finding(
        "end of turn",
        float(wrong),
        0.0,
        "a reply ends with the end-of-turn token, which counts, and goes on for no token after it",
        "replies do not end where the end-of-turn token stands: it is drawn and passed over, or rendered twice",
    )


def check_score_position(scorer: PreferenceModel) -> Finding:
    """A score is what the head says at the end-of-context token of a row of its own, and of no token beside it."""
    row = scorer.row(PROMPTS[0], JUDGED)
    name = "score position"
    reads = "the score is read at the end-of-context token, whatever else is in the row"
    if row is None or any(reply.count(scorer.end_of_context) != 1 for reply in row.replies):
        return Finding(name, float("nan"), SCORE_LIMIT, reads, "a rendered reply holds no end-of-context token, or two")
    packed = scorer.scores(RowBatch.pack([row], scorer.device))
    if not packed.isfinite().all():
        return Finding(name, float("nan"), SCORE_LIMIT, reads, "its scores are no numbers: the weights are damaged")
    body: Any = getattr(scorer.classifier, scorer.classifier.base_model_prefix)
    off, moved = [], []
    for reply, score in zip(row.replies, packed, strict=True):
        tokens = [*row.prompt, *reply]
        ids = torch.tensor([tokens], device=scorer.device)
        output = body(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        here = scorer.classifier.score(output.last_hidden_state[0])[:, 0].float()
        off.append(here[tokens.index(scorer.end_of_context)] - score)
        moved.append(here[-2] - here[-1])
    if not _largest(moved) > 0:
        return Finding(name, float("nan"), SCORE_LIMIT, reads, "the score is the same everywhere: the head is flat")
    return Finding(name, _largest(off), SCORE_LIMIT, reads, "the score is not the one at the end-of-context token")


def _largest(differences: Sequence[Float[Tensor, "..."]]) -> float:
    """The largest absolute one; not a number where one of them is not."""
    return float(torch.stack([part.abs().max().cpu() for part in differences]).max())
