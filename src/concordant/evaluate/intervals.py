"""Shares with honest intervals: what stands behind every "x % (95 % interval …)" of the project.

The paper does not say how its bands are computed. Comparisons are not independent: several come from one conversation,
and one worker makes many. So every share here is clustered, by opening (accuracy) or by worker (Elo).
Left out: intervals for anything but a mean.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = NormalDist().inv_cdf(0.975)
"""97.5 % quantile of the normal distribution (1.959964)."""


@dataclass(frozen=True, slots=True)
class Share:
    """A mean of credits in [0, 1].

    Attributes:
        value: the mean.
        ci95: its 95 % interval.
        n: how many credits.
        clusters: how many independent groups they come from.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    clusters: int


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share ``value`` of ``n`` independent trials; n may be an effective number."""
    square = Z95**2
    middle = (value + square / (2 * n)) / (1 + square / n)
    half = Z95 / (1 + square / n) * math.sqrt(value * (1 - value) / n + square / (4 * n * n))
    return max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))


def share(credit: NDArray[np.float64], cluster: ArrayLike) -> Share:
    """The mean of ``credit`` with Wilson's interval on the effective number of credits.

    The effective number is that of independent credits whose mean would vary as much as this one does with whole
    clusters as units: p(1−p) / (m−1) = variance, so m = 1 + p(1−p) / variance. It is never taken above n, so clusters
    can widen an interval and not narrow it. Where the credits show no spread (all 0, or all 1) it is the number of
    clusters.

    Args:
        credit: (n,) values in [0, 1]; 1 is right, ½ a tie.
        cluster: (n,) labels; equal labels are one cluster.

    Raises:
        ValueError: there is no credit.
    """
    n = len(credit)
    if n == 0:
        raise ValueError("the share of nothing has no value")
    value = float(credit.mean())
    _, code = np.unique(np.asarray(cluster), return_inverse=True)
    clusters = int(code.max()) + 1
    if clusters == 1:
        effective = 1.0
    elif value in (0.0, 1.0):
        effective = float(clusters)
    else:
        residual = np.bincount(code, weights=credit - value)
        variance = clusters / (clusters - 1) * float((residual**2).sum()) / n**2
        effective = min(float(n), 1 + value * (1 - value) / variance) if variance > 0 else float(n)
    return Share(value, wilson(value, effective), n, clusters)


def clustered_mean(value: NDArray[np.float64], cluster: ArrayLike) -> tuple[float, float]:
    """Mean and its standard error with whole clusters as units; the error of a single cluster is infinite."""
    _, code = np.unique(np.asarray(cluster), return_inverse=True)
    clusters, mean = int(code.max()) + 1, float(value.mean())
    if clusters == 1:
        return mean, float("inf")
    sums = np.bincount(code, weights=value - mean)
    return mean, float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum())) / len(value)


def clustered_difference(
    value: NDArray[np.float64], first: NDArray[np.bool_], cluster: ArrayLike
) -> tuple[float, float]:
    """Mean where ``first`` minus mean elsewhere, and its standard error with whole clusters as units.

    A cluster may have values on both sides: what they share then cancels.

    Args:
        value: (n,) values.
        first: (n,) which side each is on; both sides have some.
        cluster: (n,) labels.
    """
    _, code = np.unique(np.asarray(cluster), return_inverse=True)
    clusters = int(code.max()) + 1
    means = np.array([value[~first].mean(), value[first].mean()])
    difference = float(means[1] - means[0])
    if clusters == 1:
        return difference, float("inf")
    share = np.where(first, 1 / first.sum(), -1 / (~first).sum())
    sums = np.bincount(code, weights=share * (value - means[first.astype(int)]))
    return difference, float(np.sqrt(clusters / (clusters - 1) * (sums**2).sum()))


def t95(freedom: int) -> float:
    """97.5 % quantile of Student's t: exact for 1 to 3 degrees of freedom, above them an expansion good to 0.4 %.

    Raises:
        ValueError: ``freedom`` is below 1.
    """
    if freedom < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {freedom}")
    if freedom <= 3:
        return (12.706205, 4.302653, 3.182446)[freedom - 1]
    z, v = Z95, float(freedom)
    return (
        z
        + (z**3 + z) / (4 * v)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    )
