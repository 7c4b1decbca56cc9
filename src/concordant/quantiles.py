"""Quantiles that intervals are made of, and Wilson's interval of a share; they need nothing but the standard library.

Shares of what comes in clusters are in ``evaluate/intervals.py``.
"""

import math
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
"""97.5 % quantile of the normal distribution (1.959964)."""


def wilson(value: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share ``value`` of ``n`` independent trials; n may be an effective number."""
    square = Z95**2
    middle = (value + square / (2 * n)) / (1 + square / n)
    half = Z95 / (1 + square / n) * math.sqrt(value * (1 - value) / n + square / (4 * n * n))
    return max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))


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
