"""How the scores of many replies lie: mean with a clustered error, quantiles, densities on common bins."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.evaluate.intervals import clustered_mean
from concordant.evaluate.ood_scores import Vector
from concordant.runs import Json

QUANTILES = tuple(step / 40 for step in range(1, 40))


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of replies, and the openings that they belong to.

    Attributes:
        values: (n,) scores.
        openings: (n,) ``split_key`` of each.
    """

    values: Vector
    openings: NDArray[Any]


def spread(scores: Scores) -> Json:
    """How scores lie: mean with its clustered standard error, standard deviation, 39 quantiles."""
    mean, error = clustered_mean(scores.values, scores.openings)
    return {
        "replies": len(scores.values),
        "openings": len(set(scores.openings.tolist())),
        "mean": mean,
        "se": error,
        "sd": float(scores.values.std()),
        "quantiles": [[share, float(np.quantile(scores.values, share))] for share in QUANTILES],
    }


BINS = 28


def bin_edges(values: Vector) -> Vector:
    """29 edges from the 0.5 % to the 99.5 % quantile of the values; what lies outside is counted in the last bins."""
    low, high = (float(np.quantile(values, share)) for share in (0.005, 0.995))
    return np.linspace(low, high if high > low else low + 1.0, BINS + 1)


def density(values: Vector, edges: Vector) -> list[float]:
    """Share of the values in each bin, divided by its width: the bins' areas add up to 1."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    found: list[float] = (counts / (len(values) * np.diff(edges))).tolist()
    return found
