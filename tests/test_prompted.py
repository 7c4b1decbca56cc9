"""A prompt that is computed once is the prompt written out before every text."""

import pytest
import torch

from concordant.errors import UserError
from concordant.hhh_prompt import HhhPrompt
from concordant.models.language_model import LanguageModel
from concordant.models.prompted import PromptedModel
from concordant.models.shared_rows import RowBatch, SharedRow
from toy_model import CONTEXT, ToyModels

TEXTS = [[60, 61, 62, 63, 64], [70, 71], [80]]
PROMPT = HhhPrompt.from_text("Be good.\n-----\nHuman: a\n\nAssistant: b", "mine.txt")


@torch.inference_mode()
def alone(model: LanguageModel, tokens: list[int]) -> torch.Tensor:
    return model.hidden(RowBatch.pack([SharedRow(tokens, [])]))[0]


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_the_cache_gives_what_the_whole_text_gives(kind: str, toy: ToyModels) -> None:
    """Llama and GPT-2, whose positions are learned; rows of several lengths; twice, so that nothing piles up."""
    model = LanguageModel.load(getattr(toy, kind))
    prefix = model.format.prefix(PROMPT)
    prompted = PromptedModel.after(prefix, model, 5)
    batch = RowBatch.pack([SharedRow(tokens, []) for tokens in TEXTS])
    for _ in range(2):
        with torch.inference_mode():
            found = prompted.hidden(batch)
        for row, tokens in enumerate(TEXTS):
            whole = alone(model, [*prefix, *tokens])[len(prefix) :]
            torch.testing.assert_close(found[row, : len(tokens)], whole, atol=1e-5, rtol=1e-4)
            assert not torch.allclose(found[row, : len(tokens)], alone(model, tokens), atol=1e-2)


def test_no_prompt_is_the_model_itself(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    with torch.inference_mode():
        found = PromptedModel.after([], model, 5).hidden(RowBatch.pack([SharedRow(TEXTS[0], [])]))
    assert torch.equal(found[0], alone(model, TEXTS[0]))


def test_room_for_prompt_and_text(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    assert PromptedModel.after([60] * 200, model, CONTEXT - 200).length == 200
    with pytest.raises(UserError, match=r"the prompt has 200 tokens, and with texts of 57 .* context of 256"):
        PromptedModel.after([60] * 200, model, CONTEXT - 199)


def test_groups_hold_every_text_once(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    prompted = PromptedModel.after([60] * 10, LanguageModel.load(toy.chat), 5)
    texts = [[1] * size for size in (3, 9, 1, 4, 4, 20)]
    groups = list(prompted.groups(texts, 16))
    assert groups == [[5], [1], [3, 4, 0, 2]]  # 20 alone is over the budget; 9 + 9 would be; 4 × 4 fill it
    monkeypatch.setattr("concordant.models.prompted._PREFIX_TOKENS", 25)
    assert list(prompted.groups(texts, 16)) == [[5], [1], [3, 4], [0, 2]]
