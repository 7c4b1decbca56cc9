"""What a policy is asked in training: prompts, made distinct, and mixed in exact shares (paper §4.1, B.1).

The paper's prompts are its comparisons with the replies removed (137k) and ones that a model wrote (369k); it states
neither how they were drawn nor how many were helpful or harmless. Here both shares are met exactly at a fixed total.
Left out: writing prompts (``prompt_writing.py``) and their files (``store/prompt_files.py``).
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.mixture import apportion, draw

NEAR = 0.7
"""Two prompts are near-duplicates if they share this part of their pairs of neighbouring words."""


class Origin(StrEnum):
    HUMAN = "human"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that waits for a reply.

    Attributes:
        conversation: ends on a human turn.
        objective: of the work that it comes from, or was written for.
        origin: whether a person or a model wrote its last turn.
    """

    conversation: Conversation
    objective: Objective
    origin: Origin = Origin.HUMAN

    def flaw(self) -> str | None:
        """Why nothing can reply to it, or None."""
        if not self.conversation.awaits_reply:
            return "does not end on a human turn"
        return None if self.conversation.turns[-1].text.strip() else "empty message"


@dataclass(frozen=True, slots=True)
class Shares:
    """What a mixture is made of; None: as it comes.

    Attributes:
        model: share of prompts that a model wrote, 0 to 1.
        harmless: share of prompts for the harmless objective, 0 to 1.
    """

    model: float | None = None
    harmless: float | None = None

    @property
    def any(self) -> bool:
        """Whether a share is asked for."""
        return self.model is not None or self.harmless is not None

    def __post_init__(self) -> None:
        for name in ("model", "harmless"):
            share = getattr(self, name)
            if share is not None and not 0 <= share <= 1:
                raise UserError(f"the {name} share is {share}; it must lie between 0 and 1")


def distinct(prompts: Iterable[Prompt], near: float = NEAR) -> tuple[list[Prompt], Counter[str]]:
    """(the prompts that differ, how many were dropped by reason); of duplicates the first stays.

    Dropped are prompts with a flaw, those with the same words in the same turns, whatever their case and punctuation,
    and near-duplicates: as many turns, and a Jaccard index of at least ``near`` of their pairs of neighbouring words.

    Args:
        prompts: in the order in which they are wanted.
        near: above 0, at most 1.
    """
    kept: list[Prompt] = []
    dropped: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    for prompt in prompts:
        words = normalised(prompt.conversation)
        reason = prompt.flaw() or ("duplicate" if words in seen else None)
        if reason is None:
            seen.add(words)
            kept.append(prompt)
        else:
            dropped[reason] += 1
    like = set(near_duplicates([normalised(prompt.conversation) for prompt in kept], near))
    dropped["near-duplicate"] += len(like)
    return [prompt for place, prompt in enumerate(kept) if place not in like], +dropped


def asked(prompts: Sequence[Prompt], shares: Shares, seed: int) -> tuple[list[Prompt], Counter[str]]:
    """(what a policy is asked, how many prompts were left out by reason): no flawed one, none twice, and the shares.

    Only equal conversations count as one here; ``distinct`` finds those that are alike, and is for files.

    Raises:
        UserError: the shares cannot be had.
    """
    found: dict[Conversation, Prompt] = {}
    dropped: Counter[str] = Counter()
    for prompt in prompts:
        reason = prompt.flaw() or ("duplicate" if prompt.conversation in found else None)
        if reason is None:
            found[prompt.conversation] = prompt
        else:
            dropped[reason] += 1
    if not shares.any or not found:
        return list(found.values()), dropped
    _refuse_impossible(list(found.values()), shares)
    drawn = blend(list(found.values()), shares, None, seed)
    dropped["beyond the shares"] += len(found) - len(drawn)
    return drawn, +dropped


def _refuse_impossible(prompts: Sequence[Prompt], shares: Shares) -> None:
    """Raise where a part that a share asks for is not there at all: the largest mixture would be a prompt or two."""
    kinds = {
        ("model", "by a model", "by people"): [prompt.origin is Origin.MODEL for prompt in prompts],
        ("harmless", "harmless", "helpful"): [prompt.objective is Objective.HARMLESS for prompt in prompts],
    }
    for (name, one, other), are in kinds.items():
        share = getattr(shares, name)
        lacking = one if share and not any(are) else other if share is not None and share < 1 and all(are) else None
        if lacking:
            raise UserError(
                f"{name}_share is {share:g}, and none of the {len(prompts):,} prompts is {lacking}; give such prompts, "
                "or another share"
            )


def mixed_in_words(prompts: Iterable[Prompt]) -> str:
    """``3 harmless by a model, 9 helpful by people``."""
    held = Counter(f"{prompt.objective} by {_BY[prompt.origin]}" for prompt in prompts)
    return ", ".join(f"{count} {name}" for name, count in sorted(held.items()))


def normalised(conversation: Conversation) -> tuple[str, ...]:
    """The words of each turn, small letters, without punctuation; a turn without words stays as it is."""
    return tuple(" ".join(_words(turn.text)) or turn.text.strip() for turn in conversation.turns)


def near_duplicates(texts: Sequence[tuple[str, ...]], near: float) -> Iterator[int]:
    """Places of the texts that nearly repeat one before them that is kept itself. Exact: nothing is hashed or sampled.

    Sets with a Jaccard index of at least t share one of their first |x| − ⌈t·|x|⌉ + 1 elements, rarest first, so only
    those are looked up (Bayardo et al. 2007, *Scaling up all pairs similarity search*).

    Args:
        texts: normalised turns.
        near: t.
    """
    pairs = [_pairs(text) for text in texts]
    frequency = Counter(pair for found in pairs for pair in found)
    index: dict[tuple[int, str], list[int]] = {}
    for place, found in enumerate(pairs):
        ordered = sorted(found, key=lambda pair: (frequency[pair], pair))
        prefix = [
            (len(texts[place]), pair) for pair in ordered[: len(ordered) - math.ceil(near * len(ordered) - 1e-9) + 1]
        ]
        candidates = {other for pair in prefix for other in index.get(pair, ())}
        if any(_jaccard(found, pairs[other]) >= near for other in candidates):
            yield place
            continue
        for pair in prefix:
            index.setdefault(pair, []).append(place)


def resembles(text: str, others: Iterable[str], near: float = NEAR) -> bool:
    """Whether a message equals or nearly repeats one of the others."""
    own = _pairs((" ".join(_words(text)),))
    return any(_jaccard(own, _pairs((" ".join(_words(other)),))) >= near for other in others)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _pairs(turns: tuple[str, ...]) -> frozenset[str]:
    """Pairs of neighbouring words, the edges of a turn being words too, so that no text has none."""
    found: set[str] = set()
    for turn in turns:
        words = ["", *turn.split(), ""]
        found |= {f"{one} {other}" for one, other in pairwise(words)}
    return frozenset(found)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def blend(prompts: Sequence[Prompt], shares: Shares, total: int | None, seed: int) -> list[Prompt]:
    """A mixture with exact shares, in a random order.

    Args:
        prompts: what there is.
        shares: of model-written and of harmless prompts; both are met to the nearest whole prompt at the same time.
        total: how many; None: as many as the shares allow.
        seed: of the draws, which are nested: a smaller mixture with the same shares draws from the beginning of each
            part's order.

    Raises:
        UserError: there are too few of a part.
    """
    parts: dict[tuple[bool, bool], list[Prompt]] = {(a, b): [] for a in (False, True) for b in (False, True)}
    for prompt in prompts:
        by_model = shares.model is not None and prompt.origin is Origin.MODEL
        harmless = shares.harmless is not None and prompt.objective is Objective.HARMLESS
        parts[by_model, harmless].append(prompt)
    available = {part: len(rows) for part, rows in parts.items()}
    if total is None:
        total = _largest(available, shares)
    counts = _cells(available, shares, total) if total else None
    if counts is None:
        held = Counter(f"{prompt.objective} by {_BY[prompt.origin]}" for prompt in prompts)
        raise UserError(
            f"{total:,} prompts with these shares cannot be drawn from "
            f"{', '.join(f'{count:,} {name}' for name, count in sorted(held.items())) or 'none'}; the most that they "
            f"allow is {_largest(available, shares):,}"
        )
    drawn = [prompt for part, count in counts.items() for prompt in draw(parts[part], count, seed)]
    return draw(drawn, len(drawn), seed)


_BY = {Origin.HUMAN: "people", Origin.MODEL: "a model"}
_ROUNDING = 8
"""How far rounding can move the largest total: what fits grows with the total but for whole prompts."""


def _largest(available: dict[tuple[bool, bool], int], shares: Shares) -> int:
    """The most prompts that a mixture with these shares can hold."""
    low, high = 0, sum(available.values())
    while low < high:
        middle = (low + high + 1) // 2
        if _cells(available, shares, middle) is not None:
            low = middle
        else:
            high = middle - 1
    near = range(low + _ROUNDING, low, -1)
    return next((count for count in near if _cells(available, shares, count) is not None), low)


def _cells(available: dict[tuple[bool, bool], int], shares: Shares, total: int) -> dict[tuple[bool, bool], int] | None:
    """How many prompts (by a model?, harmless?) make a mixture of ``total``; None if there are too few.

    Both margins are rounded by themselves. What they leave open, how many harmless ones a model wrote, is as near
    to the product of the shares as the available prompts allow.
    """
    by_model, harmless = (
        apportion([1 - share, share], total)[1] if share is not None else 0 for share in (shares.model, shares.harmless)
    )
    lowest = max(
        0,
        by_model + harmless - total,
        harmless - available[False, True],
        by_model - available[True, False],
    )
    highest = min(
        by_model,
        harmless,
        available[True, True],
        available[False, False] - (total - by_model - harmless),
    )
    if lowest > highest:
        return None
    both = min(max(round(by_model * harmless / total) if total else 0, lowest), highest)
    return {
        (False, False): total - by_model - harmless + both,
        (True, False): by_model - both,
        (False, True): harmless - both,
        (True, True): both,
    }
