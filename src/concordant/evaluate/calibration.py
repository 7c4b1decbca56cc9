"""Does a score gap mean what it says? Predicted win probability against observed accuracy (paper §3.3, Fig. 9).

The paper draws accuracy against the score difference beside 1 / (1 + e^−Δ). Its number of bins is not stated: here
equal counts, at most 10 bins of at least 20 comparisons, which keeps every point's interval readable.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concordant.evaluate.intervals import Z95, Share, clustered_mean, share

MOST_BINS = 10
SMALLEST_BIN = 20


@dataclass(frozen=True, slots=True)
class Bin:
    """Comparisons with similar score differences.

    Attributes:
        low: smallest |Δ| in the bin.
        high: largest |Δ|.
        gap: mean |Δ|.
        predicted: mean of 1 / (1 + e^−|Δ|).
        observed: how often the reply with the higher score was the chosen one; a tie counts ½.
    """

    low: float
    high: float
    gap: float
    predicted: float
    observed: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """Bins in order of |Δ|, and what they come to.

    Attributes:
        bins: the points of Fig. 9.
        ece: expected calibration error: mean distance of predicted and observed over the bins, weighted by count.
            Noise alone makes it positive, about 0.4 / √(comparisons in a bin).
        excess: mean of observed − predicted over all comparisons: positive is under-confident, negative over-confident.
        excess_ci95: its 95 % interval, clustered.
    """

    bins: tuple[Bin, ...]
    ece: float
    excess: float
    excess_ci95: tuple[float, float]

    def json(self) -> dict[str, Any]:
        return {
            "bins": [
                {
                    "low": bin.low,
                    "high": bin.high,
                    "gap": bin.gap,
                    "predicted": bin.predicted,
                    "observed": bin.observed.value,
                    "ci95": list(bin.observed.ci95),
                    "n": bin.observed.n,
                }
                for bin in self.bins
            ],
            "excess": self.excess,
            "excess_ci95": list(self.excess_ci95),
        }


def calibrate(
    gap: NDArray[np.float64], credit: NDArray[np.float64], cluster: ArrayLike, bins: int | None = None
) -> Calibration:
    """Bins of equal count over |gap|.

    Args:
        gap: (n,) score of the chosen reply minus score of the rejected one.
        credit: (n,) 1 where the gap is positive, 0 where it is negative, ½ in a tie.
        cluster: (n,) labels of what belongs together.
        bins: how many bins; None chooses by n.
    """
    size, labels = np.abs(gap), np.asarray(cluster)
    predicted = 1 / (1 + np.exp(-size))
    # credit is the second key so that equal gaps fall into bins in one way, whatever the order of the rows
    order = np.lexsort((credit, size))
    number = bins or max(1, min(MOST_BINS, len(gap) // SMALLEST_BIN))
    parts = [part for part in np.array_split(order, number) if len(part)]
    made = tuple(
        Bin(
            low=float(size[part[0]]),
            high=float(size[part[-1]]),
            gap=float(size[part].mean()),
            predicted=float(predicted[part].mean()),
            observed=share(credit[part], labels[part]),
        )
        for part in parts
    )
    ece = sum(len(part) * abs(bin.observed.value - bin.predicted) for part, bin in zip(parts, made, strict=True))
    excess, error = clustered_mean(credit - predicted, labels)
    low, high = max(-1.0, excess - Z95 * error), min(1.0, excess + Z95 * error)
    return Calibration(made, ece / len(gap), excess, (low, high))
