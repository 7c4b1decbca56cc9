"""Two replies to one conversation, and a preference: which is better for the objective, how strongly, by whom.

A preference is always stated as *better for its objective*. In red-team work the worker clicks the more harmful
reply (paper §2.1); the store turns that click round when it makes a preference, as the released data does.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from concordant.conversation import Conversation
from concordant.errors import UserError

Side = Literal["a", "b"]


class Objective(StrEnum):
    HELPFUL = "helpful"
    HARMLESS = "harmless"


class Tranche(StrEnum):
    """Which kind of model the replies came from (paper §2.3)."""

    BASE = "base"
    RS = "rs"
    ONLINE = "online"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two replies, ``a`` and ``b``, to one prompt that ends on the human side."""

    prompt: Conversation
    reply_a: str
    reply_b: str

    def swap(self) -> "Comparison":
        """The same comparison with its sides exchanged. Swapping twice is the identity."""
        return Comparison(self.prompt, self.reply_b, self.reply_a)


WEAKEST = 1
"""Strength of the two middle buttons ("about equal, or unsure"): recorded, and dropped from training and Elo (§2.2)."""


@dataclass(frozen=True, slots=True)
class Preference:
    """A comparison and its answer.

    Attributes:
        comparison: the two replies.
        preferred: the side that is better for ``objective``.
        strength: 1 (weakest) to 4 (strongest), or None where the source does not say (the released data).
        objective: what "better" means here.
        tranche: which kind of model wrote the replies.
        worker: id of who chose, or None for imported data.
        worker_kind: "person", "scripted" (a program) or "simulated" (a model); None where it is not known.
        source: where it came from: a file's name, or "store".
        models: snapshot labels of the writers of (a, b), where known.
    """

    comparison: Comparison
    preferred: Side
    objective: Objective
    tranche: Tranche = Tranche.BASE
    strength: int | None = None
    worker: str | None = None
    worker_kind: str | None = None
    source: str = ""
    models: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.preferred not in ("a", "b"):
            raise UserError(f"preferred is {self.preferred!r}; it must be 'a' or 'b'")
        if self.strength is not None and not 1 <= self.strength <= 4:
            raise UserError(f"strength is {self.strength!r}; it must be 1 (weakest) to 4 (strongest), or None")

    def swap(self) -> "Preference":
        """The same statement with its sides exchanged: the same chosen and rejected texts."""
        return replace(
            self,
            comparison=self.comparison.swap(),
            preferred="b" if self.preferred == "a" else "a",
            models=None if self.models is None else (self.models[1], self.models[0]),
        )

    @property
    def prompt(self) -> Conversation:
        return self.comparison.prompt

    @property
    def chosen(self) -> str:
        """The better reply."""
        return self.comparison.reply_a if self.preferred == "a" else self.comparison.reply_b

    @property
    def rejected(self) -> str:
        """The worse reply."""
        return self.comparison.reply_b if self.preferred == "a" else self.comparison.reply_a

    @property
    def is_weakest(self) -> bool:
        return self.strength == WEAKEST

    def flaw(self) -> str | None:
        """Why this preference cannot teach anything ("equal replies", "empty reply", "empty prompt"), or None."""
        if not self.prompt.awaits_reply:
            return "prompt does not end on a human turn"
        if not self.chosen.strip() or not self.rejected.strip():
            return "empty reply"
        if self.chosen == self.rejected:
            return "equal replies"
        return None


def preference_from_hh(
    chosen: str, rejected: str, objective: Objective, tranche: Tranche, source: str = ""
) -> Preference:
    """A preference from a pair of HH transcripts, split at the last assistant turn; side ``a`` is the chosen one.

    Raises:
        UserError: a transcript does not parse, or the two do not share their prompt.
    """
    prompt, better = Conversation.from_hh(chosen).split_last_reply()
    other_prompt, worse = Conversation.from_hh(rejected).split_last_reply()
    if prompt != other_prompt:
        raise UserError("chosen and rejected do not share a prompt")
    return Preference(Comparison(prompt, better, worse), "a", objective, tranche, source=source)


def split_by_opening(
    preferences: Sequence[Preference], test_fraction: float, salt: str = ""
) -> tuple[list[Preference], list[Preference]]:
    """(train, test), cut by the first human turn so that no opening stands on both sides.

    Args:
        preferences: what to split; the order is kept on both sides.
        test_fraction: expected share of openings in the test part, in [0, 1].
        salt: another salt gives another, independent cut.
    """

    def in_test(preference: Preference) -> bool:
        digest = hashlib.sha256(f"{salt}:{preference.prompt.split_key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < test_fraction * 2**64

    parts: tuple[list[Preference], list[Preference]] = ([], [])
    for preference in preferences:
        parts[in_test(preference)].append(preference)
    return parts
