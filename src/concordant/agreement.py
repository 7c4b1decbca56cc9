"""How far two people agree who chose between the same two replies: in per cent, and as Krippendorff's alpha.

The paper gives the per cent only: about 63 % between its crew and its researchers (§2.1, Fig. 10). Alpha takes off what
chance alone would give: 1 is always alike, 0 is what shuffled answers would give, below 0 is worse. Intervals draw anew
whole workers, because one worker gives many answers, or single comparisons. Left out: more than two answers to one
comparison, and weights on workers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]
Numbers = NDArray[np.float64]
Drawn = Literal["workers", "comparisons"]
Level = Literal["nominal", "ordinal", "interval"]

BUTTONS = 8
PAPER_SHARE = 0.63
"""How often a crew worker and a researcher agreed, in the paper (§2.1)."""
DRAWS = 1000
FEWEST_WORKERS = 5
"""Below this many workers, comparisons are drawn anew instead of workers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one comparison.

    Attributes:
        workers: ids of who chose first, and of who gave the second opinion.
        objective: helpful or harmless.
        first: button 1 to 8 of the first, counted from the reply that was drawn first: 1 to 4 say that one.
        second: the same of the second opinion, counted from the same reply, whatever side it stood on.
    """

    workers: tuple[str, str]
    objective: str
    first: int
    second: int

    @property
    def strength(self) -> int:
        """Of the first choice, 1 (about equal) to 4 (much better)."""
        return 5 - self.first if self.first <= 4 else self.first - 4


@dataclass(frozen=True, slots=True)
class Measure:
    """A number with its 95 % interval; None: the answers do not allow one."""

    value: float | None
    ci95: tuple[float, float] | None

    def json(self) -> Json:
        return {"value": self.value, "ci95": None if self.ci95 is None else list(self.ci95)}


@dataclass(frozen=True, slots=True)
class Group:
    """Agreement within a part of the comparisons: ``by`` "objective" or "strength", ``key`` which."""

    by: str
    key: str
    n: int
    share: Measure


@dataclass(frozen=True, slots=True)
class Agreement:
    """What ``agreement`` finds.

    Attributes:
        n: comparisons with two answers.
        workers: different people among both.
        drawn: what was drawn anew for the intervals.
        share: how often both took the same reply.
        decided: the same where neither answer is of the weakest strength; ``decided_n`` of them.
        alpha: nominal over the two replies, ordinal and interval over the eight buttons.
        groups: the share by objective and by strength of the first choice.
    """

    n: int
    workers: int
    drawn: Drawn
    share: Measure
    decided: Measure
    decided_n: int
    alpha: dict[Level, Measure]
    groups: list[Group] = field(default_factory=list)

    def json(self) -> Json:
        """As ``evaluate agreement --json`` prints it."""
        return {
            "n": self.n,
            "workers": self.workers,
            "drawn": self.drawn,
            "agreement": self.share.json(),
            "without_weakest": self.decided.json() | {"n": self.decided_n},
            "alpha": {level: measure.json() for level, measure in self.alpha.items()},
            **{
                f"by_{by}": {one.key: one.share.json() | {"n": one.n} for one in self.groups if one.by == by}
                for by in ("objective", "strength")
            },
            "paper": {"crew_and_researchers": PAPER_SHARE},
        }


def agreement(pairs: Sequence[Pair], drawn: Drawn = "workers", seed: int = 0) -> Agreement:
    """Agreement with intervals.

    Drawn anew, a worker counts as often as they were drawn, and a comparison as often as the product for its two
    workers; such intervals are rather too wide than too narrow (Owen 2007).
    """
    workers = {worker for pair in pairs for worker in pair.workers}
    how: Drawn = drawn if len(workers) >= FEWEST_WORKERS else "comparisons"
    decided = [pair for pair in pairs if {pair.first, pair.second}.isdisjoint((4, 5))]
    groups: list[Group] = []
    parts: list[tuple[str, Callable[[Pair], str]]] = [
        ("objective", lambda pair: pair.objective),
        ("strength", lambda pair: str(pair.strength)),
    ]
    for by, key_of in parts:
        for key in sorted({key_of(pair) for pair in pairs}):
            part = [pair for pair in pairs if key_of(pair) == key]
            groups.append(Group(by, key, len(part), _measures(part, how, seed, {"share": share})["share"]))
    functions: dict[str, Callable[[Numbers], float]] = {
        "share": share,
        "nominal": lambda table: alpha(_sides(table), "nominal"),
        "ordinal": lambda table: alpha(table, "ordinal"),
        "interval": lambda table: alpha(table, "interval"),
    }
    found = _measures(pairs, how, seed, functions)
    return Agreement(
        n=len(pairs),
        workers=len(workers),
        drawn=how,
        share=found["share"],
        decided=_measures(decided, how, seed, {"share": share})["share"],
        decided_n=len(decided),
        alpha={"nominal": found["nominal"], "ordinal": found["ordinal"], "interval": found["interval"]},
        groups=groups,
    )


def alpha(table: Numbers, level: Level) -> float:
    """Krippendorff's alpha of two answers to each of several things (Krippendorff 2004, ch. 11).

    Args:
        table: [value, value]: how often the first answer was the row's value and the second the column's.
        level: how far apart two values are: as far as any (nominal), by how many answers lie between them (ordinal), or
            by their number (interval).

    Returns:
        NaN where fewer than two things were answered, or all answers are the same value.
    """
    coincidences = table + table.T
    margin = coincidences.sum(axis=0)
    total = margin.sum()
    far = _distances(margin, level)
    expected = float((np.outer(margin, margin) * far).sum())
    if total <= 2 or expected == 0:
        return float("nan")
    return float(1 - (total - 1) * (coincidences * far).sum() / expected)


def share(table: Numbers) -> float:
    """How often both answers take the same reply; NaN for no answers. ``table`` [button, button]."""
    sides = _sides(table)
    total = float(sides.sum())
    return float(np.trace(sides)) / total if total else float("nan")


@dataclass(frozen=True, slots=True)
class VerdictAgreement:
    """Between two reviewers of the same conversations: n, how often alike and at most one step apart, ordinal alpha."""

    n: int
    same: float | None
    within_one: float | None
    alpha: Measure


def verdict_agreement(verdicts: Sequence[tuple[int, int]], values: int = 5, seed: int = 0) -> VerdictAgreement:
    """Agreement of verdicts 1 to ``values``, with conversations drawn anew for the interval of alpha."""
    n = len(verdicts)
    if not n:
        return VerdictAgreement(0, None, None, Measure(None, None))
    gaps = np.array([abs(first - second) for first, second in verdicts])
    codes = np.array([(first - 1) * values + second - 1 for first, second in verdicts])
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS).astype(np.float64)
    measure = _measure(codes, values, weights, lambda table: alpha(table, "ordinal"))
    return VerdictAgreement(n, float((gaps == 0).mean()), float((gaps <= 1).mean()), measure)


def _distances(margin: Numbers, level: Level) -> Numbers:
    """[value, value]: squared distances, 0 on the diagonal."""
    size = len(margin)
    places = np.arange(size)
    if level == "nominal":
        apart: Numbers = (places[:, None] != places[None, :]).astype(np.float64)
        return apart
    if level == "interval":
        return ((places[:, None] - places[None, :]) ** 2).astype(np.float64)
    middle = np.cumsum(margin) - margin / 2  # the mean rank of a value's answers
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)


def _sides(table: Numbers) -> Numbers:
    """[button, button] → [side, side]."""
    half = BUTTONS // 2
    return np.asarray(table.reshape(2, half, 2, half).sum(axis=(1, 3)))


def _measures(
    pairs: Sequence[Pair], drawn: Drawn, seed: int, functions: dict[str, Callable[[Numbers], float]]
) -> dict[str, Measure]:
    if not pairs:
        return {name: Measure(None, None) for name in functions}
    codes = np.array([(pair.first - 1) * BUTTONS + pair.second - 1 for pair in pairs])
    weights = _weights(pairs, drawn, np.random.default_rng(seed))
    return {name: _measure(codes, BUTTONS, weights, function) for name, function in functions.items()}


def _weights(pairs: Sequence[Pair], drawn: Drawn, rng: np.random.Generator) -> Numbers:
    """[draw, pair]: how often each comparison counts in each draw."""
    if drawn == "comparisons":
        return rng.multinomial(len(pairs), np.full(len(pairs), 1 / len(pairs)), DRAWS).astype(np.float64)
    names = sorted({worker for pair in pairs for worker in pair.workers})
    place = {name: index for index, name in enumerate(names)}
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS).astype(np.float64)
    first, second = (np.array([place[pair.workers[which]] for pair in pairs]) for which in (0, 1))
    return times[:, first] * times[:, second]


def _measure(codes: NDArray[np.int64], values: int, weights: Numbers, function: Callable[[Numbers], float]) -> Measure:
    """The function of the table of answers, and its percentiles over the draws that allow it."""

    def of(counted: Numbers | None) -> float:
        return function(np.bincount(codes, counted, values * values).reshape(values, values).astype(np.float64))

    value = of(None)
    found = np.array([of(row) for row in weights])
    found = found[np.isfinite(found)]
    if not np.isfinite(value):
        return Measure(None, None)
    if len(found) < 0.9 * len(weights):
        return Measure(value, None)
    low, high = np.quantile(found, (0.025, 0.975))
    return Measure(value, (float(low), float(high)))
