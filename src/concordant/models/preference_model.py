"""The preference model: a transformer with one number, the score, read at the end-of-context token (paper A.2).

It sees the whole conversation and scores the last reply. Its folder is that of transformers'
``AutoModelForSequenceClassification`` with one label. The end-of-context token is a new one, so that it can never be
padding, end of turn, or part of a text. The loss on text of pretraining on votes needs a language-model head besides
(``language_head.py``), which the folder never holds.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.chat_format import ChatFormat
from concordant.models.language_head import attach_language_head, language_logprobs, without_language_head
from concordant.models.language_model import attach_lora, context, hidden_states, layers, read_folder
from concordant.models.machine import cannot_compile
from concordant.models.made_model import PM_TOKENS_KEY, is_preference_model, model_folder
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget

END_OF_CONTEXT = "<|end_of_context|>"
_HEAD_SCALE = 0.02


@dataclass(frozen=True)
class PreferenceModel:
    """Scores replies. Only differences between scores of one model have a meaning: log odds of being preferred.

    Attributes:
        network: a sequence-classification model with one label, or peft's wrapper of one.
        format: renders conversations.
        max_tokens: context; longer prompts lose whole turns from the left.
        row_tokens: most tokens in one forward pass.
    """

    network: Any
    format: ChatFormat
    max_tokens: int = 1024
    row_tokens: int = 4096

    @classmethod
    def from_language_model(cls, folder: Path, seed: int, max_tokens: int = 1024) -> "PreferenceModel":
        """A PM to be trained: the transformer of a causal LM, a new token and a small random score head."""
        from transformers import AutoModelForSequenceClassification

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network, tokenizer = read_folder(
                folder, AutoModelForSequenceClassification, "a language model to make a PM of", num_labels=1
            )
            _add_end_of_context(network, tokenizer)
            nn.init.normal_(network.score.weight, std=_HEAD_SCALE / network.config.hidden_size**0.5)
        return cls(network.eval(), ChatFormat(tokenizer), min(max_tokens, context(network)))

    @classmethod
    def start(cls, folder: Path, seed: int, max_tokens: int = 1024) -> "PreferenceModel":
        """A PM to be trained on, from a causal LM or from a PM: that of a folder, or of the run that made it.

        A PM keeps its score head and its end-of-context token, so that what it learned from votes is not lost; a
        causal LM gets new ones (``from_language_model``).

        Raises:
            UserError: the folder holds neither.
        """
        if not is_preference_model(folder):
            return cls.from_language_model(folder, seed, max_tokens)
        model = cls.load(folder)
        return replace(model, max_tokens=min(max_tokens, context(model.network)))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "PreferenceModel":
        """A trained PM from its folder, or from the folder of the run that made it.

        Raises:
            UserError: the folder holds none.
        """
        from transformers import AutoModelForSequenceClassification

        folder = model_folder(folder)
        network, tokenizer = read_folder(folder, AutoModelForSequenceClassification, "a preference model")
        if END_OF_CONTEXT not in tokenizer.get_vocab():
            raise UserError(f"{folder} is no preference model (its tokenizer lacks {END_OF_CONTEXT}); train one first")
        network.requires_grad_(False)
        max_tokens = getattr(network.config, PM_TOKENS_KEY, cls.max_tokens)
        return cls(network.to(device).eval(), ChatFormat(tokenizer), max_tokens)

    def to(self, device: torch.device | str) -> "PreferenceModel":
        """The same PM, its weights moved."""
        return replace(self, network=self.network.to(device))

    def with_lora(self, rank: int, seed: int, frozen_layers: int) -> "PreferenceModel":
        """The same PM with its weights frozen but for a fresh LoRA and the score head."""
        network = attach_lora(self.network, rank, seed, frozen_layers)
        network.get_base_model().score.requires_grad_(True)
        return PreferenceModel(network, self.format, self.max_tokens, self.row_tokens)

    def learn_language(self, folder: Path) -> None:
        """Make ``reply_logprobs`` possible: attach the head of the causal LM in ``folder`` where the PM needs one.

        Raises:
            UserError: the PM was made before, and the head that it would need was dropped then.
        """
        if is_preference_model(folder) and not self.classifier.config.tie_word_embeddings:
            raise UserError(
                f"{folder} is a preference model, and the language-model head of its base was dropped when it was "
                "saved; set lm_coef=0, or start from the base model"
            )
        attach_language_head(self.classifier, folder)

    def compile_layers(self) -> None:
        """``torch.compile`` for every layer, for rows of any number and length.

        Raises:
            UserError: this machine lacks what that needs.
        """
        lacking = cannot_compile()
        if lacking:
            raise UserError(f"pm.compile_layers needs {lacking}, and none was found; install it, or leave this out")
        for layer in layers(self.classifier):
            layer.forward = torch.compile(layer.forward, dynamic=True)

    def recompute_layers(self) -> None:
        """Gradient checkpointing: keep what goes into each layer and compute the rest again in the backward pass.

        transformers' own switch works only in training mode, which would turn dropout on; here it is off always.
        """
        for layer in layers(self.classifier):
            layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)

    def save(self, folder: Path, goes_on: bool = False) -> None:
        """Write the folder (not whole: the caller moves it into place), with any LoRA merged into the weights.

        A language-model head is not written: it has no part in a score.

        Args:
            folder: where to.
            goes_on: the model is trained on after this. A LoRA is merged into a copy of the weights then, which
                stands in memory beside them for the time: taking it out again would not give the same bits back.
        """
        network = self.network
        if hasattr(network, "peft_config"):
            network = (copy.deepcopy(network) if goes_on else network).merge_and_unload()
        setattr(network.config, PM_TOKENS_KEY, self.max_tokens)
        network.save_pretrained(folder, state_dict=without_language_head(network))
        self.format.tokenizer.save_pretrained(folder)

    @property
    def classifier(self) -> Any:
        """The sequence-classification model, without peft's wrapper."""
        return self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network

    @property
    def device(self) -> torch.device:
        return torch.device(next(self.network.parameters()).device)

    @property
    def end_of_context(self) -> int:
        """The token at which a score is read."""
        return int(self.format.tokenizer.convert_tokens_to_ids(END_OF_CONTEXT))

    @property
    def size(self) -> int:
        """How many weights, without embeddings, as the paper counts (§3.1; Askell et al.)."""
        embeddings = {id(part.weight) for part in self.classifier.modules() if isinstance(part, nn.Embedding)}
        return sum(weight.numel() for weight in self.classifier.parameters() if id(weight) not in embeddings)

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        """One row: the prompt once, then every reply with its end-of-context token. None if it cannot fit."""
        tokens = [[*self.format.reply(reply), self.end_of_context] for reply in replies]
        found = self.format.cut(prompt, self.max_tokens - max(map(len, tokens)))
        return None if found is None else SharedRow(found[0], tokens, found[1])

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        """Whether a reply of so many tokens to the prompt can be scored, whatever it says."""
        return self.format.fit(prompt, self.max_tokens - reply_tokens - 1) is not None

    def hidden(self, batch: RowBatch) -> Float[Tensor, "B T D"]:
        """Last hidden states of packed rows."""
        return hidden_states(getattr(self.classifier, self.classifier.base_model_prefix), batch)

    def scores(self, batch: RowBatch, hidden: Float[Tensor, "B T D"] | None = None) -> Float[Tensor, " N"]:
        """The score of every reply in the batch: rows first, then replies in order.

        Args:
            batch: packed rows.
            hidden: their hidden states, where they were computed already.
        """
        hidden = self.hidden(batch) if hidden is None else hidden
        rows, columns = batch.reply_ends()
        scores: Tensor = self.classifier.score(hidden[rows, columns])[:, 0].float()
        return scores

    def reply_logprobs(self, batch: RowBatch, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, " N"]:
        """Log-probability of each token of every row's first reply, its end of turn included and its end of context
        not; N = Σ (tokens of the first reply − 1). Logits are made for these places alone.

        Args:
            batch: packed rows.
            hidden: their hidden states.
        """
        rows, columns, predictors = batch.reply_tokens()
        tokens = batch.input_ids[rows, columns]
        wanted = (batch.segments[rows, columns] == 1) & (tokens != self.end_of_context)
        states = hidden[rows[wanted], predictors[wanted]]
        return language_logprobs(self.classifier, states, tokens[wanted], self.end_of_context)

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        """One score a reply (the Scorer protocol)."""
        return self.score_many([(prompt, replies)])[0]

    @torch.inference_mode()
    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        """Scores of the replies to each prompt.

        Raises:
            UserError: a reply and the last message before it do not fit the context.
        """
        rows = [self._row_or_refuse(prompt, replies) for prompt, replies in items]
        result: list[list[float]] = [[] for _ in rows]
        for group in within_budget(rows, self.row_tokens, self.device):
            scores = self.scores(RowBatch.pack([rows[index] for index in group], self.device)).tolist()
            for index in group:
                result[index], scores = scores[: len(rows[index].replies)], scores[len(rows[index].replies) :]
        return result

    def _row_or_refuse(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow:
        row = self.row(prompt, replies)
        if row is None:
            raise UserError(
                f"a reply and the message before it exceed the preference model's {self.max_tokens} tokens: "
                f"{prompt.turns[-1].text[:60]!r}; leave it out or train with a larger pm.max_tokens"
            )
        return row


def _add_end_of_context(network: Any, tokenizer: Any) -> None:
    """Add the token to tokenizer and embeddings; it starts as a copy of the end-of-turn token's embedding."""
    from tokenizers import AddedToken

    ending = ChatFormat(tokenizer).end_of_turn
    tokenizer.add_tokens([AddedToken(END_OF_CONTEXT, special=True, normalized=False)], special_tokens=True)
    end = tokenizer.convert_tokens_to_ids(END_OF_CONTEXT)
    if end >= network.get_input_embeddings().num_embeddings:
        network.resize_token_embeddings(end + 1, mean_resizing=False)
    embeddings = network.get_input_embeddings().weight
    with torch.no_grad():
        embeddings[end] = embeddings[ending]
    # Plain transformers reads the score at the last token that is not padding; ours is the end-of-context token.
    network.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ending
