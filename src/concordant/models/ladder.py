"""The paper's size ladder, untrained: L layers of width 128·L, from 13M to 52B weights without embeddings (paper §3.1).

The sizes are the paper's and the block is transformers' Llama: rotary positions, RMSNorm and a gated feed-forward
layer, whose inner width is chosen so that a layer has the paper's 12·d² weights. The tokenizer is SmolLM2's 49,152
tokens (the paper's has 2^16) without its chat template, so that text is rendered as the paper's transcripts; context
2,048 tokens (the paper's 8,192); input and output embeddings are one matrix. Left out: the paper's own LM pretraining.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError

LAYERS = {
    "ladder-13m": 4,
    "ladder-42m": 6,
    "ladder-197m": 10,
    "ladder-810m": 16,
    "ladder-2.7b": 24,
    "ladder-13b": 40,
    "ladder-52b": 64,
}
"""Layers of each size, by short name."""

TOKENIZER_OF = "smollm2-135m"
CONTEXT = 2048
HEAD_SIZE = 64
"""Width of an attention head. With 128 the smallest size would have four heads; one width for all of them, so that
two sizes differ in L and d alone."""

_STEP = 64
_BYTES = 4


@dataclass(frozen=True, slots=True)
class Rung:
    """One size with one set of initial weights.

    Attributes:
        name: a key of ``LAYERS``.
        seed: of the initial weights.
    """

    name: str
    seed: int = 0

    @classmethod
    def named(cls, name: str) -> "Rung | None":
        """``ladder-13m`` (seed 0) or ``ladder-13m@3``; None for a name that is not of the ladder.

        Raises:
            UserError: it begins like one of the ladder, and there is no such size or seed.
        """
        if not name.startswith("ladder-"):
            return None
        size, _, seed = name.partition("@")
        if size not in LAYERS or ("@" in name and not re.fullmatch(r"\d{1,9}", seed)):
            raise UserError(f"model {name!r} is unknown; give {', '.join(LAYERS)}, with @SEED for other first weights")
        return cls(size, int(seed or 0))

    @property
    def label(self) -> str:
        """The full name, with the seed: the name of its folder."""
        return f"{self.name}@{self.seed}"

    @property
    def layers(self) -> int:
        return LAYERS[self.name]

    @property
    def width(self) -> int:
        """d = 128·L."""
        return 128 * self.layers

    @property
    def inner_width(self) -> int:
        """f of the feed-forward layer: the multiple of 64 next to 8d/3, since 4d² + 3·d·f is then 12·d²."""
        return round(8 * self.width / 3 / _STEP) * _STEP

    @property
    def body_parameters(self) -> int:
        """Weights without embeddings, as the paper counts: L·(4d² + 3·d·f), and d for each of 2L + 1 norms."""
        per_layer = 4 * self.width**2 + 3 * self.width * self.inner_width
        return self.layers * per_layer + (2 * self.layers + 1) * self.width

    def config(self, tokenizer: Any) -> Any:
        """transformers' config for this size and a tokenizer."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.width,
            intermediate_size=self.inner_width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.width // HEAD_SIZE,
            num_key_value_heads=self.width // HEAD_SIZE,
            head_dim=HEAD_SIZE,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    def untrained(self, tokenizer_folder: Path, folder: Path) -> tuple[Any, Any]:
        """(model in float32 with random weights, tokenizer). The same seed gives the same weights.

        Args:
            tokenizer_folder: a model's folder, whose tokenizer is taken.
            folder: where the model will be written; its disk must have room.

        Raises:
            UserError: this machine has not the memory or the disk for it.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        tokenizer.chat_template = None
        if tokenizer.pad_token == tokenizer.eos_token and tokenizer.unk_token is not None:
            tokenizer.pad_token = tokenizer.unk_token  # a tokenizer of bytes never writes it
        self._refuse_if_too_large(len(tokenizer), folder)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = AutoModelForCausalLM.from_config(self.config(tokenizer), dtype=torch.float32)
        return model, tokenizer

    def _refuse_if_too_large(self, vocabulary: int, folder: Path) -> None:
        needed = _BYTES * (self.body_parameters + vocabulary * self.width)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        disk = shutil.disk_usage(folder.parent).free
        if needed > min(memory, disk):
            raise UserError(
                f"{self.name} is {needed / 1e9:.0f} GB in memory and on disk, and this machine has {memory / 1e9:.0f} "
                f"GB of memory and {disk / 1e9:.0f} GB of free disk; take a smaller one, such as ladder-13m"
            )
