"""A language model that reads a fixed prompt before every text: the teacher of context distillation (paper App. A.1).

The prompt is computed once; its keys and values stand before the text's own in every layer and are shared by all rows
of a batch, so that a text costs little more than it would alone. Left out: models without such a cache, which
``language_model.py`` refuses already.

Shape letters: B rows, T tokens of the longest text, P tokens of the prompt, D hidden size, H heads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, as_attention_mask, context
from concordant.models.shared_rows import RowBatch, SharedRow

_PREFIX_TOKENS = 65_536
"""Most tokens of the prompt that stand beside the rows of one pass: each layer copies its keys once for every row."""


class _SharedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values of the prompt, put before those of every row; nothing is ever added to them."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """(B, H, P + T, D) keys and values that the rows see."""
        rows = len(key_states)
        before = (part.expand(rows, -1, -1, -1) for part in (self.keys, self.values))
        keys, values = (
            torch.cat([known, new], dim=2) for known, new in zip(before, (key_states, value_states), strict=True)
        )
        return keys, values


@dataclass(frozen=True)
class PromptedModel:
    """A causal LM behind a prompt.

    Attributes:
        model: without the prompt.
        length: P, tokens of the prompt; 0 for none.
        cache: keys and values of the prompt, shared by all rows; None without a prompt.
    """

    model: LanguageModel
    length: int
    cache: Any

    @classmethod
    @torch.inference_mode()
    def after(cls, prefix: Sequence[int], model: LanguageModel, text_tokens: int) -> "PromptedModel":
        """The model behind ``prefix``, which is computed here, with room for texts of so many tokens.

        Raises:
            UserError: prompt and text together are longer than the model's context.
        """
        if len(prefix) + text_tokens > context(model.causal):
            raise UserError(
                f"the prompt has {len(prefix)} tokens, and with texts of {text_tokens} it does not fit the teacher's "
                f"context of {context(model.causal)}; give a shorter one with --prompt, or lower text_tokens"
            )
        if not prefix:
            return cls(model, 0, None)
        batch = RowBatch.pack([SharedRow(list(prefix), [])], model.device)
        filled = Cache(layers=[DynamicLayer() for _ in range(model.causal.config.num_hidden_layers)])
        _forward(model, batch, batch.attention, filled)
        return cls(
            model, len(prefix), Cache(layers=[_SharedLayer(layer.keys, layer.values) for layer in filled.layers])
        )

    def hidden(self, batch: RowBatch) -> Float[Tensor, "B T D"]:
        """Last hidden states of the rows' tokens, each row behind the prompt."""
        if not self.length:
            return self.model.hidden(batch)
        rows, width = batch.input_ids.shape
        before = torch.ones(rows, 1, width, self.length, dtype=torch.bool, device=batch.input_ids.device)
        behind = RowBatch(batch.input_ids, batch.positions + self.length, batch.segments)
        return _forward(self.model, behind, torch.cat([before, batch.attention], dim=3), self.cache)

    def groups(self, texts: Sequence[Sequence[int]], row_tokens: int) -> Iterator[list[int]]:
        """Indices of texts for one pass each, the longest together: at most ``row_tokens`` padded tokens a group."""
        most = max(1, _PREFIX_TOKENS // max(1, self.length))
        group: list[int] = []
        for index in sorted(range(len(texts)), key=lambda index: -len(texts[index])):
            if group and (len(group) == most or (len(group) + 1) * len(texts[group[0]]) > row_tokens):
                yield group
                group = []
            group.append(index)
        if group:
            yield group


def _forward(model: LanguageModel, batch: RowBatch, attention: Tensor, cache: Any) -> Float[Tensor, "B T D"]:
    output = model.body(
        input_ids=batch.input_ids,
        position_ids=batch.positions,
        attention_mask=as_attention_mask(model.body, attention),
        past_key_values=cache,
        use_cache=True,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden
