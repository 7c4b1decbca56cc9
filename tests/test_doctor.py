"""The doctor on sound toy models, and on models that are broken on purpose: each check turns, and says so."""

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from concordant.errors import UserError
from concordant.evaluate.doctor import DRIFT_LIMIT, SCORE_LIMIT, examine
from concordant.evaluate.doctor_parts import Verdict
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import END_OF_CONTEXT, PreferenceModel
from concordant.models.shared_rows import RowBatch
from toy_model import ToyModels

NETWORK = ("right padding", "left padding", "batch split", "shared row", "tokens after")
"""The checks that compare numbers of the same reply."""


def scorer(toy: ToyModels, kind: str = "chat") -> PreferenceModel:
    """A PM whose head is large enough to tell replies apart."""
    model = PreferenceModel.from_language_model(getattr(toy, kind), seed=0)
    with torch.no_grad():
        model.network.score.weight.mul_(100)
    model.network.requires_grad_(False)
    return model


def found(model: PreferenceModel | LanguageModel) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in examine(model)}


def statuses(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {name: verdict.status for name, verdict in verdicts.items()}


def broken(model: Any, change: Callable[..., Any]) -> Any:
    """The same model whose transformer is called through ``change(forward, **arguments)``."""
    network = copy.deepcopy(model.network)
    body = getattr(network, network.base_model_prefix)
    forward = body.forward

    @functools.wraps(forward)
    def changed(*arguments: Any, **named: Any) -> Any:
        if arguments:
            named["input_ids"] = arguments[0]
        return change(forward, **named)

    body.forward = changed
    return replace(model, network=network)


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_sound_preference_models(kind: str, toy: ToyModels) -> None:
    watched: list[tuple[int, int]] = []
    verdicts = examine(scorer(toy, kind), lambda done, total, seen: watched.append((done, total)))
    by_name = {verdict.check: verdict for verdict in verdicts}
    assert statuses(by_name) == {name: "ok" for name in by_name} | {"begin of text": "not applicable"}
    for name in (*NETWORK, "score position", "plain transformers"):
        measured = by_name[name].measured
        assert measured is not None and measured < SCORE_LIMIT / 4
        assert by_name[name].limit == SCORE_LIMIT
    assert by_name["bfloat16"].counts["pairs"] >= 3
    assert watched == [(number, 12) for number in range(13)]


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_sound_language_models(kind: str, toy: ToyModels) -> None:
    verdicts = found(LanguageModel.load(getattr(toy, kind)))
    assert {name for name, status in statuses(verdicts).items() if status == "wrong"} == set()
    for name in NETWORK:
        measured = verdicts[name].measured
        assert verdicts[name].status == "ok" and measured is not None and 0 < measured < 1e-4
    for name in ("score position", "plain transformers"):
        assert verdicts[name].status == "not applicable"


def test_positions_that_are_ignored(toy: ToyModels) -> None:
    """Learned positions that count padding too, and do not begin again for the second reply."""

    def no_positions(forward: Any, **named: Any) -> Any:
        return forward(**(named | {"position_ids": None}))

    for model in (scorer(toy, "gpt2"), LanguageModel.load(toy.gpt2)):
        verdicts = statuses(found(broken(model, no_positions)))
        assert {name for name in NETWORK if verdicts[name] == "wrong"} == {"left padding", "shared row"}


def test_a_mask_that_is_ignored(toy: ToyModels) -> None:
    """Padding on the left is seen by what comes after it; the second reply sees the first."""

    def no_mask(forward: Any, **named: Any) -> Any:
        return forward(**(named | {"attention_mask": torch.ones_like(named["input_ids"])}))

    for model in (scorer(toy), LanguageModel.load(toy.chat)):
        verdicts = statuses(found(broken(model, no_mask)))
        assert {"left padding", "shared row"} <= {name for name in NETWORK if verdicts[name] == "wrong"}
        assert verdicts["tokens after"] == "ok"


def test_a_network_that_looks_ahead(toy: ToyModels) -> None:
    def averaged(forward: Any, **named: Any) -> Any:
        output = forward(**named)
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(dim=1, keepdim=True)
        return output

    verdicts = statuses(found(broken(scorer(toy), averaged)))
    assert {"right padding", "tokens after"} <= {name for name in NETWORK if verdicts[name] == "wrong"}


def test_a_network_that_mixes_the_batch(toy: ToyModels) -> None:
    def mixed(forward: Any, **named: Any) -> Any:
        output = forward(**named)
        output.last_hidden_state = output.last_hidden_state - output.last_hidden_state.mean(dim=0, keepdim=True) / 2
        return output

    assert found(broken(scorer(toy), mixed))["batch split"].status == "wrong"
    assert found(broken(LanguageModel.load(toy.chat), mixed))["batch split"].status == "wrong"


class EarlyReader(PreferenceModel):
    """Reads the score one token before the end of context."""

    def scores(self, batch: RowBatch, hidden: torch.Tensor | None = None) -> torch.Tensor:
        rows, columns = batch.reply_ends()
        hidden = self.network.model(
            input_ids=batch.input_ids, attention_mask=batch.attention, position_ids=batch.positions
        ).last_hidden_state
        scores: torch.Tensor = self.network.score(hidden[rows, columns - 1])[:, 0]
        return scores


def test_a_score_read_elsewhere(toy: ToyModels) -> None:
    sound = scorer(toy)
    verdict = found(EarlyReader(sound.network, sound.format, sound.max_tokens))["score position"]
    assert verdict.status == "wrong" and verdict.measured is not None and verdict.measured > 0.01
    assert verdict.meaning == f"the score is not the one at {END_OF_CONTEXT}"


def test_a_flat_head(toy: ToyModels) -> None:
    model = scorer(toy)
    torch.nn.init.zeros_(model.network.score.weight)
    verdict = found(model)["score position"]
    assert verdict.status == "wrong" and verdict.measured == 0.0
    assert "does not tell tokens apart" in verdict.meaning


class Endless(PreferenceModel):
    """Forgets the end-of-context token."""

    def row(self, prompt: Any, replies: Any) -> Any:
        row = super().row(prompt, replies)
        return row and replace(row, replies=[reply[:-1] for reply in row.replies])


def test_a_row_without_its_end(toy: ToyModels) -> None:
    sound = scorer(toy)
    verdict = found(Endless(sound.network, sound.format, sound.max_tokens))["score position"]
    assert verdict.status == "wrong" and "rows do not end with" in verdict.meaning


def test_padding_that_transformers_does_not_know(toy: ToyModels) -> None:
    model = scorer(toy)
    model.network.config.pad_token_id = None
    verdict = found(model)["plain transformers"]
    assert verdict.status == "wrong" and "no pad_token_id" in verdict.meaning
    # The tokenizer pads with one token, and config.json names another: padding is read as the end of the row.
    model.network.config.pad_token_id = model.format.end_of_turn
    assert found(model)["plain transformers"].status == "wrong"


def test_padding_with_the_end_of_context(toy: ToyModels) -> None:
    model = scorer(toy)
    model.format.tokenizer.pad_token = END_OF_CONTEXT
    model.network.config.pad_token_id = model.format.tokenizer.pad_token_id
    verdicts = statuses(found(model))
    assert verdicts["special tokens"] == verdicts["plain transformers"] == "wrong"


def test_a_model_that_bfloat16_harms(toy: ToyModels) -> None:
    """A warning and no fault."""
    model = scorer(toy)
    model.network.score.weight.mul_(1000)
    verdict = found(model)["bfloat16"]
    assert verdict.status == "warning" and verdict.measured is not None and verdict.measured > DRIFT_LIMIT
    assert verdict.limit == DRIFT_LIMIT
    assert f"{verdict.counts['pairs_turned']} of {verdict.counts['pairs']} pairs change order" in verdict.meaning
    # The model itself stays in float32.
    assert {weight.dtype for weight in model.network.parameters()} == {torch.float32}


def test_weights_that_are_not_numbers(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    model.network.model.norm.weight.fill_(torch.nan)
    verdicts = statuses(found(model))
    assert [verdicts[name] for name in NETWORK] == ["wrong"] * len(NETWORK)


def test_a_network_without_positions_is_padded_on_the_right_alone(
    toy: ToyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = scorer(toy)
    body = model.network.model
    forward = body.forward

    def without(input_ids: Any, attention_mask: Any, **others: Any) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask, **others)

    monkeypatch.setattr(body, "forward", without)
    assert found(model)["left padding"].status == "not applicable"


def test_a_context_that_holds_nothing(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    model.network.config.max_position_embeddings = 20
    with pytest.raises(UserError, match="the context of 20 tokens is too small for any conversation"):
        examine(model)
