r"""Who said what. The only file that knows the ``"\n\nHuman:"`` separators of the released HH data.

A conversation is a tuple of turns; it is parsed once, at the border, and never handled as a string again.
What this file leaves out: tokens and chat templates (``models/chat_format.py``).
"""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from concordant.errors import UserError


class Speaker(StrEnum):
    HUMAN = "human"
    ASSISTANT = "assistant"


_HH_LABEL = {Speaker.HUMAN: "\n\nHuman:", Speaker.ASSISTANT: "\n\nAssistant:"}
_HH_SEPARATOR = re.compile(r"\n\n(Human|Assistant):")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. ``text`` is kept as it was written, except that parsing strips the white space around it."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order. Speakers usually alternate, but real transcripts do not always, so this is not enforced."""

    turns: tuple[Turn, ...] = ()

    def human(self, text: str) -> "Conversation":
        """The conversation with one more human turn."""
        return Conversation((*self.turns, Turn(Speaker.HUMAN, text)))

    def assistant(self, text: str) -> "Conversation":
        """The conversation with one more assistant turn."""
        return Conversation((*self.turns, Turn(Speaker.ASSISTANT, text)))

    @property
    def awaits_reply(self) -> bool:
        """Whether the last word is the human's, as in every prompt (paper §3.1)."""
        return bool(self.turns) and self.turns[-1].speaker is Speaker.HUMAN

    @property
    def first_human_turn(self) -> str:
        """Text of the first human turn, or "" if there is none."""
        return next((turn.text for turn in self.turns if turn.speaker is Speaker.HUMAN), "")

    @property
    def human_turns(self) -> int:
        """How many turns the human has taken: for a prompt, the number of the assistant turn that it asks for."""
        return sum(turn.speaker is Speaker.HUMAN for turn in self.turns)

    @property
    def split_key(self) -> str:
        """Hash of the normalised first human turn: 16 hex digits.

        Train and test are split by this key and never by row, because many comparisons (several turns of one
        conversation, and the same opening in several files) share their beginning.
        """
        normalised = " ".join(re.findall(r"\w+", self.first_human_turn.casefold()))
        return hashlib.sha256(normalised.encode()).hexdigest()[:16]

    def to_hh(self) -> str:
        """The transcript in the released HH format.

        Raises:
            UserError: a turn itself contains a separator, so that the transcript could not be read back.
        """
        for turn in self.turns:
            if _HH_SEPARATOR.search(turn.text):
                raise UserError(
                    f"a {turn.speaker} turn contains an HH separator and cannot be written as a transcript: "
                    f"{turn.text[:60]!r}; export it as parquet instead"
                )
        return "".join(f"{_HH_LABEL[turn.speaker]} {turn.text}" for turn in self.turns)

    @classmethod
    def from_hh(cls, transcript: str) -> "Conversation":
        r"""Parse a transcript such as ``"\n\nHuman: hi\n\nAssistant: hello"``.

        Raises:
            UserError: the text does not begin with a separator.
        """
        text = "\n\n" + transcript.lstrip()
        marks = list(_HH_SEPARATOR.finditer(text))
        if not marks or marks[0].start() != 0:
            raise UserError(
                f"not an HH transcript: it begins with {transcript[:40]!r} instead of '\\n\\nHuman:'; "
                "give a file of Human/Assistant transcripts"
            )
        ends = [mark.start() for mark in marks[1:]] + [len(text)]
        turns = tuple(
            Turn(Speaker(mark.group(1).lower()), text[mark.end() : end].strip())
            for mark, end in zip(marks, ends, strict=True)
        )
        return cls(turns)

    @classmethod
    def from_text(cls, text: str) -> "Conversation":
        """Parse a prompt as people write one: a transcript, or one whose first label is left out, which is a human's.

        A message without any label is one human turn.
        """
        return cls.from_hh(
            text if _HH_SEPARATOR.match("\n\n" + text.lstrip()) else f"{_HH_LABEL[Speaker.HUMAN]} {text}"
        )

    def split_last_reply(self) -> "tuple[Conversation, str]":
        """Split at the *last* assistant turn into (prompt, reply).

        Raises:
            UserError: the conversation does not end on an assistant turn that answers something.
        """
        if len(self.turns) < 2 or self.turns[-1].speaker is not Speaker.ASSISTANT:
            raise UserError("the transcript does not end on an assistant turn; there is no reply to compare")
        return Conversation(self.turns[:-1]), self.turns[-1].text
