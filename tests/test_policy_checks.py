"""The checks of a policy before training: sound toy models pass, and each kind of fault is found by its own check."""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from concordant.models.chat_format import ChatFormat
from concordant.models.language_model import LanguageModel
from concordant.models.policy_checks import Finding, Paths, policy_findings
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.train.start_check import training_paths
from concordant.train_config import PolicyConfig
from toy_model import ToyModels

CONFIG = PolicyConfig(lora_rank=2)
NAMES = ["ratio at step 0", "KL at step 0", "sampler against trainer", "mask", "left padding", "end of turn"]


def policy(toy: ToyModels, kind: str = "chat") -> LanguageModel:
    return LanguageModel.load(getattr(toy, kind)).with_lora(2, seed=0)


def failed(model: LanguageModel, paths: Paths | None = None, *scorers: PreferenceModel) -> set[str]:
    found = policy_findings(model, paths or training_paths(model, CONFIG), scorers)
    return {finding.check for finding in found if not finding.sound}


def broken(model: LanguageModel, change: Callable[..., Any]) -> LanguageModel:
    """The same model whose transformer is called through ``change(forward, **arguments)``."""
    network = copy.deepcopy(model.network)
    found = replace(model, network=network)
    forward = found.body.forward

    @functools.wraps(forward)
    def changed(*arguments: Any, **named: Any) -> Any:
        return change(forward, **named)

    found.body.forward = changed
    return found


def scorer(toy: ToyModels) -> PreferenceModel:
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    with torch.no_grad():
        model.network.score.weight.mul_(100)
    return model


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_sound_models(kind: str, toy: ToyModels) -> None:
    model = policy(toy, kind)
    found = policy_findings(model, training_paths(model, CONFIG), [scorer(toy)])
    assert [finding.check for finding in found] == [*NAMES, "score position"]
    assert [finding.check for finding in found if not finding.sound] == []
    assert found[1].measured == 0.0  # the reference is the same network with its adapter off
    assert all(finding.measured < finding.limit / 4 for finding in found if finding.limit)


def test_a_network_that_is_not_the_same_twice(toy: ToyModels) -> None:
    """Such as one whose dropout is on."""

    def noisy(forward: Any, **named: Any) -> Any:
        output = forward(**named)
        output.last_hidden_state = output.last_hidden_state + 0.01 * torch.randn_like(output.last_hidden_state)
        return output

    assert "ratio at step 0" in failed(broken(policy(toy), noisy))


def test_a_policy_that_has_learned_already(toy: ToyModels) -> None:
    model = policy(toy)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
    assert failed(model) == {"KL at step 0"}


def test_a_temperature_on_one_side(toy: ToyModels) -> None:
    model = policy(toy)
    paths = training_paths(model, CONFIG)
    hot = replace(paths, sample=lambda prompts, n, temperature: paths.sample(prompts, n, 1.0))
    assert failed(model, hot) == {"sampler against trainer"}
    assert failed(model, replace(paths, reference=lambda rows, temperature: paths.reference(rows, 1.0))) == {
        "KL at step 0"
    }


def test_a_mask_that_is_ignored(toy: ToyModels) -> None:
    def no_mask(forward: Any, **named: Any) -> Any:
        cached = named.get("past_key_values")
        if cached is not None:
            return forward(**named)
        return forward(**(named | {"attention_mask": torch.ones_like(named["input_ids"])}))

    assert {"mask", "left padding"} <= failed(broken(policy(toy), no_mask))


def test_left_padding_with_positions_unshifted(toy: ToyModels) -> None:
    """Learned positions that are counted from the row's edge: the first real token is not at 0."""

    def from_the_edge(forward: Any, **named: Any) -> Any:
        if named.get("attention_mask") is not None and named["attention_mask"].dim() == 2:
            named |= {"position_ids": torch.arange(named["input_ids"].shape[1])[None]}
        return forward(**named)

    assert failed(broken(policy(toy, "gpt2"), from_the_edge)) == {"left padding"}


def test_a_trainer_that_forgets_where_replies_begin_again(toy: ToyModels) -> None:
    """Positions that run on through a shared row."""
    model = policy(toy, "gpt2")

    def run_on(forward: Any, **named: Any) -> Any:
        if named.get("past_key_values") is None and named["attention_mask"].dim() == 4:
            named |= {"position_ids": torch.arange(named["input_ids"].shape[1])[None]}
        return forward(**named)

    assert "mask" in failed(broken(model, run_on))


class Endless(ChatFormat):
    """Renders replies without the token that ends them."""

    def reply(self, text: str) -> list[int]:
        return super().reply(text)[:-1]


def test_replies_without_an_end(toy: ToyModels) -> None:
    model = policy(toy)
    assert failed(replace(model, format=Endless(model.tokenizer))) == {"end of turn"}


class EarlyReader(PreferenceModel):
    """Reads the score one token before the end of context."""

    def scores(self, batch: RowBatch, hidden: torch.Tensor | None = None) -> torch.Tensor:
        rows, columns = batch.reply_ends()
        states = self.hidden(batch)
        scores: torch.Tensor = self.classifier.score(states[rows, columns - 1])[:, 0]
        return scores


class Unended(PreferenceModel):
    """Leaves the end-of-context token away."""

    def row(self, prompt: Any, replies: Sequence[str]) -> SharedRow | None:
        row = super().row(prompt, replies)
        assert row is not None
        return SharedRow(row.prompt, [reply[:-1] for reply in row.replies])


def test_a_score_read_elsewhere(toy: ToyModels) -> None:
    model, sound = policy(toy), scorer(toy)
    assert failed(model, None, sound) == set()
    for kind in (EarlyReader, Unended):
        assert failed(model, None, kind(sound.network, sound.format, sound.max_tokens)) == {"score position"}
    torch.nn.init.zeros_(sound.network.score.weight)
    assert failed(model, None, sound) == {"score position"}


def test_what_is_no_number_is_no_pass() -> None:
    finding = Finding("x", float("nan"), 1.0, "fine", "broken")
    assert not finding.sound and finding.meaning == "broken"
