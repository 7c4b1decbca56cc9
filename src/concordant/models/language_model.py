"""A causal language model with its tokenizer and chat format: loading, LoRA, and log-probabilities of replies.

Dropout is off always, in training too: a ratio of two passes over the same tokens must be exactly 1 before the first
step. What this file leaves out: sampling (``generation.py``) and losses (``train/``).
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.chat_format import ChatFormat
from concordant.models.machine import keep_memory
from concordant.models.made_model import WHOLE_POLICY_KEY, is_whole_policy
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.runs import read_json

_LOGIT_ROWS = 1024


@dataclass(frozen=True)
class LanguageModel:
    """A network of transformers' causal LM kind (or peft's wrapper of one) and what renders text for it.

    Shape letters: B rows, T tokens, N reply tokens, D hidden size, V vocabulary.

    Attributes:
        network: the network.
        tokenizer: its tokenizer.
        format: renders conversations.
        frozen: where all weights are trained, the network as it was before.
    """

    network: Any
    tokenizer: Any
    format: ChatFormat
    frozen: Any = None

    @classmethod
    def load(cls, folder: Path, adapter: Path | None = None, device: torch.device | str = "cpu") -> "LanguageModel":
        """A model from its folder, with a LoRA adapter merged into it where one is given; a policy all of whose weights
        were trained may stand in the adapter's place, and is loaded instead.

        Raises:
            UserError: a folder holds no causal LM, or no adapter, that can be loaded.
        """
        from transformers import AutoModelForCausalLM

        if adapter is not None and is_whole_policy(adapter):
            folder, adapter = adapter, None
        network, tokenizer = read_folder(folder, AutoModelForCausalLM, "a causal language model")
        if adapter is not None:
            network = _with_adapter(network, adapter)
        network.requires_grad_(False)
        return cls(network.to(device).eval(), tokenizer, ChatFormat(tokenizer))

    def with_lora(self, rank: int, seed: int) -> "LanguageModel":
        """The same trunk with a fresh trainable LoRA of this rank on every linear layer (α = 2r); it starts at zero."""
        network = attach_lora(self.network, rank, seed)
        return LanguageModel(network, self.tokenizer, self.format)

    def with_all_weights(self) -> "LanguageModel":
        """The same network with all weights to be trained, beside a frozen copy of it: 4 bytes more for each weight."""
        frozen = copy.deepcopy(self.network)
        self.network.requires_grad_(True)
        return LanguageModel(self.network, self.tokenizer, self.format, frozen)

    def save_trained(self, folder: Path) -> None:
        """Write what training changed: the LoRA's folder, or the whole model's where all weights were trained."""
        if self.frozen is None:
            self.save_adapter(folder)
            return
        setattr(self.network.config, WHOLE_POLICY_KEY, self.network.name_or_path)
        self.network.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def save_adapter(self, folder: Path) -> None:
        """Write the LoRA's folder (not whole: the caller moves it into place)."""
        self.network.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's empty card, with paths of this machine

    @property
    def device(self) -> torch.device:
        return torch.device(next(self.network.parameters()).device)

    @property
    def causal(self) -> Any:
        """The causal LM itself, without peft's wrapper; its layers carry the LoRA all the same."""
        return self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network

    @property
    def body(self) -> Any:
        """The transformer without its language-model head."""
        return getattr(self.causal, self.causal.base_model_prefix)

    @property
    def hidden_size(self) -> int:
        return int(self.causal.config.hidden_size)

    def fit(self, conversation: Conversation, max_tokens: int, reply_tokens: int) -> list[int] | None:
        """The prompt's tokens: at most ``max_tokens``, and no more than leave room for a reply in the model's context.

        Whole turns are left out from the left; None if the last one does not fit.
        """
        return self.format.fit(conversation, min(max_tokens, context(self.causal) - reply_tokens))

    @contextmanager
    def reference(self) -> Iterator["LanguageModel"]:
        """Yields what the model was before training: itself with the adapter off, or the frozen copy."""
        if self.frozen is not None:
            yield LanguageModel(self.frozen, self.tokenizer, self.format)
            return
        with self.network.disable_adapter():
            yield self

    def hidden(self, batch: RowBatch) -> Float[Tensor, "B T D"]:
        """Last hidden states of packed rows."""
        return hidden_states(self.body, batch)

    def token_logprobs(
        self, hidden: Float[Tensor, "N D"], tokens: Int64[Tensor, " N"], temperature: float
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
        """(log-probability of each token, entropy of its distribution) from the hidden states that predict them.

        Logits are made for these places alone, in slices, and never stored for a whole batch.

        Args:
            hidden: (N, D) states at the places that predict.
            tokens: (N,) what came there.
            temperature: divides the logits.
        """
        head = self.causal.get_output_embeddings()
        logprobs, entropies = [], []
        for part, part_tokens in zip(torch.split(hidden, _LOGIT_ROWS), torch.split(tokens, _LOGIT_ROWS), strict=True):
            distribution = torch.log_softmax(head(part).float() / temperature, dim=-1)
            logprobs.append(distribution.gather(1, part_tokens[:, None])[:, 0])
            entropies.append(-(distribution.detach().exp() * distribution.detach()).sum(dim=-1))
        return torch.cat(logprobs), torch.cat(entropies)


def read_folder(folder: Path, kind: Any, what: str, **settings: Any) -> tuple[Any, Any]:
    """(network in float32, tokenizer) of a transformers folder.

    Args:
        folder: where they are.
        kind: transformers' Auto class for the network.
        what: what that is in words.
        settings: of the network's config.

    Raises:
        UserError: the folder holds none, or a damaged one.
    """
    from safetensors import SafetensorError
    from transformers import AutoTokenizer

    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no model (it has no config.json); give a folder written by a run or a hub id")
    if "model_type" not in read_json(folder / "config.json"):
        raise UserError(f"{folder} holds no model yet (its config.json names no model_type); let the run end first")
    keep_memory()
    folder = folder.resolve()  # an adapter trained on this model keeps the path of it
    try:
        network = kind.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **settings)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder} cannot be loaded as {what} ({reason}); fetch or make it again") from None
    if hasattr(network.config, WHOLE_POLICY_KEY):
        delattr(network.config, WHOLE_POLICY_KEY)  # what is made of a policy is not that policy
    _check_attention(folder, network)
    return network, tokenizer


def _check_attention(folder: Path, network: Any) -> None:
    """Refuse an architecture that cannot keep two replies in one row apart; scores of it would be wrong in silence."""
    why = "it lets one reply of a row see another"
    try:
        if _obeys_the_mask(network):
            return
    except (ValueError, TypeError, RuntimeError, IndexError, AttributeError) as error:
        why = " ".join(str(error).split())[:120]
    raise UserError(
        f"{folder}: models of type {network.config.model_type} do not take a 4-D attention mask ({why}); "
        "use another base model, such as one of the Llama kind"
    )


def _with_adapter(network: Any, adapter: Path) -> Any:
    """The network with a LoRA adapter merged into its weights."""
    from peft import PeftModel

    if not (adapter / "adapter_config.json").exists():
        raise UserError(f"{adapter} holds no adapter (it has no adapter_config.json); give the folder of a policy")
    with _peft():
        return PeftModel.from_pretrained(network, str(adapter)).merge_and_unload()


@contextmanager
def _peft() -> Iterator[None]:
    """Where peft works: it asks transformers by a name that transformers has just renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def hidden_states(body: Any, batch: RowBatch) -> Float[Tensor, "B T D"]:
    """Last hidden states of a transformer body on packed rows."""
    output = body(
        input_ids=batch.input_ids,
        attention_mask=as_attention_mask(body, batch.attention),
        position_ids=batch.positions,
        use_cache=False,
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


def as_attention_mask(body: Any, visible: Bool[Tensor, "B 1 Q K"]) -> Tensor:
    """(B, 1, Q, K) ``visible`` in the form that a transformers body takes.

    torch's own attention ("sdpa") reads a boolean mask. That of transformers ("eager") adds the mask to the logits,
    where True and False would be 1 and 0, and hide nothing.
    """
    if getattr(body.config, "_attn_implementation", "sdpa") == "sdpa":
        return visible
    hidden = torch.finfo(torch.float32).min
    return torch.zeros(visible.shape, device=visible.device).masked_fill(~visible, hidden)


_PROBE = RowBatch.pack([SharedRow([5, 6], [[7, 8], [9, 10]]), SharedRow([5, 6], [[11, 12], [9, 10]])])


@torch.inference_mode()
def _obeys_the_mask(network: Any) -> bool:
    """Whether prompt and second reply are the same whatever the first reply is, as they must be behind our mask."""
    body = getattr(network, network.base_model_prefix)
    one, other = hidden_states(body.eval(), _PROBE)
    unchanged = [0, 1, 4, 5]
    return torch.allclose(one[unchanged], other[unchanged], atol=1e-3) and not torch.equal(one[3], other[3])


def context(network: Any) -> int:
    """Most tokens that a transformers model can see at once; without a limit of its own, a number no text reaches.

    A model some of whose layers see a sliding window alone is kept within it: our attention mask (``shared_rows.py``)
    knows no window, and up to its width there is none.
    """
    config = network.config
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    limits = (getattr(config, "max_position_embeddings", None), window, getattr(config, "window_size", None))
    return min(int(limit or 2**31) for limit in limits)


def layers(network: Any) -> list[nn.Module]:
    """The layers of a transformers model, lowest first, whatever its architecture calls them."""
    body = getattr(network, network.base_model_prefix)
    count = network.config.num_hidden_layers
    return list(next(part for part in body.modules() if isinstance(part, nn.ModuleList) and len(part) == count))


def attach_lora(network: Any, rank: int, seed: int, frozen_layers: int = 0) -> Any:
    """peft's wrapper of ``network`` with LoRA (rank r, α = 2r, no dropout) on every linear layer of its transformer.

    Args:
        network: a transformers model; its own weights are frozen.
        rank: r.
        seed: of the LoRA's random half; the other half is zero, so that the start changes nothing.
        frozen_layers: how many lower layers get no LoRA; fewer than there are.
    """
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    learning = layers(network)[frozen_layers:]
    # GPT-2 and its kin have Conv1D, a linear layer whose weight is transposed.
    linear = {
        name.split(".")[-1]: isinstance(module, Conv1D)
        for layer in learning
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    with torch.random.fork_rng(), _peft():
        torch.manual_seed(seed)
        wrapped = get_peft_model(
            network,
            LoraConfig(
                r=rank,
                lora_alpha=2 * rank,
                lora_dropout=0.0,
                target_modules=sorted(linear),
                layers_to_transform=list(range(frozen_layers, frozen_layers + len(learning))),
                fan_in_fan_out=any(linear.values()),
            ),
        )
    return wrapped.eval()
