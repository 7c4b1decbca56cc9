"""Whether several preference models are right where they agree: accuracy by how far their score gaps spread.

The paper trains no ensembles; this says what the spread of one is worth. A comparison's spread is the standard
deviation over the members of their score gaps (chosen minus rejected), in which each member's zero cancels. The
thirds are of equal size, so their bounds are the data's own. Left out: spreads as shares of the gap.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concordant.evaluate.intervals import Share, share


@dataclass(frozen=True, slots=True)
class Third:
    """Comparisons about which the members disagree by about as much.

    Attributes:
        low: smallest spread among them.
        high: largest spread among them.
        gap: mean size of the ensemble's own score gap; where it is small, a coin is to be expected.
        accuracy: of the ensemble, ties ½.
    """

    low: float
    high: float
    gap: float
    accuracy: Share


@dataclass(frozen=True, slots=True)
class BySpread:
    """All comparisons in thirds.

    Attributes:
        mean: spread of the score gap.
        thirds: from the smallest spread up; fewer where there are fewer comparisons.
    """

    mean: float
    thirds: tuple[Third, ...]

    def json(self) -> dict[str, Any]:
        return {
            "mean": self.mean,
            "thirds": [
                {
                    "low": third.low,
                    "high": third.high,
                    "gap": third.gap,
                    "n": third.accuracy.n,
                    "accuracy": third.accuracy.value,
                    "ci95": list(third.accuracy.ci95),
                }
                for third in self.thirds
            ],
        }


def by_spread(
    gaps: NDArray[np.float64], gap: NDArray[np.float64], credit: NDArray[np.float64], cluster: ArrayLike
) -> BySpread:
    """Accuracy in thirds of the spread.

    Args:
        gaps: (K, n) each member's score of the chosen reply minus that of the rejected one.
        gap: (n,) the ensemble's.
        credit: (n,) 1 where the ensemble is right, 0 where it is wrong, ½ in a tie.
        cluster: (n,) labels of what belongs together.
    """
    labels, spread = np.asarray(cluster), gaps.std(axis=0)
    parts = np.array_split(np.argsort(spread, kind="stable"), 3)
    thirds = [
        Third(
            float(spread[part].min()),
            float(spread[part].max()),
            float(np.abs(gap[part]).mean()),
            share(credit[part], labels[part]),
        )
        for part in parts
        if len(part)
    ]
    return BySpread(float(spread.mean()), tuple(thirds))
