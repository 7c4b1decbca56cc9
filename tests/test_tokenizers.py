"""Whether two models speak of the same tokens."""

from pathlib import Path

import pytest
from transformers import AutoConfig

from concordant.errors import UserError
from concordant.models.tokenizers import common_width, read_tokenizer
from toy_model import ToyModels, make_chat_model


def test_one_tokenizer_in_two_architectures(toy: ToyModels) -> None:
    """A template makes no difference to tokens."""
    assert common_width(toy.chat, toy.gpt2) == len(read_tokenizer(toy.plain))


def test_a_padded_last_layer_is_cut(toy: ToyModels, tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(toy.chat)
    config.vocab_size += 20
    config.save_pretrained(tmp_path)
    read_tokenizer(toy.chat).save_pretrained(tmp_path)
    assert common_width(toy.chat, tmp_path) == common_width(tmp_path, toy.chat) == config.vocab_size - 20


def test_other_tokenizers_are_refused(toy: ToyModels, tmp_path: Path) -> None:
    other = make_chat_model(tmp_path / "other", 280, 64)
    with pytest.raises(UserError, match=r"have different tokenizers \(280 and 300 tokens, 20 of them not shared\)"):
        common_width(other, toy.chat)


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tokenizer that can be loaded"):
        read_tokenizer(tmp_path)
