"""The preference model: a transformer with one number, the score, read at the end-of-context token (paper A.2).

It sees the whole conversation and scores the last reply. Its folder is that of transformers'
``AutoModelForSequenceClassification`` with one label. The end-of-context token is a new one, so that it can never be
padding, end of turn, or part of a text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.chat_format import ChatFormat
from concordant.models.language_model import attach_lora, context, hidden_states, read_folder
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
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "PreferenceModel":
        """A trained PM from its folder, or from the folder of the run that made it.

        Raises:
            UserError: the folder holds none.
        """
        from transformers import AutoModelForSequenceClassification

        folder = folder / "model" if (folder / "model" / "config.json").exists() else folder
        network, tokenizer = read_folder(folder, AutoModelForSequenceClassification, "a preference model")
        if END_OF_CONTEXT not in tokenizer.get_vocab():
            raise UserError(f"{folder} is no preference model (its tokenizer lacks {END_OF_CONTEXT}); train one first")
        network.requires_grad_(False)
        max_tokens = getattr(network.config, "concordant_max_tokens", cls.max_tokens)
        return cls(network.to(device).eval(), ChatFormat(tokenizer), max_tokens)

    def with_lora(self, rank: int, seed: int, frozen_layers: int) -> "PreferenceModel":
        """The same PM with its weights frozen but for a fresh LoRA and the score head."""
        network = attach_lora(self.network, rank, seed, frozen_layers)
        network.get_base_model().score.requires_grad_(True)
        return PreferenceModel(network, self.format, self.max_tokens, self.row_tokens)

    def save(self, folder: Path) -> None:
        """Write the folder (not whole: the caller moves it into place), with any LoRA merged into the weights."""
        network = self.network.merge_and_unload() if hasattr(self.network, "peft_config") else self.network
        network.config.concordant_max_tokens = self.max_tokens
        network.save_pretrained(folder)
        self.format.tokenizer.save_pretrained(folder)

    @property
    def classifier(self) -> Any:
        """The sequence-classification model, without peft's wrapper."""
        return self.network.get_base_model() if hasattr(self.network, "peft_config") else self.network

    @property
    def device(self) -> torch.device:
        return torch.device(next(self.network.parameters()).device)

    @property
    def size(self) -> int:
        """How many weights, without embeddings, as the paper counts (§3.1; Askell et al.)."""
        embeddings = {id(part.weight) for part in self.classifier.modules() if isinstance(part, nn.Embedding)}
        return sum(weight.numel() for weight in self.classifier.parameters() if id(weight) not in embeddings)

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        """One row: the prompt once, then every reply with its end-of-context token. None if it cannot fit."""
        end = self.format.tokenizer.convert_tokens_to_ids(END_OF_CONTEXT)
        tokens = [[*self.format.reply(reply), end] for reply in replies]
        prompt_tokens = self.format.fit(prompt, self.max_tokens - max(map(len, tokens)))
        return None if prompt_tokens is None else SharedRow(prompt_tokens, tokens)

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        """Whether a reply of so many tokens to the prompt can be scored, whatever it says."""
        return self.format.fit(prompt, self.max_tokens - reply_tokens - 1) is not None

    def scores(self, batch: RowBatch) -> Float[Tensor, " N"]:
        """The score of every reply in the batch: rows first, then replies in order."""
        classifier = self.classifier
        hidden = hidden_states(getattr(classifier, classifier.base_model_prefix), batch)
        rows, columns = batch.reply_ends()
        scores: Tensor = classifier.score(hidden[rows, columns])[:, 0].float()
        return scores

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
        for group in within_budget(rows, self.row_tokens):
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
