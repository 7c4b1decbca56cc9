"""The preference model: where the score is read, what its folder is, and what it does with what does not fit."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.made_model import is_preference_model
from concordant.models.preference_model import END_OF_CONTEXT, PreferenceModel
from concordant.models.shared_rows import RowBatch
from toy_model import CONTEXT, ToyModels, same_weights

ASKED = Conversation().human("how do I bake bread")
LONG = Conversation().human("how").assistant("flour").human("and then")


def test_a_row_ends_every_reply_at_the_end_of_context(toy: ToyModels) -> None:
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    row = model.row(ASKED, ["yes", "no"])
    assert row is not None
    decode = model.format.tokenizer.decode
    assert decode(row.prompt) == "<|im_start|>user\nhow do I bake bread<|im_end|>\n<|im_start|>assistant\n"
    assert [decode(reply) for reply in row.replies] == [
        f"yes<|im_end|>{END_OF_CONTEXT}",
        f"no<|im_end|>{END_OF_CONTEXT}",
    ]


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_the_end_of_context_is_a_token_of_its_own(kind: str, toy: ToyModels) -> None:
    """Not padding, not end of turn; it starts with the embedding of the end of turn, all else is the base model's."""
    model = PreferenceModel.from_language_model(getattr(toy, kind), seed=0)
    tokenizer, network = model.format.tokenizer, model.network
    end = tokenizer.convert_tokens_to_ids(END_OF_CONTEXT)
    assert end == 300 and end not in (model.format.end_of_turn, tokenizer.pad_token_id, tokenizer.eos_token_id)
    embeddings = network.get_input_embeddings().weight
    assert embeddings.shape == (301, 32)
    assert torch.equal(embeddings[end], embeddings[model.format.end_of_turn])
    assert network.config.pad_token_id == tokenizer.pad_token_id
    base = AutoModelForSequenceClassification.from_pretrained(getattr(toy, kind), num_labels=1)
    assert torch.equal(embeddings[:300], base.get_input_embeddings().weight)


def test_the_seed_of_a_head_is_its_own(toy: ToyModels) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one = PreferenceModel.from_language_model(toy.chat, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert same_weights(one.network, PreferenceModel.from_language_model(toy.chat, seed=1).network)
    assert not same_weights(one.network, PreferenceModel.from_language_model(toy.chat, seed=2).network)


def test_an_untrained_head_is_small(toy: ToyModels) -> None:
    """The first loss is that of a coin."""
    scores = PreferenceModel.from_language_model(toy.chat, seed=0).score(ASKED, ["yes", "no", "long " * 9])
    assert max(map(abs, scores)) < 0.1


def test_scores_do_not_depend_on_the_company(toy: ToyModels) -> None:
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    items = [(ASKED, ["yes"]), (LONG, ["no", "yes", "perhaps"]), (ASKED, ["a much longer reply to it", "no"])]
    together = model.score_many(items)
    assert [len(scores) for scores in together] == [1, 3, 2]
    for (prompt, replies), scores in zip(items, together, strict=True):
        for reply, score in zip(replies, scores, strict=True):
            assert model.score(prompt, [reply]) == [pytest.approx(score, abs=2e-6)]
    small = replace(model, row_tokens=1)
    for one, other in zip(together, small.score_many(items), strict=True):
        assert one == pytest.approx(other, abs=2e-6)
    assert model.score_many([]) == []


def test_long_prompts_lose_turns_and_long_replies_are_refused(toy: ToyModels) -> None:
    model = PreferenceModel.from_language_model(toy.chat, seed=0, max_tokens=60)
    row = model.row(LONG, ["yes"])
    assert row is not None
    whole = PreferenceModel.from_language_model(toy.chat, seed=0).row(LONG, ["yes"])
    assert whole is not None
    exactly = replace(model, max_tokens=len(whole.prompt) + len(whole.replies[0]))
    assert exactly.row(LONG, ["yes"]) == whole
    # The longer of two replies decides, for both.
    shorter = exactly.row(LONG, ["yes", "yes, yes"])
    last = exactly.format.prompt(Conversation(LONG.turns[2:]))
    assert shorter is not None and shorter.prompt == last
    assert model.row(LONG, ["long " * 60]) is None
    with pytest.raises(UserError, match="exceed the preference model's 60 tokens: 'and then'; leave it out"):
        model.score(LONG, ["yes", "long " * 60])


def test_the_context_is_no_longer_than_the_base_models(toy: ToyModels) -> None:
    assert PreferenceModel.from_language_model(toy.gpt2, seed=0, max_tokens=1024).max_tokens == CONTEXT
    assert PreferenceModel.from_language_model(toy.gpt2, seed=0, max_tokens=50).max_tokens == 50


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "LoRA"])
@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_a_saved_folder_is_an_ordinary_classifier(kind: str, lora: bool, toy: ToyModels, tmp_path: Path) -> None:
    """Loaded by transformers alone, with its own padding and masks, it gives the same scores; loaded by us, too."""
    model = PreferenceModel.from_language_model(getattr(toy, kind), seed=0, max_tokens=77)
    if lora:
        model = model.with_lora(rank=4, seed=0, frozen_layers=1)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.network.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    replies = ["yes", "no, because of the flour"]
    scores = model.score(ASKED, replies)
    assert abs(scores[0] - scores[1]) > 1e-2
    row = model.row(ASKED, replies)
    assert row is not None
    model.save(tmp_path / "pm")

    network = AutoModelForSequenceClassification.from_pretrained(tmp_path / "pm").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "pm")
    texts = [tokenizer.decode([*row.prompt, *reply]) for reply in row.replies]
    batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt", padding_side="right")
    with torch.no_grad():
        assert network(**batch).logits[:, 0].tolist() == pytest.approx(scores, abs=1e-4)

    again = PreferenceModel.load(tmp_path / "pm")
    assert again.max_tokens == 77
    assert again.score(ASKED, replies) == pytest.approx(scores, abs=1e-5)
    assert not any(weight.requires_grad for weight in again.network.parameters())


def test_a_base_model_without_a_padding_token(toy: ToyModels, tmp_path: Path) -> None:
    """Its end of turn pads; the score is read at the end of context all the same."""
    shutil.copytree(toy.plain, tmp_path / "base")
    for name in ("config.json", "tokenizer_config.json"):
        config = json.loads((tmp_path / "base" / name).read_text())
        del config["pad_token_id" if name == "config.json" else "pad_token"]
        (tmp_path / "base" / name).write_text(json.dumps(config))
    model = PreferenceModel.from_language_model(tmp_path / "base", seed=0)
    assert model.format.tokenizer.pad_token is None
    rows = [model.row(ASKED, [reply]) for reply in ("yes", "no, because of the flour")]
    scores = [score for reply in ("yes", "no, because of the flour") for score in model.score(ASKED, [reply])]
    tokens = [[*row.prompt, *row.replies[0]] for row in rows if row is not None]
    padding = [model.format.end_of_turn] * (len(tokens[1]) - len(tokens[0]))
    model.save(tmp_path / "pm")
    network = AutoModelForSequenceClassification.from_pretrained(tmp_path / "pm").eval()
    mask = torch.tensor([[1] * len(tokens[0]) + [0] * len(padding), [1] * len(tokens[1])])
    with torch.no_grad():
        found = network(input_ids=torch.tensor([tokens[0] + padding, tokens[1]]), attention_mask=mask).logits[:, 0]
    assert found.tolist() == pytest.approx(scores, abs=1e-5)


def test_a_runs_folder_stands_for_the_model_in_it(toy: ToyModels, tmp_path: Path) -> None:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "run" / "model")
    (tmp_path / "run/config.json").write_text('{"kind": "pm"}')
    assert PreferenceModel.load(tmp_path / "run").max_tokens == CONTEXT


def test_other_models_are_refused(toy: ToyModels, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is no preference model .its tokenizer lacks"):
        PreferenceModel.load(toy.chat)
    with pytest.raises(UserError, match="holds no model"):
        PreferenceModel.load(tmp_path)
    with pytest.raises(UserError, match="holds no model"):
        PreferenceModel.from_language_model(tmp_path, seed=0)
    shutil.copytree(toy.chat, tmp_path / "torn")
    (tmp_path / "torn/model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be loaded as a preference model"):
        PreferenceModel.load(tmp_path / "torn")


def test_a_model_that_was_trained_before_keeps_what_it_learned(toy: ToyModels, tmp_path: Path) -> None:
    """Its score head and its token, whatever the seed; only the context is asked for anew."""
    first = PreferenceModel.start(toy.chat, seed=0, max_tokens=77)
    assert same_weights(first.network, PreferenceModel.from_language_model(toy.chat, seed=0).network)
    first.save(tmp_path / "run/model")
    (tmp_path / "run/config.json").write_text('{"kind": "pmp"}')
    assert not is_preference_model(toy.chat) and not is_preference_model(tmp_path / "absent")
    for folder in (tmp_path / "run", tmp_path / "run/model"):
        assert is_preference_model(folder)
        again = PreferenceModel.start(folder, seed=5, max_tokens=100)
        assert same_weights(again.network, first.network)
        assert (again.end_of_context, again.max_tokens) == (300, 100)
    assert PreferenceModel.start(tmp_path / "run", seed=0, max_tokens=4096).max_tokens == CONTEXT


@pytest.mark.parametrize("lora", [False, True], ids=["all weights", "LoRA"])
@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_layers_computed_again_give_the_same_gradient(kind: str, lora: bool, toy: ToyModels, tmp_path: Path) -> None:
    def gradients(recompute: bool) -> tuple[dict[str, torch.Tensor], int]:
        model = PreferenceModel.start(getattr(toy, kind), seed=0)
        if recompute:
            model.recompute_layers()
        if lora:
            model = model.with_lora(rank=4, seed=0, frozen_layers=1)
        rows = [model.row(prompt, ["yes", "no, because"]) for prompt in (ASKED, LONG)]
        batch = RowBatch.pack([row for row in rows if row is not None])
        kept: list[int] = []

        def count(tensor: torch.Tensor) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            scores = model.scores(batch)
        (scores[0::2] - scores[1::2]).sum().backward()  # type: ignore[no-untyped-call]
        assert not model.network.training
        model.save(tmp_path / "pm")
        named = model.network.named_parameters()
        return {name: weight.grad for name, weight in named if weight.grad is not None}, sum(kept)

    (expected, much), (found, little) = gradients(False), gradients(True)
    assert found.keys() == expected.keys() and little < much / 2
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_size_is_counted_without_embeddings(kind: str, toy: ToyModels) -> None:
    """Of a language model's weights, all but the token and position embeddings (its head is tied), and a score head."""
    folder = getattr(toy, kind)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    names = ("embed_tokens.weight", "wte.weight", "wpe.weight", "lm_head.weight")
    body = sum(weight.numel() for name, weight in plain.named_parameters() if not name.endswith(names))
    assert PreferenceModel.from_language_model(folder, seed=0).size == body + 32
