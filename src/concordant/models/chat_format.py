r"""How a conversation becomes tokens: one format per model, its own template or the paper's where it has none.

A rendered prompt ends where the assistant's reply begins; a rendered reply ends with the end-of-turn token. Both are
rendered apart and joined as tokens, so that a reply's tokens never depend on what follows or on how much precedes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from concordant.conversation import Conversation, Speaker
from concordant.errors import UserError

_ROLE = {Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_PROBE = "concordant probe"


@dataclass(frozen=True)
class ChatFormat:
    """Renders with ``tokenizer``. Models without a chat template get ``"\\n\\nHuman: …\\n\\nAssistant:"``."""

    tokenizer: Any

    @property
    def has_template(self) -> bool:
        return bool(self.tokenizer.chat_template)

    def prompt(self, conversation: Conversation) -> list[int]:
        """Tokens up to the place where the reply to ``conversation`` begins."""
        if not self.has_template:
            return self._tokens(self._harmless(conversation.to_hh()) + "\n\nAssistant:")
        text = self.tokenizer.apply_chat_template(
            self._messages(conversation), tokenize=False, add_generation_prompt=True
        )
        return self._tokens(text)

    def reply(self, text: str) -> list[int]:
        """Tokens of a reply, with the end-of-turn token."""
        return [*self._tokens(self._harmless(text if self.has_template else " " + text)), self.end_of_turn]

    def text(self, tokens: Sequence[int]) -> str:
        """A reply's text from its tokens, without special tokens."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()

    def fit(self, conversation: Conversation, max_tokens: int) -> list[int] | None:
        """``prompt``, cut to ``max_tokens`` by leaving out whole turns from the left; None if the last does not fit."""
        turns = conversation.turns
        for start in range(len(turns)):
            if turns[start].speaker is Speaker.HUMAN:
                tokens = self.prompt(Conversation(turns[start:]))
                if len(tokens) <= max_tokens:
                    return tokens
        return None

    @cached_property
    def end_of_turn(self) -> int:
        """The token that ends the assistant's turn: the first special token that the template puts after a reply."""
        eos = self.tokenizer.eos_token_id
        if self.has_template:
            turns = Conversation().human("hi").assistant(_PROBE)
            rendered = self.tokenizer.apply_chat_template(self._messages(turns), tokenize=False)
            after = self._tokens(rendered[rendered.rindex(_PROBE) + len(_PROBE) :])
            special = set(self.tokenizer.all_special_ids)
            eos = next((token for token in after if token in special), eos)
        if eos is None:
            raise UserError(
                f"the tokenizer of {self.tokenizer.name_or_path} has no end-of-turn token; set eos_token in its config"
            )
        return int(eos)

    @property
    def stop_text(self) -> str | None:
        """Text that ends a reply where the model has no template: such a model writes on as the human."""
        return None if self.has_template else "\n\nHuman:"

    def _messages(self, conversation: Conversation) -> list[dict[str, str]]:
        """Turns as template messages; neighbours of one speaker are joined, since many templates refuse them."""
        messages: list[dict[str, str]] = []
        for turn in conversation.turns:
            text = self._harmless(turn.text)
            if messages and messages[-1]["role"] == _ROLE[turn.speaker]:
                messages[-1]["content"] += "\n\n" + text
            else:
                messages.append({"role": _ROLE[turn.speaker], "content": text})
        return messages

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _harmless(self, text: str) -> str:
        """``text`` with the names of special tokens broken by a space: a writer cannot end a turn or open one."""
        for name in self.tokenizer.all_special_tokens:
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return text
