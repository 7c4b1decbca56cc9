"""Which comparisons a preference model learns from: draws, mixtures of helpful and harmless, and two disjoint parts.

Mixtures at a fixed total are those of Fig. 19 and 26; the parts are the 50/50, 65/35 and 95/5 splits of §3.3 and §4.2,
which the paper does not say how it cut: here by conversation. Every draw is without replacement, fixed by its seed,
and nested: a smaller draw is the beginning of a larger one, so a learning curve adds data and swaps none. Left out:
drawing a comparison twice, and weights of single comparisons.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from typing import Literal, TypeVar

from concordant.comparison import Preference, split_by_opening
from concordant.errors import UserError

Row = TypeVar("Row")
Part = Literal["a", "b"]

MOST_PARTS = 10_000
"""Largest number on either side of a split."""


@dataclass(frozen=True, slots=True)
class Source:
    """Comparisons from one place.

    Attributes:
        name: how messages and records call it.
        rows: the comparisons.
        weight: its share of a mixture, relative to the other weights; None for "all there are".
    """

    name: str
    rows: Sequence[Preference]
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Mixture:
    """What was drawn.

    Attributes:
        preferences: the comparisons, source by source.
        counts: how many of each source, in their order.
    """

    preferences: list[Preference]
    counts: list[int]


def draw(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """``count`` of the rows in a random order. For the same rows and seed, a smaller draw begins a larger one.

    Raises:
        UserError: there are not so many.
    """
    if count > len(rows):
        raise UserError(f"{count:,} comparisons were asked for, and there are {len(rows):,}; ask for fewer")
    # Not ``random.sample``: its order depends on the count, so that its draws are not nested.
    stream = random.Random(f"limit:{seed}")
    places: dict[int, None] = {}
    while len(places) < count:
        places[stream.randrange(len(rows))] = None
    return [rows[place] for place in places]


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """``total`` cut into whole numbers in proportion to the weights (Sainte-Laguë's rule).

    It is exact where the proportions allow it, and no part shrinks when the total grows.
    """
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    # All but a few of each part are beyond doubt: the rule never gives less than the quota minus the number of parts.
    counts = [max(0, int(total * weight / whole) - len(exact)) for weight in exact]
    while sum(counts) < total:
        counts[_due(exact, counts)] += 1
    return counts


def _due(exact: Sequence[Fraction], counts: Sequence[int]) -> int:
    """The part that gets the next place."""
    return max(range(len(exact)), key=lambda part: exact[part] / (2 * counts[part] + 1))


def largest_total(weights: Sequence[float], available: Sequence[int]) -> int:
    """The most comparisons that a mixture with these weights can hold, from so many of each source."""
    low, high = 0, sum(available)
    while low < high:  # parts only grow with the total, so the totals that can be had are 0 … the answer
        middle = (low + high + 1) // 2
        if all(part <= most for part, most in zip(apportion(weights, middle), available, strict=True)):
            low = middle
        else:
            high = middle - 1
    return low


def mix(sources: Sequence[Source], total: int | None, seed: int) -> Mixture:
    """Draw from the sources, among the comparisons that can teach something (§2.2: not those of the weakest strength).

    Args:
        sources: with weights, or without any; never some of each.
        total: how many in all. Without weights it is a limit, and the sources count as one; None takes everything.
            With weights it is met exactly; None takes as many as the scarcest source allows.
        seed: of the draw.

    Raises:
        UserError: some weights are missing or below 0, or a source has too few comparisons for its share.
    """
    if total is not None or any(source.weight is not None for source in sources):
        sources = [replace(source, rows=teaching(source.rows)) for source in sources]
    weights = [source.weight for source in sources if source.weight is not None]
    if not weights:
        return _unweighted(sources, total, seed)
    if len(weights) < len(sources) or min(weights) < 0 or sum(weights) == 0:
        raise UserError("a mixture needs a weight of 0 or more on every file, and one above 0; write FILE,WEIGHT")
    available = [len(source.rows) for source in sources]
    for source in sources:
        if source.weight and not source.rows:
            raise UserError(f"{source.name} has no comparison left to draw; leave it out or give another file")
    if total is None:
        total = largest_total(weights, available)
    counts = apportion(weights, total)
    for source, count in zip(sources, counts, strict=True):
        if count > len(source.rows):
            most = largest_total(weights, available)
            raise UserError(
                f"{source.name} has {len(source.rows):,} comparisons, and its share of {total:,} is {count:,}; "
                f"the most that these weights allow is {most:,}"
            )
    parts = [draw(source.rows, count, seed) for source, count in zip(sources, counts, strict=True)]
    return Mixture([preference for part in parts for preference in part], counts)


def in_order(sources: Sequence[Source], total: int | None, seed: int) -> Mixture:
    """The comparisons of ``mix`` in one order for all totals: a smaller mixture is the beginning of a larger one.

    So one run on the largest passes through all of them. With weights, the sources take turns as ``apportion`` gives
    out its places one by one, and every beginning has its proportions exactly, not only in expectation. Within a
    source the order is that of the draw.

    Args:
        sources: as for ``mix``.
        total: likewise. None without weights takes everything, as it comes.
        seed: of the draw.

    Raises:
        UserError: as for ``mix``.
    """
    mixture = mix(sources, total, seed)
    if any(source.weight is None for source in sources):
        return mixture  # drawn as one source: in this order already
    rows = iter(mixture.preferences)
    parts = [iter(list(islice(rows, count))) for count in mixture.counts]
    exact = [Fraction(source.weight or 0) for source in sources]
    counts = [0] * len(exact)
    ordered = []
    for _ in mixture.preferences:
        due = _due(exact, counts)
        counts[due] += 1
        ordered.append(next(parts[due]))
    return Mixture(ordered, counts)


def teaching(rows: Sequence[Preference]) -> list[Preference]:
    """The comparisons that training would not drop for what they say."""
    return [row for row in rows if not row.is_weakest and row.flaw() is None]


def _unweighted(sources: Sequence[Source], total: int | None, seed: int) -> Mixture:
    """All rows of all sources, or a draw from them."""
    places = [place for place, source in enumerate(sources) for _ in source.rows]
    rows = [preference for source in sources for preference in source.rows]
    if total is not None:
        drawn = draw(range(len(rows)), min(total, len(rows)), seed)
        places, rows = [places[index] for index in drawn], [rows[index] for index in drawn]
    found = Counter(places)
    return Mixture(rows, [found[place] for place in range(len(sources))])


def parse_split(text: str) -> tuple[int, int]:
    """``"65/35"`` → (65, 35): the expected shares of openings in part a and part b.

    Raises:
        UserError: anything but two whole numbers from 1 on.
    """
    one, slash, other = text.partition("/")
    if not (slash and one.isascii() and one.isdecimal() and other.isascii() and other.isdecimal()):
        raise UserError(f"split {text!r} is not of the form 50/50, 65/35 or 95/5")
    shares = int(one), int(other)
    if not all(1 <= share <= MOST_PARTS for share in shares):
        raise UserError(f"split {text!r} needs whole numbers from 1 to {MOST_PARTS:,} on both sides")
    return shares


def part_of(rows: Sequence[Preference], shares: tuple[int, int], part: Part) -> list[Preference]:
    """One side of a split by conversation: no opening stands in both parts.

    The cut is fixed by the openings alone, whatever the file or the seed, and nested: part b of 95/5 lies inside part b
    of 50/50. So a train and a test preference model (§4.2) can be made by two commands, in any order.
    """
    sides = split_by_opening(rows, shares[1] / sum(shares), salt="parts")
    return sides[0] if part == "a" else sides[1]
