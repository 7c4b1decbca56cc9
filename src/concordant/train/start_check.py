"""Before PPO spends hours: the functions that it samples and learns with, checked in seconds, and refused by name.

The checks are ``models/policy_checks.py``; here they get PPO's own passes. One more concerns what only training has: a
rollout's mask and the place of the score in its rewards (``concordant doctor`` shows the same on a run).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from concordant.errors import UserError
from concordant.models.ensemble import Ensemble
from concordant.models.generation import SampledReply, SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.models.policy_checks import JUDGED, PROMPTS, SCORE_LIMIT, Finding, Paths, policy_findings
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.sampler import BatchScorer
from concordant.train.advantages import token_rewards
from concordant.train.critic import Critic, PmCritic
from concordant.train.rollout import Rollout, forward_all
from concordant.train_config import PolicyConfig

_NEW_TOKENS = 12
_EXACT = 1e-6
_MASK_PROMPT = [1, 2]
_MASK_REPLIES = ([3], [4, 5, 6], [7, 8])


def refuse_unsound(
    model: LanguageModel, scorers: Sequence[BatchScorer], config: PolicyConfig, critic: Critic | None = None
) -> None:
    """Refuse to train a policy of which a check fails.

    Args:
        model: the policy before its first update, with its reference.
        scorers: what gives the scores; only networks are looked at.
        config: of the run.
        critic: before its first update.

    Raises:
        UserError: names the first check that fails, with what was measured.
    """
    for finding in start_findings(model, scorers, config, critic):
        if not finding.sound:
            raise UserError(
                f"the check '{finding.check}' fails before training: {finding.meaning} (measured "
                f"{finding.measured:.2g}, limit {finding.limit:g}); see 'concordant doctor' for the models"
            )


def start_findings(
    model: LanguageModel, scorers: Sequence[BatchScorer], config: PolicyConfig, critic: Critic | None = None
) -> list[Finding]:
    """Every check, whether it holds or not. Arguments as those of ``refuse_unsound``."""
    networks = _networks(scorers)
    found = policy_findings(model, training_paths(model, config), networks)
    if isinstance(critic, PmCritic):
        found.append(check_critic(critic, networks[0]))
    return [*found, check_reward_position()]


@torch.no_grad()
def check_critic(critic: PmCritic, pm: PreferenceModel) -> Finding:
    """A critic that begins as the PM: where the PM reads a score, it says that score."""
    row = pm.row(PROMPTS[0], JUDGED)
    off = float("nan")
    if row is not None:
        packed = RowBatch.pack([row], pm.device)
        off = float((critic(packed, *packed.reply_ends()) - critic.bias - pm.scores(packed)).abs().max())
    return Finding(
        "critic at step 0",
        off,
        SCORE_LIMIT,
        "the critic begins as the preference model: it says its score where that is read",
        "the critic does not begin as the preference model: its weights, or its LoRA, were changed before",
    )


def training_paths(model: LanguageModel, config: PolicyConfig) -> Paths:
    """What PPO samples and learns with."""

    def drawn(prompts: list[list[int]], n: int, temperature: float) -> list[list[SampledReply]]:
        return generate(model, prompts, n, SamplingLimits(_NEW_TOKENS, temperature), config.seed)

    def passed(through: LanguageModel, rows: Sequence[SharedRow], temperature: float) -> list[Tensor]:
        rollout = _rollout(rows)
        found = forward_all(through, None, rollout, temperature, config.row_tokens).logprobs
        return [values[counts] for values, counts in zip(found, rollout.loss_mask, strict=True)]

    def referred(rows: Sequence[SharedRow], temperature: float) -> list[Tensor]:
        with model.reference() as reference:
            return passed(reference, rows, temperature)

    return Paths(drawn, lambda rows, temperature: passed(model, rows, temperature), referred)


def check_reward_position() -> Finding:
    """Three replies of 1, 3 and 2 tokens: the mask counts their tokens and no padding, and each score stands at the
    last of them, alone where the policy is its reference."""
    rollout = _rollout([SharedRow(_MASK_PROMPT, [list(reply) for reply in _MASK_REPLIES])])
    scores = torch.tensor([1.0, 2.0, 3.0])
    same = torch.zeros(rollout.loss_mask.shape)
    rewards = token_rewards(scores, same, same, rollout.loss_mask, kl_coef=1.0)
    wanted = torch.tensor([[1.0, 0, 0], [0, 0, 2.0], [0, 3.0, 0]])
    counted = torch.tensor([[True, False, False], [True, True, True], [True, True, False]])
    off = (rewards - wanted).abs().max() + (rollout.loss_mask != counted).sum()
    return Finding(
        "reward position",
        float(off),
        _EXACT,
        "the mask counts a reply's tokens and no padding, and its score stands at its last token",
        "the mask counts padding or leaves out tokens, or a score does not stand at its reply's last token",
    )


def _rollout(rows: Sequence[SharedRow]) -> Rollout:
    """The rollout in which these replies were sampled; what the sampler said of them is not asked."""
    sampled = [[SampledReply(list(reply), [0.0] * len(reply), False) for reply in row.replies] for row in rows]
    return Rollout.of([row.prompt for row in rows], sampled)


def _networks(scorers: Sequence[BatchScorer]) -> list[PreferenceModel]:
    """The preference models behind the scorers; a rule in the place of one has no network to look at."""
    members = [one for scorer in scorers for one in (scorer.members if isinstance(scorer, Ensemble) else [scorer])]
    return [one for one in members if isinstance(one, PreferenceModel) and one.network is not None]
