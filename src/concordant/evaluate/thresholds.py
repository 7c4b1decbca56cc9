"""Accuracy where both replies score high (paper Fig. 25): where a policy lives, and a PM is least sure.

Scores have no zero and no unit of their own, so thresholds stand on the model's own distribution: the mean of all
scores on the data is taken off, and the grid goes in half standard deviations of them. The paper's thresholds run from
−4 to 1 in its own models' scores; here the threshold in scores stands beside the one in standard deviations.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concordant.evaluate.intervals import Share, share

GRID = tuple(step / 2 for step in range(-6, 5))
"""Thresholds in standard deviations from the mean: −3 to 2."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Comparisons of which both replies score at least so much.

    Attributes:
        sds: the threshold in standard deviations from the mean score.
        score: the same in the model's scores, its mean taken off.
        accuracy: of those comparisons, ties ½.
    """

    sds: float
    score: float
    accuracy: Share


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The points of Fig. 25.

    Attributes:
        mean: of all 2n scores.
        sd: their standard deviation.
        points: from the lowest threshold up, as long as a comparison is left.
    """

    mean: float
    sd: float
    points: tuple[Threshold, ...]

    def json(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "sd": self.sd,
            "points": [
                {
                    "sds": point.sds,
                    "score": point.score,
                    "n": point.accuracy.n,
                    "accuracy": point.accuracy.value,
                    "ci95": list(point.accuracy.ci95),
                }
                for point in self.points
            ],
        }


def above_thresholds(
    chosen: NDArray[np.float64], rejected: NDArray[np.float64], credit: NDArray[np.float64], cluster: ArrayLike
) -> Thresholds:
    """Accuracy of the comparisons whose lower score is at or above each threshold of the grid.

    Args:
        chosen: (n,) scores.
        rejected: (n,) scores.
        credit: (n,) 1 where the chosen reply scored higher, 0 where lower, ½ in a tie.
        cluster: (n,) labels of what belongs together.
    """
    labels, both = np.asarray(cluster), np.concatenate([chosen, rejected])
    mean, sd = float(both.mean()), float(both.std())
    lower = np.minimum(chosen, rejected) - mean
    points = []
    for sds in GRID if sd > 0 else ():
        kept = lower >= sds * sd
        if kept.any():
            points.append(Threshold(sds, sds * sd, share(credit[kept], labels[kept])))
    return Thresholds(mean, sd, tuple(points))
