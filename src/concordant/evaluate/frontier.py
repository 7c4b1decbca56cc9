"""Reward against √KL: is the score still linear in the square root of the divergence (paper §4.3, Fig. 4, 13)?

The paper reports the law and no slope. Here a line is fitted to the early updates only, and the later ones are compared
with its continuation, so that the claim can fail. The same line is fitted to a test PM's scores where a run has them
(Fig. 13). Left out: several policy sizes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.errors import UserError
from concordant.evaluate.intervals import t95
from concordant.runs import Json

EARLY = 2 / 3
"""The early range: updates up to this share of the largest √KL. Chosen by x alone, never by the scores."""

FEWEST_POINTS = 4


@dataclass(frozen=True, slots=True)
class Frontier:
    """The line score ≈ intercept + slope · √KL.

    Attributes:
        slope: score per √nat.
        slope_ci95: its interval by Student's t. Updates follow from one another, so it is somewhat too narrow.
        intercept: score at KL = 0.
        r2: share of the early scores' variance that the line explains.
        early: how many updates the line is fitted to.
        early_kl: largest KL among them, nats per reply.
        later: how many updates came after.
        later_gap: mean of score − line over those, or None where there are none: below 0, the law has bent down.
        later_gap_ci95: its interval, from the early scatter and the uncertainty of the line.
        clipped: updates whose estimated KL was below 0, which is noise around a tiny one; they are drawn at 0.
        root_kl: (n,) √KL of every update.
        score: (n,) mean score of every update.
    """

    slope: float
    slope_ci95: tuple[float, float]
    intercept: float
    r2: float
    early: int
    early_kl: float
    later: int
    later_gap: float | None
    later_gap_ci95: tuple[float, float] | None
    clipped: int
    root_kl: tuple[float, ...]
    score: tuple[float, ...]

    def json(self) -> dict[str, Any]:
        """The object of ``evaluate frontier --json``."""
        return {
            "n": len(self.score),
            "slope": self.slope,
            "slope_ci95": list(self.slope_ci95),
            "intercept": self.intercept,
            "r2": self.r2,
            "early": self.early,
            "early_kl": self.early_kl,
            "later": self.later,
            "later_gap": self.later_gap,
            "later_gap_ci95": None if self.later_gap_ci95 is None else list(self.later_gap_ci95),
            "clipped": self.clipped,
            "points": [{"root_kl": x, "score": y} for x, y in zip(self.root_kl, self.score, strict=True)],
        }


def fit_frontier(rows: Sequence[Json], name: str = "score") -> Frontier:
    """Fit the line to a policy run's metrics.

    Args:
        rows: of metrics.jsonl, each with the score and ``kl`` (signed mean over replies of the summed log-ratio, nats
            per reply).
        name: which score: ``score``, of the PM that trains the policy, or ``test_score``.

    Raises:
        UserError: fewer than four updates, or all of them at one divergence.
    """
    rows = [row for row in rows if row.get(name) is not None and row.get("kl") is not None]
    if len(rows) < FEWEST_POINTS:
        raise UserError(f"{len(rows)} policy updates cannot show a line; at least {FEWEST_POINTS} are needed")
    kl = np.array([float(row["kl"]) for row in rows])
    score = np.array([float(row[name]) for row in rows])
    root = np.sqrt(np.maximum(kl, 0.0))
    if np.ptp(root) == 0:
        raise UserError(f"all {len(rows)} updates have the same divergence (KL = {root[0] ** 2:g}); train for longer")
    early = root <= EARLY * root.max()
    if early.sum() < FEWEST_POINTS or np.ptp(root[early]) == 0:
        early = np.ones(len(root), dtype=bool)
    line = _least_squares(root[early], score[early])
    gap, gap_ci95 = _beyond(line, root[~early], score[~early])
    return Frontier(
        slope=line.slope,
        slope_ci95=(line.slope - line.t * line.slope_error, line.slope + line.t * line.slope_error),
        intercept=line.intercept,
        r2=line.r2,
        early=int(early.sum()),
        early_kl=float(root[early].max() ** 2),
        later=int((~early).sum()),
        later_gap=gap,
        later_gap_ci95=gap_ci95,
        clipped=int((kl < 0).sum()),
        root_kl=tuple(root.tolist()),
        score=tuple(score.tolist()),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A least-squares line; ``scatter`` is the residual variance, ``spread`` the sum of squares of x − ``middle``."""

    slope: float
    intercept: float
    slope_error: float
    r2: float
    t: float
    scatter: float
    spread: float
    middle: float
    n: int


def _least_squares(x: NDArray[np.float64], y: NDArray[np.float64]) -> _Line:
    middle, spread = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - middle) * (y - y.mean())).sum()) / spread
    intercept = float(y.mean()) - slope * middle
    left_over = float(((y - intercept - slope * x) ** 2).sum())
    total = float(((y - y.mean()) ** 2).sum())
    scatter = left_over / (len(x) - 2)
    return _Line(
        slope=slope,
        intercept=intercept,
        slope_error=math.sqrt(scatter / spread),
        r2=1 - left_over / total if total > 0 else 0.0,
        t=t95(len(x) - 2),
        scatter=scatter,
        spread=spread,
        middle=middle,
        n=len(x),
    )


def _beyond(
    line: _Line, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[float | None, tuple[float, float] | None]:
    """Mean of y − line over later points, and its interval."""
    if len(x) == 0:
        return None, None
    gap = float((y - line.intercept - line.slope * x).mean())
    variance = line.scatter * (1 / len(x) + 1 / line.n + (float(x.mean()) - line.middle) ** 2 / line.spread)
    half = line.t * math.sqrt(variance)
    return gap, (gap - half, gap + half)
