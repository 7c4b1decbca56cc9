"""The steps of a PPO update before the update itself: sample and advantages. Whole runs: ``tests/pipeline``."""

from typing import Any

import pytest
import torch
from torch import nn

from concordant.conversation import Conversation
from concordant.models.language_model import LanguageModel
from concordant.train.policy import advantages, sample
from concordant.train.policy_prompts import Prompt
from concordant.train.rollout import Rollout
from concordant.train_config import PolicyConfig
from toy_model import ToyModels

PROMPTS = [Conversation().human(text) for text in ("how", "how do I bake bread", "é?")]


def config(**settings: Any) -> PolicyConfig:
    return PolicyConfig(**{"replies_per_prompt": 3, "max_new_tokens": 12, **settings})


@pytest.fixture
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat).with_lora(rank=4, seed=0)


@pytest.fixture
def prompts(model: LanguageModel) -> list[Prompt]:
    return [Prompt(prompt, model.format.prompt(prompt)) for prompt in PROMPTS]


def replies(rollout: Rollout) -> list[list[list[int]]]:
    return [row.replies for row in rollout.rows]


def test_samples_are_a_function_of_seed_and_step(model: LanguageModel, prompts: list[Prompt]) -> None:
    first = replies(sample(model, prompts, 3, config()))
    assert [len(group) for group in first] == [3, 3, 3]
    assert replies(sample(model, prompts, 3, config())) == first
    assert replies(sample(model, prompts, 4, config())) != first
    assert replies(sample(model, prompts, 3, config(seed=1))) != first


def head() -> nn.Linear:
    """A critic that says 0.25 everywhere."""
    made = nn.Linear(32, 1)
    nn.init.zeros_(made.weight)
    nn.init.constant_(made.bias, 0.25)
    return made


def test_before_the_first_update_policy_and_reference_are_one(model: LanguageModel, prompts: list[Prompt]) -> None:
    """KL exactly 0; and with γ = λ = 1 and no KL, every token's advantage is score − V, and its return the score."""
    settings = config(gae_lambda=1.0, temperature=0.8)
    rollout = sample(model, prompts, 0, settings)
    scores = torch.arange(9).float()
    batch, metrics = advantages(model, head(), rollout, scores, settings)
    assert (metrics["kl"], metrics["kl_k3"]) == (0.0, 0.0)
    assert metrics["logprob_gap"] < 1e-4
    mask = rollout.loss_mask
    assert batch.returns is not None and batch.kl.tolist() == [0.0] * 9
    torch.testing.assert_close(batch.returns, scores[:, None] * mask)
    raw = (scores - 0.25)[:, None].expand(mask.shape)[mask]
    expected = (raw - raw.mean()) / raw.std(unbiased=False)
    torch.testing.assert_close(batch.advantages[mask], expected)
    assert batch.advantages[~mask].abs().sum() == 0
    assert metrics["explained_variance"] == pytest.approx(0.0, abs=1e-6)  # a constant explains nothing
    assert metrics["length"] == mask.sum().item() / 9
    assert metrics["finished"] == rollout.finished.float().mean().item()


def test_while_the_critic_starts_a_return_is_what_came(model: LanguageModel, prompts: list[Prompt]) -> None:
    """With λ < 1 the early tokens' return would lean on values that know nothing yet: 0.25 here, whatever the score."""
    settings = config(gae_lambda=0.5)
    rollout = sample(model, prompts, 0, settings)
    scores = torch.full((9,), -6.0)
    mask = rollout.loss_mask
    started, _ = advantages(model, head(), rollout, scores, settings, starting=True)
    assert started.returns is not None
    torch.testing.assert_close(started.returns[mask], torch.full_like(started.returns[mask], -6.0))
    later, _ = advantages(model, head(), rollout, scores, settings)
    assert later.returns is not None and rollout.lengths.max() > 1
    assert later.returns[mask].max() > -5.0, "an early token's return, shrunken towards the values"


def test_a_policy_that_moved_pays_for_its_kl(model: LanguageModel, prompts: list[Prompt]) -> None:
    """λ·Σ log(π/π₀) over all tokens of a reply is missing from the return at its first."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn_like(weight))
    settings = config(gae_lambda=1.0, kl_coef=0.5)
    rollout = sample(model, prompts, 0, settings)
    batch, metrics = advantages(model, head(), rollout, torch.zeros(9), settings)
    assert 0 < metrics["kl"] < 50 and metrics["kl_k3"] > 0
    assert metrics["logprob_gap"] < 1e-4
    assert batch.returns is not None
    assert metrics["root_kl"] == pytest.approx(metrics["kl"] ** 0.5)
    assert metrics["kl"] == pytest.approx(batch.kl.mean().item())
    assert -0.5 * metrics["kl"] == pytest.approx(batch.returns[:, 0].mean().item(), rel=1e-4)


@pytest.mark.parametrize("kind", ["gae", "leave_one_out"])
def test_a_reply_without_an_end_pays_for_it_where_that_is_asked(
    kind: str, model: LanguageModel, prompts: list[Prompt]
) -> None:
    """The penalty is that of a score lower by as much; by default there is none."""
    settings = config(gae_lambda=1.0, advantage=kind)
    rollout = sample(model, prompts, 0, settings)
    rollout.finished[:] = torch.tensor([True, False] * 4 + [True])
    critic = head() if kind == "gae" else None
    scores = torch.arange(9).float()

    def found(scores: torch.Tensor, **changes: Any) -> torch.Tensor:
        return advantages(model, critic, rollout, scores, config(gae_lambda=1.0, advantage=kind, **changes))[
            0
        ].advantages

    torch.testing.assert_close(found(scores, missing_end_penalty=2.0), found(scores - 2 * ~rollout.finished))
    assert not torch.allclose(found(scores, missing_end_penalty=2.0), found(scores))


def test_without_a_critic_a_reply_is_held_against_the_others_to_its_prompt(
    model: LanguageModel, prompts: list[Prompt]
) -> None:
    """Scores 0, 1, 2 / 3, 4, 5 / 6, 7, 8 and no KL: −1.5, 0 and 1.5 for the replies of each prompt, then whitened."""
    settings = config(advantage="leave_one_out")
    rollout = sample(model, prompts, 0, settings)
    batch, metrics = advantages(model, None, rollout, torch.arange(9).float(), settings)
    mask = rollout.loss_mask
    raw = torch.tensor([-1.5, 0.0, 1.5] * 3)[:, None].expand(mask.shape)[mask]
    torch.testing.assert_close(batch.advantages[mask], (raw - raw.mean()) / raw.std(unbiased=False))
    assert batch.returns is None and "explained_variance" not in metrics
    assert batch.old.values.abs().max() == 0


def test_a_sampler_that_lies_shows_in_the_gap(model: LanguageModel, prompts: list[Prompt]) -> None:
    rollout = sample(model, prompts, 0, config())
    rollout.sampled_logprobs[4, 0] += 0.5
    _, metrics = advantages(model, head(), rollout, torch.zeros(9), config())
    assert metrics["logprob_gap"] == pytest.approx(0.5, abs=1e-3)
