"""Scores of several models on the same items, and the differences between them: the "alignment tax" (paper §4.6.1).

Models answer the same questions, so a difference is measured item by item: its interval is far narrower than that of
two separate shares. Intervals of differences and means come from drawing whole clusters anew (items; openings or
templates where several items share one); of items that are right or wrong, McNemar's exact test says how often chance
alone would part the models so far. The paper draws its scores without intervals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.evaluate.intervals import share

_DRAWS = 2000
_AT_ONCE = 4_000_000

TAX_FIELDS = {
    "models": "in the order given; the first is the one that others are compared with",
    "task": "which benchmark",
    "shots": "examples before each question",
    "metric": "what counts: acc, acc_norm (by characters), exact_match, or the share of programs that pass",
    "chance": "what guessing gives, about",
    "n": "items that every model answered",
    "clusters": "independent groups of items; intervals draw whole groups",
    "scores": "of each model: mean credit and its 95 % interval",
    "differences": "of each later model from the first, on the same items: mean, 95 % interval, items that only the "
    "later (better) or only the first (worse) got right, McNemar's exact p where credits are 0 or 1",
    "means": "over the tasks of one number of shots, each counting the same, with differences as above",
    "left_out": "tasks that were not measured, with the reason",
    "dropped": "rows of each task's file that could not be used, by reason",
}
"""Every key of what ``evaluate capabilities --json`` prints, with its meaning."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One task at one number of shots.

    Attributes:
        task: its name.
        shots: examples before each question.
        metric: what a credit is.
        chance: of guessing.
        keys: (n,) the items.
        clusters: (n,) which of them belong together.
        credits: model → (n,) credit in [0, 1] of each item.
    """

    task: str
    shots: int
    metric: str
    chance: float
    keys: Sequence[str]
    clusters: Sequence[str]
    credits: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much one model is ahead of another on the same items.

    Attributes:
        value: mean of the differences.
        ci95: its 95 % interval.
        better: items on which it has more credit.
        worse: items on which it has less.
        p: McNemar's, or None where credits are not 0 or 1.
    """

    value: float
    ci95: tuple[float, float]
    better: int
    worse: int
    p: float | None

    def json(self) -> dict[str, Any]:
        return {"value": self.value, "ci95": list(self.ci95), "better": self.better, "worse": self.worse, "p": self.p}


def difference(
    first: NDArray[np.float64], later: NDArray[np.float64], clusters: Sequence[str]
) -> tuple[Difference, NDArray[np.float64]]:
    """(the difference of ``later`` from ``first``, the means of its draws).

    Where no item parts the two, drawing says nothing: the interval then is what none of n allows (Clopper and Pearson).
    """
    gap = later - first
    better, worse = int((gap > 0).sum()), int((gap < 0).sum())
    draws = drawn_means(gap, clusters)
    if better + worse == 0:
        most = 1 - 0.025 ** (1 / len(set(clusters)))
        ci95 = (-most, most)
    else:
        low, high = np.quantile(draws, (0.025, 0.975))
        ci95 = (float(low), float(high))
    binary = bool(np.isin(np.concatenate([first, later]), (0.0, 1.0)).all())
    return Difference(float(gap.mean()), ci95, better, worse, mcnemar(better, worse) if binary else None), draws


def drawn_means(values: NDArray[np.float64], clusters: Sequence[str], seed: int = 0) -> NDArray[np.float64]:
    """(D,) means of ``values`` with whole clusters drawn anew, as many as there are."""
    _, code = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    sums, sizes = np.bincount(code, weights=values), np.bincount(code).astype(np.float64)
    count = len(sums)
    generator = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    left = _DRAWS
    while left:
        some = min(left, max(1, _AT_ONCE // count))
        times = generator.multinomial(count, np.full(count, 1 / count), size=some)
        means.append((times @ sums) / (times @ sizes))
        left -= some
    return np.concatenate(means)


def mcnemar(better: int, worse: int) -> float:
    """Two-sided exact p: how often a fair coin parts ``better + worse`` items at least this unevenly."""
    n, fewer = better + worse, min(better, worse)
    ways = total = 1
    for k in range(1, fewer + 1):
        ways = ways * (n - k + 1) // k  # C(n, k)
        total += ways
    return min(1.0, 2 * total / (1 << n))


def table(measured: Sequence[Measured], models: Sequence[str]) -> dict[str, Any]:
    """All scores and differences, and their means by number of shots, as ``TAX_FIELDS`` says."""
    rows, draws = [], []
    for part in measured:
        row, of_row = _row(part, models)
        rows.append(row)
        draws.append(of_row)
    means = []
    for shots in sorted({row["shots"] for row in rows}):
        places = [place for place, row in enumerate(rows) if row["shots"] == shots]
        if len(places) > 1:
            means.append(_mean([rows[place] for place in places], [draws[place] for place in places], models))
    return {"models": list(models), "tasks": rows, "means": means}


def _row(part: Measured, models: Sequence[str]) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """(JSON of one task, the draws of each model's score and, by "-name", of its difference)."""
    scores: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    draws: dict[str, NDArray[np.float64]] = {}
    first = part.credits[models[0]]
    for name in models:
        found = share(part.credits[name], np.asarray(part.clusters, dtype=np.str_))
        scores[name] = {"value": found.value, "ci95": list(found.ci95)}
        draws[name] = drawn_means(part.credits[name], part.clusters)
        if name != models[0]:
            found_gap, draws[f"-{name}"] = difference(first, part.credits[name], part.clusters)
            differences[name] = found_gap.json()
    row = {
        "task": part.task,
        "shots": part.shots,
        "metric": part.metric,
        "chance": part.chance,
        "n": len(part.keys),
        "clusters": len(set(part.clusters)),
        "scores": scores,
        "differences": differences,
    }
    return row, draws


def _mean(
    rows: Sequence[dict[str, Any]], draws: Sequence[Mapping[str, NDArray[np.float64]]], models: Sequence[str]
) -> dict[str, Any]:
    """The mean over tasks; tasks are drawn apart from each other."""

    def of(name: str, values: list[float]) -> dict[str, Any]:
        # each task's draws in an order of their own: the same seed must not tie tasks together
        shuffled = [np.random.default_rng(place).permutation(part[name]) for place, part in enumerate(draws)]
        low, high = np.quantile(np.mean(shuffled, axis=0), (0.025, 0.975))
        return {"value": float(np.mean(values)), "ci95": [float(low), float(high)]}

    return {
        "shots": rows[0]["shots"],
        "tasks": [row["task"] for row in rows],
        "scores": {name: of(name, [row["scores"][name]["value"] for row in rows]) for name in models},
        "differences": {
            name: of(f"-{name}", [row["differences"][name]["value"] for row in rows]) for name in models[1:]
        },
    }
