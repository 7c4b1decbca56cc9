"""Out-of-distribution detection (paper §5.4, Fig. 22, 23, 39): are strange requests seen in a model's activations?

Inside prompts (helpful ones) are what is ordinary, outside prompts (harmless, that is red-team ones) are to be found.
Both are cut by opening into a part to fit on and an exam, anew for each seed; by layer the two Mahalanobis scores, at
one layer a linear layer that has seen 1 to 1,000 outside prompts. Left out: densities of scores (Fig. 22 right).
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ood_scores import PENALTY, Gaussian, Probe, Vector, auroc
from concordant.runs import Json, Watch

SEEDS = (0, 1, 2)
"""Splits; the paper has three."""
DRAWS = 5
"""Draws of outliers for each number of them; the paper has five."""
COUNTS = (1, 3, 10, 30, 100, 300, 1000)
EXAM_SHARE = 0.3
FEWEST = 20
"""Prompts on each side, in each part."""

PAPER = {"best_relative_52b": 0.85, "ten_outliers_13m": 0.86, "ten_outliers_52b": 0.94}

BOTH_SIDES, TWICE = "opening stands inside and outside", "prompt stands there already"


@runtime_checkable
class Activations(Protocol):
    """Vectors of a set of prompts."""

    def layer(self, number: int) -> Float64[np.ndarray, "N D"]:
        """(N, D) of one layer, a row a prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Side:
    """The prompts of one side, in the order of their activations' rows.

    Attributes:
        openings: (N,) their ``split_key``, as text.
        sources: (N,) name of the file that each came from, as text.
        activations: their vectors.
    """

    openings: NDArray[Any]
    sources: NDArray[Any]
    activations: Activations


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        layers: whose Mahalanobis scores, rising.
        layer: where outlier exposure and the summary are read; one of them.
        seeds: of the splits.
        draws: of outliers, in each split.
        exam_share: of the openings of either side.
        shrinkage: λ of the covariance; None estimates it.
        penalty: of the linear layer.
    """

    layers: tuple[int, ...]
    layer: int
    seeds: tuple[int, ...] = SEEDS
    draws: int = DRAWS
    exam_share: float = EXAM_SHARE
    shrinkage: float | None = None
    penalty: float = PENALTY


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of one split.

    Attributes:
        fit: inside prompts that the Gaussian and the linear layer are fitted on.
        exam: inside prompts held out.
        pool: outside prompts that outliers are drawn from.
        strange: outside prompts held out.
    """

    fit: NDArray[np.int64]
    exam: NDArray[np.int64]
    pool: NDArray[np.int64]
    strange: NDArray[np.int64]


@dataclass(slots=True)
class Prompts:
    """Prompts of both sides, as they were read, without those that would blur the border.

    Attributes:
        inside: (prompt, file) of each ordinary one.
        outside: (prompt, file) of each strange one.
        dropped: how many were left out, by reason.
    """

    inside: list[tuple[Conversation, str]]
    outside: list[tuple[Conversation, str]]
    dropped: Counter[str] = field(default_factory=Counter)


def clean(
    inside: Sequence[tuple[Conversation, str]], outside: Sequence[tuple[Conversation, str]], limit: int | None
) -> Prompts:
    """Drop and count repeated prompts and openings of both sides; then at most ``limit`` prompts a side, drawn with a
    fixed seed.

    Raises:
        UserError: nothing is left on a side.
    """
    both = {one.split_key for one, _ in inside} & {one.split_key for one, _ in outside}
    dropped: Counter[str] = Counter()
    sides: list[list[tuple[Conversation, str]]] = []
    for rows in (inside, outside):
        kept: dict[Conversation, str] = {}
        for prompt, source in rows:
            if prompt.split_key in both:
                dropped[BOTH_SIDES] += 1
            elif prompt in kept:
                dropped[TWICE] += 1
            else:
                kept[prompt] = source
        found = list(kept.items())
        sides.append(found if limit is None else random.Random("limit").sample(found, min(limit, len(found))))
    for name, found in zip(("--inside", "--outside"), sides, strict=True):
        if not found:
            raise UserError(f"{name} holds no prompt whose opening is not on the other side too; give other files")
    return Prompts(sides[0], sides[1], dropped)


def split_sides(inside: Side, outside: Side, exam_share: float, seed: int) -> Split:
    """One split: exactly this share of the openings of either side, rounded, is the exam.

    Raises:
        UserError: a part has too few prompts.
    """
    fit, exam = _cut(inside.openings, exam_share, f"inside:{seed}")
    pool, strange = _cut(outside.openings, exam_share, f"outside:{seed}")
    fewest = min(len(fit), len(exam), len(strange))
    if fewest < FEWEST or not len(pool):
        raise UserError(
            f"{len(inside.openings)} inside and {len(outside.openings)} outside prompts leave {fewest} in one part, "
            f"fewer than {FEWEST}; give more, or another --exam-share"
        )
    return Split(fit, exam, pool, strange)


def _cut(openings: NDArray[Any], share: float, salt: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    names = sorted(set(openings.tolist()))
    random.Random(salt).shuffle(names)
    held = np.isin(openings, names[: round(share * len(names))])
    return np.flatnonzero(~held), np.flatnonzero(held)


def evaluate_ood(inside: Side, outside: Side, plan: Plan, watch: Watch = lambda done, total, seen: None) -> Json:
    """AUROC by layer, of both Mahalanobis scores, and by number of outliers at one layer.

    Args:
        inside: ordinary prompts.
        outside: strange prompts.
        plan: layers, seeds, draws.
        watch: told of layers done.

    Raises:
        UserError: too few prompts, or a singular covariance.
    """
    splits = [split_sides(inside, outside, plan.exam_share, seed) for seed in plan.seeds]
    by_layer = []
    for place, layer in enumerate(plan.layers):
        by_layer.append(_layer(inside, outside, plan, splits, layer))
        watch(place + 1, len(plan.layers), f"layer {layer}")
    outliers, by_file = _exposure(inside, outside, plan, splits)
    best = max(by_layer, key=lambda row: row["relative"]["auroc"])
    at_layer = next(row for row in by_layer if row["layer"] == plan.layer)
    return _counts(inside, outside, splits[0]) | {
        "seeds": list(plan.seeds),
        "draws": plan.draws,
        "layer": plan.layer,
        "shrinkage": at_layer["shrinkage"],
        "at_layer": at_layer,
        "best_relative": {"layer": best["layer"], "auroc": best["relative"]["auroc"]},
        "by_layer": by_layer,
        "by_outliers": outliers,
        "by_outside_file": by_file,
        "paper": PAPER,
    }


def _counts(inside: Side, outside: Side, split: Split) -> Json:
    """How many prompts and openings there are, and how many in each part of a split."""
    parts = {"fit": split.fit, "inside_exam": split.exam, "outside_pool": split.pool, "outside_exam": split.strange}
    return {
        "n_inside": len(inside.openings),
        "n_outside": len(outside.openings),
        "openings": {"inside": len(set(inside.openings.tolist())), "outside": len(set(outside.openings.tolist()))},
        "parts": {name: len(rows) for name, rows in parts.items()},
    }


def _layer(inside: Side, outside: Side, plan: Plan, splits: Sequence[Split], layer: int) -> Json:
    """AUROC of both Mahalanobis scores in one layer, over all splits."""
    ordinary, strange = inside.activations.layer(layer), outside.activations.layer(layer)
    found: dict[str, list[Json]] = {"relative": [], "plain": []}
    shrinkages = []
    for split in splits:
        gaussian = Gaussian.fit(ordinary[split.fit], plan.shrinkage)
        shrinkages.append(gaussian.shrinkage)
        for name, score in (("relative", gaussian.relative), ("plain", gaussian.plain)):
            low, high = score(ordinary[split.exam]), score(strange[split.strange])
            found[name].append(_exam(inside, outside, split, low, high))
    summaries = {name: _summary(rows) for name, rows in found.items()}
    return {"layer": layer, "shrinkage": float(np.mean(shrinkages)), **summaries}


def _exam(inside: Side, outside: Side, split: Split, low: Vector, high: Vector) -> Json:
    """AUROC of the scores of one split's held-out prompts, inside and outside."""
    found = auroc(low, high, inside.openings[split.exam], outside.openings[split.strange])
    return {"auroc": found.value, "se": found.se}


def _summary(rows: Sequence[Mapping[str, float]]) -> Json:
    """Mean over splits and draws, their standard deviation, and the mean standard error of one exam."""
    values = [row["auroc"] for row in rows]
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {
        "auroc": float(np.mean(values)),
        "sd": spread,
        "se_exam": float(np.mean([row["se"] for row in rows])),
        "values": values,
    }


def _exposure(inside: Side, outside: Side, plan: Plan, splits: Sequence[Split]) -> tuple[list[Json], Json]:
    """(AUROC by number of outliers, with the most outliers also for each outside file)."""
    ordinary, strange = inside.activations.layer(plan.layer), outside.activations.layer(plan.layer)
    most = min(len(split.pool) for split in splits)
    counts = [count for count in COUNTS if count <= most]
    rows: dict[int, list[Json]] = {count: [] for count in counts}
    by_file: dict[str, list[Json]] = {}
    files = sorted(set(outside.sources.tolist()))
    for seed, split in zip(plan.seeds, splits, strict=True):
        for number in range(plan.draws):
            order = random.Random(f"outliers:{seed}:{number}").sample(split.pool.tolist(), most)
            for count in counts:
                probe = Probe.fit(ordinary[split.fit], strange[np.array(order[:count])], plan.penalty)
                low, high = probe.score(ordinary[split.exam]), probe.score(strange[split.strange])
                rows[count].append(_exam(inside, outside, split, low, high))
                for name in files if count == counts[-1] else ():
                    part = outside.sources[split.strange] == name
                    if part.any():
                        of_file = replace(split, strange=split.strange[part])
                        by_file.setdefault(name, []).append(_exam(inside, outside, of_file, low, high[part]))
    summaries = [{"outliers": count} | _summary(rows[count]) for count in counts]
    return summaries, {name: {"outliers": counts[-1]} | _summary(found) for name, found in by_file.items()}
