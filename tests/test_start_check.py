"""PPO refuses to start when a check fails, and says which; a rollout's mask and the score's place are checked too."""

from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.ensemble import Ensemble
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from concordant.train import start_check
from concordant.train.judging import Judges
from concordant.train.policy import train_policy
from concordant.train.start_check import check_reward_position, refuse_unsound, start_findings
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel
from toy_model import ToyModels

CONFIG = PolicyConfig(updates=1, prompts_per_update=2, replies_per_prompt=2, max_new_tokens=6, lora_rank=2)


@pytest.fixture
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat).with_lora(2, seed=0)


def test_a_sound_start(model: LanguageModel, toy: ToyModels) -> None:
    pm = PreferenceModel.from_language_model(toy.chat, seed=0)
    refuse_unsound(model, [LetterModel()], CONFIG)
    checks = [
        finding.check for finding in start_findings(model, [Ensemble((pm, LetterModel()), "mean", (0.0, 0.0))], CONFIG)
    ]
    assert checks.count("score position") == 1  # a rule has no position
    assert checks[-1] == "reward position"


def test_the_first_check_that_fails_is_named(model: LanguageModel, toy: ToyModels) -> None:
    flat = PreferenceModel.from_language_model(toy.chat, seed=0)
    torch.nn.init.zeros_(flat.network.score.weight)
    with pytest.raises(
        UserError, match=r"the check 'score position' fails before training: .* head is flat \(measured"
    ):
        refuse_unsound(model, [flat], CONFIG)


def test_nothing_is_trained_on_a_broken_start(toy: ToyModels, tmp_path: Path) -> None:
    """A base model whose numbers are not the same twice."""
    base = LanguageModel.load(toy.chat)
    forward = base.body.forward

    def noisy(*arguments: Any, **named: Any) -> Any:
        output = forward(*arguments, **named)
        output.last_hidden_state = output.last_hidden_state + 0.05 * torch.randn_like(output.last_hidden_state)
        return output

    base.body.forward = noisy
    run = Run.begin(tmp_path / "run", "policy", CONFIG.model_dump(mode="json"), {})
    prompts = [Conversation().human(f"question {number}") for number in range(4)]
    with pytest.raises(UserError, match="the check 'ratio at step 0' fails before training"):
        train_policy(run, base, Judges(LetterModel()), dict.fromkeys(prompts), CONFIG, lambda *_: None)
    assert run.metrics() == [] and not run.model.exists()


def test_a_score_at_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(scores: Any, logprobs: Any, ref_logprobs: Any, loss_mask: Any, kl_coef: float) -> Any:
        rewards = torch.zeros(loss_mask.shape)
        rewards[:, 0] = scores
        return rewards

    assert check_reward_position().sound
    monkeypatch.setattr(start_check, "token_rewards", first)
    assert not check_reward_position().sound


def test_a_mask_that_counts_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    build = start_check._rollout

    def padded(rows: Any) -> Any:
        rollout = build(rows)
        rollout.loss_mask[:] = True
        return rollout

    monkeypatch.setattr(start_check, "_rollout", padded)
    assert not check_reward_position().sound
