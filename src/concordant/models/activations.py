"""Activations of a causal LM's layers on prompts: one vector a prompt and layer (paper §5.4), kept on disk.

Layer l is the output of the l-th block, 1 to L, before any final norm. The paper does not say which token or which
mean it takes; here it is the last token of the prompt, behind which the reply begins, or the mean over all tokens.
All wanted layers come from one pass, which ends at the highest of them. What was computed once is kept, prompt by
prompt, under the model's digest, so that a killed pass goes on, and other files, seeds and layers of the same set cost
nothing. Left out: activations of replies, and of every token.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, hidden_states, layers
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget
from concordant.runs import Watch, write_whole

Pooling = Literal["last", "mean"]
POOLINGS: tuple[str, ...] = get_args(Pooling)

_ROW_TOKENS = 4096
_SHARD_PROMPTS, _SHARD_SECONDS = 256, 10.0
"""A file of the store is written after so many prompts, or so long: what a kill costs at most."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read off a model for each prompt.

    Attributes:
        layers: which ones, 1 to L, rising.
        pooling: "last" token of the prompt, or "mean" over its tokens.
        max_tokens: of a prompt; longer ones lose whole turns from the left.
    """

    layers: tuple[int, ...]
    pooling: Pooling = "last"
    max_tokens: int = 1024

    def tokens(self, model: LanguageModel, prompt: Conversation) -> list[int] | None:
        """The prompt's tokens, or None where not even its last turn fits."""
        return model.fit(prompt, self.max_tokens, 0)


class _Enough(Exception):
    """Raised behind the last layer that is wanted."""


def layer_count(model: LanguageModel) -> int:
    """L, the number of blocks."""
    return len(layers(model.causal))


def middle_layer(count: int) -> int:
    """The layer that the paper takes for few-shot outlier exposure: the middle one, the last of its 4 and 6 layers."""
    return count if count <= 6 else count // 2


@torch.inference_mode()
def layer_states(
    model: LanguageModel, prompts: Sequence[list[int]], reading: Reading
) -> dict[int, Float[Tensor, "N D"]]:
    """(N, D) float32 activations of each wanted layer, of one batch of prompts.

    Args:
        model: any causal LM.
        prompts: N token lists, not empty.
        reading: which layers, and how tokens become one vector.
    """
    batch = RowBatch.pack([SharedRow(tokens, []) for tokens in prompts], model.device)
    real, found = batch.segments == 0, dict[int, Tensor]()

    def keep(layer: int) -> Callable[[Any, Any, Any], None]:
        def hook(module: Any, given: Any, output: Any) -> None:
            states = output[0] if isinstance(output, tuple) else output
            found[layer] = pooled(states.float(), real, reading.pooling).cpu()
            if layer == max(reading.layers):
                raise _Enough

        return hook

    blocks = layers(model.causal)
    handles = [blocks[layer - 1].register_forward_hook(keep(layer)) for layer in reading.layers]
    try:
        hidden_states(model.body, batch)
    except _Enough:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found


def pooled(states: Float[Tensor, "N T D"], real: Bool[Tensor, "N T"], pooling: Pooling) -> Float[Tensor, "N D"]:
    """One vector a prompt out of the states of its tokens; padding, on the right, counts for nothing."""
    lengths = real.sum(dim=1)
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), lengths - 1]
    return (states * real[:, :, None]).sum(dim=1) / lengths[:, None]


@dataclass
class ActivationStore:
    """Activations on disk: files of some prompts each, found again by the prompt's tokens.

    Attributes:
        folder: of one model, one set of layers, one pooling.
        places: key of a prompt → (file, row).
    """

    folder: Path
    places: dict[str, tuple[Path, int]] = field(default_factory=dict)

    @classmethod
    def open(cls, root: Path, digest: str, reading: Reading) -> "ActivationStore":
        """The store of a model and reading; ``places`` says what it holds.

        Args:
            root: where all stores are.
            digest: the model's (``NamedModel.digest``).
            reading: layers and pooling; the length limit changes tokens alone, and those are the keys.
        """
        kind = hashlib.sha256(f"{digest} {reading.pooling} {reading.layers}".encode()).hexdigest()[:24]
        store = cls(root / kind)
        for path in sorted(store.folder.glob("*.safetensors")):
            with _opened(path) as file:
                keys = json.loads(file.metadata()["prompts"])
            store.places.update({key: (path, row) for row, key in enumerate(keys)})
        return store

    def put(self, keys: Sequence[str], states: dict[int, Float[Tensor, "N D"]]) -> None:
        """Write the activations of some prompts into a file of their own, whole."""
        name = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:24]
        path = self.folder / f"{name}.safetensors"
        tensors = {str(layer): tensor.contiguous() for layer, tensor in states.items()}
        write_whole(path, save(tensors, {"prompts": json.dumps(list(keys))}))
        self.places.update({key: (path, row) for row, key in enumerate(keys)})

    def layer(self, keys: Sequence[str], layer: int) -> Float64[np.ndarray, "N D"]:
        """(N, D) activations of one layer, in float64, in the order of the keys."""
        result: Float64[np.ndarray, "N D"] | None = None
        by_file: dict[Path, list[int]] = {}
        for index, key in enumerate(keys):
            by_file.setdefault(self.places[key][0], []).append(index)
        for path, wanted in by_file.items():
            with _opened(path) as file:
                states = file.get_tensor(str(layer)).numpy()
            if result is None:
                result = np.empty((len(keys), states.shape[1]))
            result[wanted] = states[[self.places[keys[index]][1] for index in wanted]]
        if result is None:
            raise ValueError("the activations of no prompt have no size")
        return result


@dataclass(frozen=True, slots=True)
class StoredActivations:
    """Those of some prompts of a store, by their keys."""

    store: ActivationStore
    keys: tuple[str, ...]

    def layer(self, number: int) -> Float64[np.ndarray, "N D"]:
        """(N, D) of one layer, a row a prompt."""
        return self.store.layer(self.keys, number)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read ({' '.join(str(error).split())}); delete it and try again") from None


def cache_folder_of(models: Path) -> Path:
    """Where activations are kept beside fetched models."""
    return models / "activations"


def key_of(tokens: Sequence[int]) -> str:
    """The name of a prompt in a store: 32 hex digits of its tokens' hash."""
    return hashlib.sha256(np.asarray(tokens, dtype=np.int64).tobytes()).hexdigest()[:32]


def compute(
    model: LanguageModel,
    prompts: Sequence[Conversation],
    reading: Reading,
    store: ActivationStore,
    watch: Watch = lambda done, total, seen: None,
) -> list[str | None]:
    """See to it that the store holds every prompt; returns each one's key, None for one that does not fit.

    Args:
        model: whose activations.
        prompts: each ends on a human turn.
        reading: which layers, and how.
        store: what is there already is not computed again.
        watch: told how many prompts are done.
    """
    rows = [reading.tokens(model, prompt) for prompt in prompts]
    keys = [None if row is None else key_of(row) for row in rows]
    missing = {key: row for key, row in zip(keys, rows, strict=True) if key and row and key not in store.places}
    names, tokens = list(missing), list(missing.values())
    done, total = len(store.places.keys() & set(keys)), len(set(filter(None, keys)))
    watch(done, total, "")
    waiting: list[tuple[list[str], dict[int, Tensor]]] = []
    began = time.monotonic()
    groups = list(within_budget([SharedRow(row, []) for row in tokens], _ROW_TOKENS))
    for place, group in enumerate(groups):
        waiting.append(([names[index] for index in group], layer_states(model, [tokens[i] for i in group], reading)))
        done += len(group)
        watch(done, total, "")
        full = sum(len(part) for part, _ in waiting) >= _SHARD_PROMPTS
        if full or time.monotonic() - began >= _SHARD_SECONDS or place == len(groups) - 1:
            states = {layer: torch.cat([part[layer] for _, part in waiting]) for layer in reading.layers}
            store.put([key for part, _ in waiting for key in part], states)
            waiting, began = [], time.monotonic()
    return keys
