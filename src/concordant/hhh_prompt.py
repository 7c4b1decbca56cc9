"""The HHH prompt: dialogues that show an assistant that is helpful, honest and harmless (paper §2.3, A.1, B.8).

``hhh_prompt.txt`` is our own writing; the paper's prompt is not copied. A user's own file has the same form: an opening
paragraph, which may be left out, then dialogues of ``Human:`` and ``Assistant:`` turns, with a line of dashes between.
What this file leaves out: tokens (``models/chat_format.py``).
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from concordant.conversation import Conversation
from concordant.errors import UserError

OURS = Path(__file__).with_suffix(".txt")
RULE = "-----"
"""The line between two dialogues."""

_RULE_LINE = re.compile(r"^-{5,}[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HhhPrompt:
    """What stands before a text that the prompted teacher reads.

    Attributes:
        opening: what the dialogues have in common, in a paragraph; may be empty.
        dialogues: finished ones: each ends on the assistant's side.
    """

    opening: str
    dialogues: tuple[Conversation, ...]

    @classmethod
    def read(cls, path: Path = OURS) -> "HhhPrompt":
        """The prompt of a file; without one, ours.

        Raises:
            UserError: the file cannot be read, holds no dialogue, or one that is not finished.
        """
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise UserError(f"prompt file {path} cannot be read: {reason}; check the path") from None
        return cls.from_text(text, str(path))

    @classmethod
    def from_text(cls, text: str, name: str) -> "HhhPrompt":
        """The prompt that a file called ``name`` holds; errors as in ``read``."""
        parts = [part.strip() for part in _RULE_LINE.split(text)]
        parts = [part for part in parts if part]
        opening = "" if not parts or parts[0].startswith("Human:") else parts[0]
        dialogues = parts[1:] if opening else parts
        if not dialogues:
            raise UserError(f"{name} holds no dialogue; write Human: and Assistant: turns below a line {RULE}")
        return cls(opening, tuple(_dialogue(part, number, name) for number, part in enumerate(dialogues, start=1)))

    def to_text(self) -> str:
        """The prompt in the form that is read."""
        parts = [*([self.opening] if self.opening else []), *(talk.to_hh().strip() for talk in self.dialogues)]
        return f"\n\n{RULE}\n\n".join(parts) + "\n"

    @property
    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256 of its text: another prompt makes another teacher."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()[:12]


def _dialogue(text: str, number: int, name: str) -> Conversation:
    if not text.startswith("Human:"):
        raise UserError(f"{name}: dialogue {number} begins with {text[:30]!r}; begin it with Human:")
    talk = Conversation.from_hh(text)
    if talk.awaits_reply or any(not turn.text for turn in talk.turns):
        raise UserError(
            f"{name}: dialogue {number} lacks a reply or has an empty turn; end it with Assistant: and text"
        )
    return talk
