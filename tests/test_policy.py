"""The steps of a PPO update before the update itself: sample, score, advantages. Whole runs: ``tests/pipeline``."""

from typing import Any

import pytest
import torch
from torch import nn

from concordant.config import PolicyConfig
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.train.policy import advantages, sample, score
from concordant.train.rollout import Rollout
from toy_lessons import LetterModel
from toy_model import ToyModels

PROMPTS = [Conversation().human(text) for text in ("how", "how do I bake bread", "é?")]


def config(**settings: Any) -> PolicyConfig:
    return PolicyConfig(**{"replies_per_prompt": 3, "max_new_tokens": 12, **settings})


@pytest.fixture
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat).with_lora(rank=4, seed=0)


@pytest.fixture
def tokens(model: LanguageModel) -> list[list[int]]:
    return [model.format.prompt(prompt) for prompt in PROMPTS]


def replies(rollout: Rollout) -> list[list[list[int]]]:
    return [row.replies for row in rollout.rows]


def test_samples_are_a_function_of_seed_and_step(model: LanguageModel, tokens: list[list[int]]) -> None:
    first = replies(sample(model, tokens, 3, config()))
    assert [len(group) for group in first] == [3, 3, 3]
    assert replies(sample(model, tokens, 3, config())) == first
    assert replies(sample(model, tokens, 4, config())) != first
    assert replies(sample(model, tokens, 3, config(seed=1))) != first


def test_the_pm_is_shown_conversations_and_text(model: LanguageModel, tokens: list[list[int]]) -> None:
    pm = LetterModel()
    rollout = sample(model, tokens, 0, config())
    scores = score(model, pm, PROMPTS, rollout)
    (asked,) = pm.asked
    assert [prompt for prompt, _ in asked] == PROMPTS
    texts = [model.format.text(reply) for row in rollout.rows for reply in row.replies]
    assert [text for _, group in asked for text in group] == texts
    letters = [sum("a" <= letter <= "z" for letter in text) for text in texts]
    assert scores.tolist() == pytest.approx([0.2 * number for number in letters])


def test_the_pm_is_not_shown_what_a_policy_without_template_wrote_as_the_human(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.plain)
    written = model.tokenizer(" Yes.\n\nHuman:")["input_ids"]
    rollout = sample(model, [[11, 12]], 0, config(replies_per_prompt=1))
    rollout.rows[0].replies[0][:] = written
    pm = LetterModel()
    score(model, pm, PROMPTS[:1], rollout)
    assert pm.asked == [[(PROMPTS[0], ["Yes."])]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(value: float, model: LanguageModel, tokens: list[list[int]]) -> None:
    rollout = sample(model, tokens, 0, config(max_new_tokens=60))
    with pytest.raises(UserError, match="gave a score that is not finite; check it with 'concordant evaluate pm'"):
        score(model, LetterModel(value), PROMPTS, rollout)


def head() -> nn.Linear:
    """A critic that says 0.25 everywhere."""
    made = nn.Linear(32, 1)
    nn.init.zeros_(made.weight)
    nn.init.constant_(made.bias, 0.25)
    return made


def test_before_the_first_update_policy_and_reference_are_one(model: LanguageModel, tokens: list[list[int]]) -> None:
    """KL exactly 0; and with γ = λ = 1 and no KL, every token's advantage is score − V, and its return the score."""
    settings = config(gae_lambda=1.0, temperature=0.8)
    rollout = sample(model, tokens, 0, settings)
    scores = torch.arange(9).float()
    batch, metrics = advantages(model, head(), rollout, scores, settings)
    assert (metrics["kl"], metrics["kl_k3"]) == (0.0, 0.0)
    assert metrics["logprob_gap"] < 1e-4
    assert metrics["score"] == 4.0
    # Means 1, 4 and 7 of the three prompts: standard deviation 3, over the root of 3.
    assert metrics["score_se"] == pytest.approx(3**0.5)
    mask = rollout.loss_mask
    torch.testing.assert_close(batch.returns, scores[:, None] * mask)
    raw = (scores - 0.25)[:, None].expand(mask.shape)[mask]
    expected = (raw - raw.mean()) / raw.std(unbiased=False)
    torch.testing.assert_close(batch.advantages[mask], expected)
    assert batch.advantages[~mask].abs().sum() == 0
    assert metrics["explained_variance"] == pytest.approx(0.0, abs=1e-6)  # a constant explains nothing
    assert metrics["length"] == mask.sum().item() / 9
    assert metrics["finished"] == rollout.finished.float().mean().item()


def test_a_policy_that_moved_pays_for_its_kl(model: LanguageModel, tokens: list[list[int]]) -> None:
    """λ·Σ log(π/π₀) over all tokens of a reply is missing from the return at its first."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn_like(weight))
    settings = config(gae_lambda=1.0, kl_coef=0.5)
    rollout = sample(model, tokens, 0, settings)
    batch, metrics = advantages(model, head(), rollout, torch.zeros(9), settings)
    assert 0 < metrics["kl"] < 50 and metrics["kl_k3"] > 0
    assert metrics["logprob_gap"] < 1e-4
    assert -0.5 * metrics["kl"] == pytest.approx(batch.returns[:, 0].mean().item(), rel=1e-4)


def test_a_sampler_that_lies_shows_in_the_gap(model: LanguageModel, tokens: list[list[int]]) -> None:
    rollout = sample(model, tokens, 0, config())
    rollout.sampled_logprobs[4, 0] += 0.5
    _, metrics = advantages(model, head(), rollout, torch.zeros(9), config())
    assert metrics["logprob_gap"] == pytest.approx(0.5, abs=1e-3)
