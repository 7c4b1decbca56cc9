"""A critic that begins as the preference model: its values, that the model stays as it is, and what is refused."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from concordant.errors import UserError
from concordant.models.ensemble import Ensemble
from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.train.critic import PmCritic, pm_critic
from concordant.train.rollout import Rollout, forward
from concordant.train.start_check import check_critic
from toy_lessons import LetterModel
from toy_model import ToyModels, make_chat_model, same_weights

PROMPT, REPLIES = [11, 12, 13], [[24, 25], [26, 27, 28, 29]]


@pytest.fixture
def policy(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat)


@pytest.fixture
def pm(toy: ToyModels) -> PreferenceModel:
    return PreferenceModel.from_language_model(toy.chat, seed=0)


def learning(critic: PmCritic) -> set[str]:
    return {name.rpartition(".")[0] for name, weight in critic.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("rank", [2, 0], ids=["LoRA", "all weights"])
def test_values_are_read_from_its_own_states_where_tokens_are_predicted(
    rank: int, policy: LanguageModel, pm: PreferenceModel
) -> None:
    """Before it has learned: the PM's own score head at the place before each token, and its bias."""
    critic = pm_critic(policy, pm, rank, seed=0)
    nn.init.constant_(critic.bias, 0.5)
    sampled = [[SampledReply(tokens, [-1.0] * len(tokens)) for tokens in REPLIES]]
    rollout = Rollout.of([PROMPT], sampled)
    with torch.no_grad():
        found = forward(policy, critic, rollout, [0], temperature=1.0)
        body = getattr(pm.classifier, pm.classifier.base_model_prefix)
        for place, reply in enumerate(REPLIES):
            hidden = body(torch.tensor([[*PROMPT, *reply]])).last_hidden_state[0, len(PROMPT) - 1 : -1]
            expected = pm.classifier.score(hidden)[:, 0] + 0.5
            assert found.values[place, : len(reply)].tolist() == pytest.approx(expected.tolist(), abs=1e-5)
        assert found.logprobs.tolist() == forward(policy, None, rollout, [0], temperature=1.0).logprobs.tolist()
    assert check_critic(critic, pm).sound


def test_what_learns_is_its_own(policy: LanguageModel, pm: PreferenceModel) -> None:
    before = copy.deepcopy(pm.network)
    lora, whole = pm_critic(policy, pm, 2, seed=0), pm_critic(policy, pm, 0, seed=0)
    assert all("lora" in name or name == "" or name.endswith("score") for name in learning(lora))
    assert len(learning(whole)) > len(list(pm.network.parameters())) / 2
    with torch.no_grad():
        for critic in (lora, whole):
            for weight in critic.parameters():
                if weight.requires_grad:
                    weight.add_(1.0)
    assert same_weights(pm.network, before)
    assert not check_critic(whole, pm).sound


def test_what_cannot_be_a_critic_is_one_line(policy: LanguageModel, pm: PreferenceModel, tmp_path: Path) -> None:
    other = PreferenceModel.from_language_model(make_chat_model(tmp_path / "other", 290, 256), seed=0)
    with pytest.raises(UserError, match="the preference model has other tokens than the policy; train one from"):
        pm_critic(policy, other, 2, seed=0)
    for scorer in (Ensemble((pm, LetterModel()), "mean", (0.0, 0.0)), LetterModel()):
        with pytest.raises(UserError, match="not one preference model trains it but several, or a rule"):
            pm_critic(policy, scorer, 2, seed=0)
