"""Loading, LoRA with the reference behind it, and log-probabilities in slices."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, BloomForCausalLM

import concordant.models.language_model as language_model
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, context, hidden_states, layers, read_folder
from concordant.models.made_model import adapter_base
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.runs import Run
from toy_model import CONTEXT, ToyModels, same_weights

BATCH = RowBatch.pack([SharedRow([40, 41, 42], [[50, 51], [60]])])


def hidden(model: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        return model.hidden(BATCH)


def disturb(model: LanguageModel) -> None:
    """Give every trainable weight another value, as training would."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))


def test_a_loaded_model_is_frozen_and_has_no_dropout(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.gpt2)  # a model whose config asks for dropout
    assert model.causal.config.resid_pdrop > 0
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert torch.equal(hidden(model), hidden(model))


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_a_fresh_lora_changes_nothing_and_alone_is_trained(kind: str, toy: ToyModels) -> None:
    before = LanguageModel.load(getattr(toy, kind))
    plain = hidden(before)
    model = before.with_lora(rank=4, seed=1)
    assert torch.equal(hidden(model), plain)
    trained = {name for name, weight in model.network.named_parameters() if weight.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    linear = {"chat": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")}.get(
        kind, ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    )
    assert len(trained) == 2 * 2 * len(linear)  # two layers, two matrices each
    assert all(any(f"{name}." in weight for weight in trained) for name in linear)


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_the_reference_is_the_model_before_training(kind: str, toy: ToyModels) -> None:
    first = LanguageModel.load(getattr(toy, kind))
    plain = hidden(first)
    model = first.with_lora(rank=4, seed=1)
    disturb(model)
    trained = hidden(model)
    assert not torch.allclose(trained, plain, atol=1e-2)
    with model.reference():
        assert torch.equal(hidden(model), plain)
    assert torch.equal(hidden(model), trained)


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_a_saved_adapter_is_merged_when_it_is_loaded(kind: str, toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(getattr(toy, kind)).with_lora(rank=4, seed=1)
    disturb(model)
    model.save_adapter(tmp_path / "adapter")
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    merged = LanguageModel.load(adapter_base(tmp_path / "adapter"), tmp_path / "adapter")
    assert not hasattr(merged.network, "peft_config")
    assert not any(weight.requires_grad for weight in merged.network.parameters())
    torch.testing.assert_close(hidden(merged), hidden(model), atol=1e-5, rtol=1e-5)


def test_an_adapter_finds_its_base_from_any_folder(
    toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.chat.parent)
    model = LanguageModel.load(Path(toy.chat.name)).with_lora(rank=4, seed=1)
    model.network.save_pretrained(tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    assert adapter_base(tmp_path / "adapter") == toy.chat


def test_the_seed_of_a_lora_is_its_own(toy: ToyModels) -> None:
    """It decides the fresh weights, whatever the global stream is at, and leaves that where it was."""
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one = LanguageModel.load(toy.chat).with_lora(rank=4, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert same_weights(one.network, LanguageModel.load(toy.chat).with_lora(rank=4, seed=1).network)
    assert not same_weights(one.network, LanguageModel.load(toy.chat).with_lora(rank=4, seed=2).network)


def test_log_probs_in_slices_are_those_of_one_piece(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel.load(toy.chat)
    states, tokens = torch.randn(11, 32, generator=torch.Generator().manual_seed(0)), torch.arange(40, 51)
    whole = model.token_logprobs(states, tokens, 1.0)
    monkeypatch.setattr(language_model, "_LOGIT_ROWS", 4)
    for part, expected in zip(model.token_logprobs(states, tokens, 1.0), whole, strict=True):
        torch.testing.assert_close(part, expected)


def test_gradients_reach_the_lora_through_log_probs_alone(toy: ToyModels) -> None:
    """The entropy is a number to log: it must not pull."""
    model = LanguageModel.load(toy.chat).with_lora(rank=4, seed=1)
    rows, columns, predictors = BATCH.reply_tokens()
    logprobs, entropy = model.token_logprobs(model.hidden(BATCH)[rows, predictors], BATCH.input_ids[rows, columns], 1.0)
    assert logprobs.requires_grad and not entropy.requires_grad


def test_a_prompt_leaves_room_for_the_reply(toy: ToyModels) -> None:
    """However large the limit: a model with learned positions has none beyond its context."""
    model = LanguageModel.load(toy.gpt2)
    assert context(model.causal) == CONTEXT
    talk = Conversation().human("x" * 200).assistant("y" * 20).human("z" * 100)
    tokens = model.fit(talk, max_tokens=2048, reply_tokens=50)
    assert tokens == model.format.prompt(Conversation(talk.turns[2:])) and len(tokens) + 50 <= CONTEXT
    assert model.fit(talk, max_tokens=2048, reply_tokens=CONTEXT - 100) is None
    assert model.fit(talk, max_tokens=100, reply_tokens=1) is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"max_position_embeddings": 4096, "sliding_window": 512}, 512),
        ({"max_position_embeddings": 256, "sliding_window": 512}, 256),
        ({"max_position_embeddings": 4096, "sliding_window": 512, "use_sliding_window": False}, 4096),
        ({"max_position_embeddings": 4096, "sliding_window": None}, 4096),
        ({}, 2**31),
    ],
)
def test_no_more_is_shown_to_a_model_than_all_its_layers_see(settings: dict[str, Any], expected: int) -> None:
    """Our mask knows no sliding window, so what is longer than one would be read in another way than it was trained."""
    assert context(SimpleNamespace(config=SimpleNamespace(**settings))) == expected


def test_layers_are_found_whatever_they_are_called(toy: ToyModels) -> None:
    llama, gpt2 = LanguageModel.load(toy.chat).causal, LanguageModel.load(toy.gpt2).causal
    assert layers(llama) == list(llama.model.layers)
    assert layers(gpt2) == list(gpt2.transformer.h)


def test_what_is_no_model_is_refused_in_one_line(toy: ToyModels, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no model \(it has no config\.json\)"):
        LanguageModel.load(tmp_path)
    for name in ("strange", "torn"):
        shutil.copytree(toy.chat, tmp_path / name)
    (tmp_path / "strange/config.json").write_text('{"model_type": "nothing known"}')
    weights = tmp_path / "torn/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    for name in ("strange", "torn"):
        with pytest.raises(UserError, match=f"{name} cannot be loaded as a causal language model") as refusal:
            LanguageModel.load(tmp_path / name)
        assert "\n" not in str(refusal.value)


def test_an_unfinished_run_has_no_model_yet(tmp_path: Path) -> None:
    Run.begin(tmp_path / "pm-1", "pm", {"batch_size": 4}, {})
    with pytest.raises(UserError, match=r"pm-1 holds no model yet .*; let the run end first"):
        PreferenceModel.load(tmp_path / "pm-1")


def test_an_adapter_that_is_gone_is_refused(toy: ToyModels, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no adapter"):
        LanguageModel.load(toy.chat, tmp_path)


def test_both_kinds_of_attention_read_the_mask_alike(toy: ToyModels) -> None:
    """transformers adds a mask to the logits in its own attention, where True and False would hide nothing."""
    sdpa, _ = read_folder(toy.chat, AutoModelForCausalLM, "a model", attn_implementation="sdpa")
    eager, _ = read_folder(toy.chat, AutoModelForCausalLM, "a model", attn_implementation="eager")
    torch.testing.assert_close(
        hidden_states(eager.model, BATCH), hidden_states(sdpa.model, BATCH), atol=1e-5, rtol=1e-5
    )


def test_a_model_that_lets_one_reply_see_another_is_refused(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(body: object, visible: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(visible)

    monkeypatch.setattr(language_model, "as_attention_mask", blind)
    with pytest.raises(UserError, match=r"models of type llama do not take .* \(it lets one reply of a row see"):
        LanguageModel.load(toy.chat)


def test_an_architecture_that_cannot_take_the_mask_is_refused(toy: ToyModels, tmp_path: Path) -> None:
    config = BloomConfig(vocab_size=300, hidden_size=32, n_layer=1, n_head=2)
    BloomForCausalLM(config).save_pretrained(tmp_path / "bloom")
    for file in toy.chat.glob("token*"):
        shutil.copy(file, tmp_path / "bloom")
    with pytest.raises(UserError, match=r"bloom: models of type bloom do not take a 4-D attention mask"):
        LanguageModel.load(tmp_path / "bloom")
