"""The language model inside a preference model: its log-probabilities are the base model's own, tied or not."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_head import LANGUAGE_HEAD, language_logprobs
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from toy_model import ToyModels, make_untied

QUESTIONS = ("how do I bake bread", "a much longer question that is not quite like the other one, and goes on")
REPLIES = ["flour, water, salt and then you wait", "no"]


@pytest.fixture
def untied(toy: ToyModels, tmp_path: Path) -> Path:
    return make_untied(toy.chat, tmp_path / "untied")


def rows_of(model: PreferenceModel) -> list[SharedRow]:
    rows = [model.row(Conversation().human(question), REPLIES) for question in QUESTIONS]
    return [row for row in rows if row is not None]


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2", "untied"])
def test_an_untrained_model_says_what_its_base_says(kind: str, toy: ToyModels, untied: Path) -> None:
    """Against a plain forward of transformers' causal LM over prompt and first reply alone."""
    folder = untied if kind == "untied" else getattr(toy, kind)
    model = PreferenceModel.start(folder, seed=0)
    model.learn_language(folder)
    model.learn_language(folder)
    assert hasattr(model.classifier, LANGUAGE_HEAD) == (kind == "untied")
    rows = rows_of(model)
    batch = RowBatch.pack(rows)
    with torch.no_grad():
        found = model.reply_logprobs(batch, model.hidden(batch))
        base = AutoModelForCausalLM.from_pretrained(folder).eval()
        expected = []
        for row in rows:
            reply = row.replies[0][:-1]  # without the end of context, which the base model does not know
            logits = base(torch.tensor([[*row.prompt, *reply]])).logits[0, len(row.prompt) - 1 : -1]
            expected.append(torch.log_softmax(logits, dim=-1)[torch.arange(len(reply)), torch.tensor(reply)])
    assert found.tolist() == pytest.approx(torch.cat(expected).tolist(), abs=1e-5)


def test_slices_change_neither_value_nor_gradient(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    model = PreferenceModel.start(toy.chat, seed=0)
    batch = RowBatch.pack(rows_of(model))

    def of(rows: int) -> tuple[list[float], torch.Tensor]:
        monkeypatch.setattr("concordant.models.language_head._LOGIT_ROWS", rows)
        model.network.requires_grad_(True)
        model.network.zero_grad()
        found = model.reply_logprobs(batch, model.hidden(batch))
        found.sum().backward()  # type: ignore[no-untyped-call]
        gradient: torch.Tensor = model.network.get_input_embeddings().weight.grad
        return found.tolist(), gradient.clone()

    whole, sliced = of(512), of(7)
    assert sliced[0] == pytest.approx(whole[0], abs=1e-6)
    torch.testing.assert_close(sliced[1], whole[1], atol=1e-5, rtol=1e-4)
    assert whole[1].abs().max() > 1e-3
    assert whole[1][model.end_of_context].abs().max() == 0  # text teaches it nothing: it stands in no text


def test_a_head_that_is_missing_is_a_fault(untied: Path) -> None:
    model = PreferenceModel.start(untied, seed=0)
    with pytest.raises(ValueError, match="it was not attached"):
        language_logprobs(model.classifier, torch.zeros(1, 32), torch.tensor([3]), model.end_of_context)


def test_a_base_model_that_scales_its_logits_is_refused(toy: ToyModels) -> None:
    model = PreferenceModel.start(toy.chat, seed=0)
    model.network.config.final_logit_softcapping = 30.0
    with pytest.raises(UserError, match=r"scales its logits .final_logit_softcapping = 30.0.* set lm_coef=0"):
        model.learn_language(toy.chat)


def test_the_head_is_dropped_when_a_model_is_saved(untied: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for lora in (False, True):
        model = PreferenceModel.start(untied, seed=0)
        model.learn_language(untied)
        model = model.with_lora(4, 0, 0) if lora else model
        folder = tmp_path / f"pm-{lora}"
        model.save(folder)
        assert not any(LANGUAGE_HEAD in name for name in load_file(folder / "model.safetensors"))
        assert LANGUAGE_HEAD not in json.dumps(json.loads((folder / "config.json").read_text()))
        prompt = Conversation().human(QUESTIONS[0])
        again = PreferenceModel.start(folder, seed=0)
        assert again.score(prompt, REPLIES) == pytest.approx(model.score(prompt, REPLIES), abs=1e-6)
        with pytest.raises(UserError, match=r"is a preference model, and the language-model head .* set lm_coef=0"):
            again.learn_language(folder)
