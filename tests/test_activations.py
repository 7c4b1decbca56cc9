"""Activations: the ones that plain transformers gives, whatever the batch; kept, found again, never computed twice."""

from pathlib import Path

import numpy as np
import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models import activations
from concordant.models.activations import (
    ActivationStore,
    Reading,
    StoredActivations,
    compute,
    key_of,
    layer_count,
    layer_states,
    middle_layer,
    pooled,
)
from concordant.models.language_model import LanguageModel, layers
from toy_model import ToyModels

PROMPTS = [
    Conversation().human("how do I bake bread"),
    Conversation().human("hello").assistant("hello there").human("take flour and water and salt and wait"),
    Conversation().human("Q"),
]


@pytest.fixture(params=["chat", "gpt2"])
def model(request: pytest.FixtureRequest, toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(getattr(toy, request.param))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_they_are_those_of_plain_transformers(model: LanguageModel, pooling: activations.Pooling) -> None:
    """Each prompt alone, without our mask; layer 1 of 2, since transformers' last one is behind the final norm."""
    reading = Reading((1,), pooling)
    rows = [reading.tokens(model, prompt) or [] for prompt in PROMPTS]
    found = layer_states(model, rows, reading)[1]
    for row, vector in zip(rows, found, strict=True):
        with torch.inference_mode():
            states = model.network(torch.tensor([row]), output_hidden_states=True).hidden_states[1][0]
        expected = states[-1] if pooling == "last" else states.mean(dim=0)
        assert torch.allclose(vector, expected, atol=1e-5)


def test_the_last_layer_becomes_the_final_state_behind_the_norm(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    reading = Reading((2,))
    row = reading.tokens(model, PROMPTS[0]) or []
    with torch.inference_mode():
        final = model.network(torch.tensor([row]), output_hidden_states=True).hidden_states[-1][0, -1]
        assert torch.allclose(model.body.norm(layer_states(model, [row], reading)[2][0]), final, atol=1e-5)


def test_a_pass_ends_at_the_highest_layer_and_leaves_no_hook(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    ran: list[int] = []
    blocks = layers(model.causal)
    handles = [block.register_forward_pre_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(blocks, 1)]
    states = layer_states(model, [[5, 6, 7]], Reading((1,)))
    assert ran == [1]
    assert list(states) == [1]
    for handle in handles:
        handle.remove()
    assert all(not block._forward_hooks for block in blocks)
    both = layer_states(model, [[5, 6, 7]], Reading((1, 2)))
    assert list(both) == [1, 2]
    assert torch.equal(both[1], states[1])


def test_padding_counts_for_nothing() -> None:
    states = torch.tensor([[[1.0], [3.0], [100.0]], [[2.0], [4.0], [6.0]]])
    real = torch.tensor([[True, True, False], [True, True, True]])
    assert pooled(states, real, "last").tolist() == [[3.0], [6.0]]
    assert pooled(states, real, "mean").tolist() == [[2.0], [4.0]]


def test_the_layer_of_the_paper() -> None:
    assert [middle_layer(count) for count in (4, 6, 10, 30, 64)] == [4, 6, 5, 15, 32]


def test_layers_are_counted_under_a_lora_too(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    assert layer_count(model) == 2
    lora = model.with_lora(rank=2, seed=0)
    assert layer_count(lora) == 2
    row = [5, 6, 7]
    assert torch.allclose(
        layer_states(lora, [row], Reading((2,)))[2], layer_states(LanguageModel.load(toy.chat), [row], Reading((2,)))[2]
    )


def test_what_was_computed_is_kept_by_prompt(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, reading = LanguageModel.load(toy.chat), Reading((1, 2))
    asked: list[int] = []
    real = activations.layer_states

    def counted(model: LanguageModel, prompts: list[list[int]], reading: Reading) -> dict[int, torch.Tensor]:
        asked.append(len(prompts))
        return real(model, prompts, reading)

    monkeypatch.setattr(activations, "layer_states", counted)
    store = ActivationStore.open(tmp_path, "digest", reading)
    seen: list[tuple[int, int]] = []
    keys = compute(model, PROMPTS[:2], reading, store, lambda done, total, _: seen.append((done, total)))
    assert seen == [(0, 2), (2, 2)]
    # Another process: two are there, one is new, one comes twice.
    again = ActivationStore.open(tmp_path, "digest", reading)
    more = compute(model, [PROMPTS[2], *PROMPTS, PROMPTS[2]], reading, again)
    assert asked == [2, 1]
    assert more == [more[0], *keys, more[0], more[0]]
    found = StoredActivations(again, tuple(key for key in more if key)).layer(2)
    assert found.dtype == np.float64
    alone = [real(model, [reading.tokens(model, prompt) or []], reading)[2][0].numpy() for prompt in PROMPTS]
    assert found == pytest.approx(np.array([alone[2], *alone, alone[2]]), abs=1e-5)


@pytest.mark.parametrize(
    "other", [("digest", Reading((1,))), ("digest", Reading((1, 2), "mean")), ("x", Reading((1, 2)))]
)
def test_another_model_layer_or_pooling_finds_nothing(
    other: tuple[str, Reading], toy: ToyModels, tmp_path: Path
) -> None:
    reading = Reading((1, 2))
    compute(LanguageModel.load(toy.chat), PROMPTS, reading, ActivationStore.open(tmp_path, "digest", reading))
    assert len(ActivationStore.open(tmp_path, "digest", Reading((1, 2), max_tokens=9)).places) == 3
    assert ActivationStore.open(tmp_path, *other).places == {}


def test_a_killed_pass_keeps_what_it_wrote(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of one prompt each; the second batch is never computed."""
    model, reading = LanguageModel.load(toy.chat), Reading((1,))
    monkeypatch.setattr(activations, "_SHARD_PROMPTS", 1)
    monkeypatch.setattr(activations, "_ROW_TOKENS", 1)
    real, left = activations.layer_states, [1]

    def killed(*given: object) -> dict[int, torch.Tensor]:
        if not left.pop():
            raise KeyboardInterrupt
        left.append(0)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(activations, "layer_states", killed)
    with pytest.raises(KeyboardInterrupt):
        compute(model, PROMPTS, reading, ActivationStore.open(tmp_path, "d", reading))
    assert len(ActivationStore.open(tmp_path, "d", reading).places) == 1


def test_a_prompt_that_does_not_fit_has_no_key(toy: ToyModels, tmp_path: Path) -> None:
    model, reading = LanguageModel.load(toy.chat), Reading((1,), max_tokens=40)
    store = ActivationStore.open(tmp_path, "d", reading)
    keys = compute(model, [PROMPTS[2], Conversation().human("flour and water " * 40)], reading, store)
    assert keys == [key_of(reading.tokens(model, PROMPTS[2]) or []), None]


def test_a_damaged_file_is_named(toy: ToyModels, tmp_path: Path) -> None:
    reading = Reading((1,))
    store = ActivationStore.open(tmp_path, "d", reading)
    store.folder.mkdir(parents=True)
    (store.folder / "x.safetensors").write_bytes(b"123456789")
    with pytest.raises(UserError, match=r"x\.safetensors cannot be read .* delete it and try again"):
        ActivationStore.open(tmp_path, "d", reading)
