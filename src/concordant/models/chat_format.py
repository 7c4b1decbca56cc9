r"""How a conversation becomes tokens: one format per model, its own template or the paper's where it has none.

A rendered prompt ends where the assistant's reply begins; a rendered reply ends with the end-of-turn token. Both are
rendered apart and joined as tokens, so that a reply's tokens never depend on what follows or on how much precedes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.hhh_prompt import RULE, HhhPrompt

_ROLE = {Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
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
            turns = tuple(Turn(turn.speaker, self._harmless(turn.text)) for turn in conversation.turns)
            return self._tokens(Conversation(turns).to_hh() + _ASSISTANT)
        text = self.tokenizer.apply_chat_template(
            self._messages(conversation), tokenize=False, add_generation_prompt=True
        )
        return self._tokens(text)

    def reply(self, text: str) -> list[int]:
        """Tokens of a reply, with the end-of-turn token."""
        harmless = self._harmless(text)
        return [*self._tokens(harmless if self.has_template else " " + harmless), self.end_of_turn]

    def prefix(self, prompt: HhhPrompt) -> list[int]:
        """Tokens of a prompt of example dialogues, to stand before a conversation of its own.

        With a template the opening belongs to the first human message, and every dialogue is rendered as a whole; what
        the template puts before a first message marks where the next begins. Without one it is text, as in the paper
        (B.8), a line of dashes after each dialogue.
        """
        if not self.has_template:
            return self._tokens(f"{prompt.to_text()}\n{RULE}")
        first, *others = prompt.dialogues
        if prompt.opening:
            first = Conversation((Turn(Speaker.HUMAN, prompt.opening), *first.turns))
        render = self.tokenizer.apply_chat_template
        return self._tokens("".join(render(self._messages(talk), tokenize=False) for talk in (first, *others)))

    @cached_property
    def human_header(self) -> list[int]:
        """Tokens that stand before the text of a first human message, whatever it says."""
        one, other = (self.prompt(Conversation().human(text)) for text in ("a", "7"))
        return one[: common_beginning(one, other)]

    def human_text(self, text: str) -> list[int]:
        """Tokens of a first human message between ``human_header`` and what would end its turn."""
        harmless = self._harmless(text)
        return self._tokens(harmless if self.has_template else " " + harmless)

    def text(self, tokens: Sequence[int]) -> str:
        """A reply's text from its tokens: no special tokens, and nothing that a model wrote on as the human."""
        text = self._decode(tokens)
        return text.split(self.stop_text)[0].strip() if self.stop_text else text.strip()

    def text_so_far(self, tokens: Sequence[int]) -> str:
        """``text`` of a reply that is being written. With more tokens it only ever grows: half a character, or what
        may become the text that ends a reply, is held back."""
        text = self._decode(tokens).rstrip("\ufffd")
        stop = self.stop_text or ""
        held = next((size for size in range(len(stop), 0, -1) if text.endswith(stop[:size])), 0)
        text = text[: len(text) - held]
        return text.split(stop)[0].strip() if stop else text.strip()

    def fit(self, conversation: Conversation, max_tokens: int) -> list[int] | None:
        """``prompt``, cut to ``max_tokens`` by leaving out whole turns from the left; None if the last does not fit."""
        found = self.cut(conversation, max_tokens)
        return None if found is None else found[0]

    def cut(self, conversation: Conversation, max_tokens: int) -> tuple[list[int], int] | None:
        """``fit``, and how many turns were left out."""
        turns = conversation.turns
        for start in range(len(turns)):
            if turns[start].speaker is Speaker.HUMAN:
                tokens = self.prompt(Conversation(turns[start:]))
                if len(tokens) <= max_tokens:
                    return tokens, start
        return None

    @cached_property
    def end_of_turn(self) -> int:
        """The token that ends the assistant's turn: the first special token that the template puts after a reply."""
        eos = self.tokenizer.eos_token_id
        if self.has_template:
            turns = Conversation().human("hi").assistant(_PROBE)
            rendered = self.tokenizer.apply_chat_template(self._messages(turns), tokenize=False)
            after = self._tokens(rendered[rendered.rindex(_PROBE) + len(_PROBE) :])
            special = self._special_tokens
            eos = next((token for token in after if token in special), eos)
        if eos is None:
            raise UserError(
                f"the tokenizer of {self.tokenizer.name_or_path} has no end-of-turn token; set eos_token in its config"
            )
        return int(eos)

    @property
    def stop_text(self) -> str | None:
        """Text that ends a reply where the model has no template: such a model writes on as the human."""
        return None if self.has_template else _HUMAN

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

    @cached_property
    def _special_tokens(self) -> dict[int, str]:
        """All of them by id. ``all_special_tokens`` are only those that the tokenizer's config gives a role."""
        added = self.tokenizer.added_tokens_decoder
        return {token: known.content for token, known in added.items() if known.special}

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _harmless(self, text: str) -> str:
        """``text`` with what ends a turn or opens one broken by a space: a writer cannot do either."""
        marks = () if self.has_template else (_HUMAN, _ASSISTANT)
        for name in (*self._special_tokens.values(), *marks):
            text = text.replace(name, f"{name[0]} {name[1:]}")
        return text


def common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two lists begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
