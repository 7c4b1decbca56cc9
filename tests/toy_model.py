"""Causal language models of two layers with random weights, in ordinary transformers folders: made in a second.

Their tokenizer works on bytes, so that it can write every text. The padding token is not the end of turn.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PAD, END_OF_TEXT, START, END = "<|pad|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"
HIDDEN_MARK = "<|hidden|>"
"""A special token that the tokenizer's config does not name, as in many published tokenizers."""

TEXTS = (
    "user assistant how do I bake bread take flour and water and salt and wait",
    "good answers are short and bad answers are long\n\nHuman: hello\n\nAssistant: hello there",
)
CONTEXT = 256


@dataclass(frozen=True)
class ToyModels:
    """Folders.

    Attributes:
        chat: a Llama (grouped heads, tied embeddings) with a chat template.
        plain: the same weights without a template.
        gpt2: another architecture: learned positions, ``Conv1D`` instead of ``Linear``, no template.
    """

    chat: Path
    plain: Path
    gpt2: Path


def toy_tokenizer(template: str | None, vocabulary: int = 300) -> Any:
    """A byte-level BPE with a few merges."""
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END_OF_TEXT, START, END, HIDDEN_MARK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare,
        pad_token=PAD,
        eos_token=END_OF_TEXT,
        extra_special_tokens=[START, END],
    )
    tokenizer.chat_template = template
    return tokenizer


def make_toy_models(folder: Path) -> ToyModels:
    logging.disable_progress_bar()
    made = ToyModels(folder / "chat", folder / "plain", folder / "gpt2")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        chat, plain = toy_tokenizer(TEMPLATE), toy_tokenizer(None)
        common = {"vocab_size": len(chat), "pad_token_id": chat.pad_token_id, "eos_token_id": chat.eos_token_id}
        llama = _llama(chat, CONTEXT)
        gpt2 = GPT2LMHeadModel(
            GPT2Config(
                **common, bos_token_id=None, n_embd=32, n_layer=2, n_head=4, n_positions=CONTEXT, initializer_range=0.15
            )
        )
    for path, network, tokenizer in (
        (made.chat, llama, chat),
        (made.plain, llama, plain),
        (made.gpt2, gpt2, plain),
    ):
        network.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return made


def make_chat_model(folder: Path, vocabulary: int, context: int) -> Path:
    """A Llama with a tokenizer and a context of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tokenizer = toy_tokenizer(TEMPLATE, vocabulary)
        _llama(tokenizer, context).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _llama(tokenizer: Any, context: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=0.15,
            tie_word_embeddings=True,
        )
    )


def same_weights(first: Any, second: Any) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def make_untied(chat: Path, folder: Path) -> Path:
    """The chat model with a language-model head of its own, in a folder of its own."""
    network = LlamaForCausalLM.from_pretrained(chat)
    config = LlamaConfig(**{**network.config.to_dict(), "tie_word_embeddings": False})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        untied = LlamaForCausalLM(config)
    untied.model.load_state_dict(network.model.state_dict())
    untied.save_pretrained(folder)
    AutoTokenizer.from_pretrained(chat).save_pretrained(folder)
    return folder
