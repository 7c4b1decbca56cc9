"""Rejection sampling: the score of the best of k against √KL, for every k ≤ n (paper §4.3, Fig. 13, 36).

n replies to a prompt are sampled and scored once; the expected score of the best of k is then an exact average over all
subsets of k replies, so that one sample serves every k. Standard errors are over prompts, clustered by opening.
Left out: the sampling itself (``best_of_run.py``), and Elo of best-of-k, which needs people (``elo.py``).

Shape letters: P prompts, N replies to each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from concordant.evaluate.intervals import clustered_mean
from concordant.sampler import best_of_kl


@dataclass(frozen=True, slots=True)
class BestOfPoint:
    """The best of k, over all prompts.

    Attributes:
        k: of how many replies the best is taken.
        kl: nats a reply, ``best_of_kl(k)``.
        score: mean expected score of the best of k, by the preference model that chooses.
        score_se: its standard error over openings; infinite where there is only one.
        gain: the same less the score of one reply.
        gain_se: its standard error, of differences within prompts.
        test_score: score of the chosen replies by another preference model that did not choose, None without one.
        test_score_se: its standard error.
    """

    k: int
    kl: float
    score: float
    score_se: float
    gain: float
    gain_se: float
    test_score: float | None = None
    test_score_se: float | None = None

    @property
    def root_kl(self) -> float:
        """√KL, √nats."""
        return math.sqrt(self.kl)

    def json(self) -> dict[str, Any]:
        """Its numbers by name; an infinite error is None, as JSON has no other word for it."""
        names = ["k", "kl", "root_kl", "score", "score_se", "gain", "gain_se"]
        names += [] if self.test_score is None else ["test_score", "test_score_se"]
        values = {name: getattr(self, name) for name in names}
        return {name: None if value == math.inf else value for name, value in values.items()}


def best_of_weights(n: int) -> Float64[np.ndarray, "N N"]:
    """(N, N) row k−1: the chance that the i-th smallest of n scores is the largest of k drawn without replacement.

    That chance is C(i−1, k−1) / C(n, k): the i-th is drawn and the other k−1 lie below it. It is computed from the
    largest down, each as the one above it times (i−k)/(i−1), so that no large binomial is formed.
    """
    weights = np.zeros((n, n))
    for k in range(1, n + 1):
        chance = k / n
        for place in range(n, k - 1, -1):
            weights[k - 1, place - 1] = chance
            chance *= (place - k) / (place - 1) if place > 1 else 0.0
    return weights


def expected_best(
    scores: Float64[np.ndarray, "P N"], judged: Float64[np.ndarray, "P N"] | None = None
) -> Float64[np.ndarray, "P N"]:
    """(P, N) column k−1: the mean, over all subsets of k of a prompt's N replies, of the best one's value.

    It is unbiased for the best of k fresh replies (the order-statistic estimator that pass@k rests on).

    Args:
        scores: choose the best.
        judged: the values that are averaged; None: the scores themselves.
    """
    order = np.argsort(scores, axis=1, kind="stable")
    values = np.take_along_axis(scores if judged is None else judged, order, axis=1)
    found: NDArray[np.float64] = values @ best_of_weights(scores.shape[1]).T
    return found


def best_of_points(
    scores: Float64[np.ndarray, "P N"],
    openings: Sequence[str],
    judged: Float64[np.ndarray, "P N"] | None = None,
) -> list[BestOfPoint]:
    """The best of 1, 2, … N over all prompts.

    Args:
        scores: by the preference model that chooses.
        openings: (P,) equal ones count as one in the standard errors.
        judged: the same replies' scores by another model.
    """
    best = expected_best(scores)
    tested = None if judged is None else expected_best(scores, judged)
    points = []
    clusters = np.asarray(openings)
    for place in range(scores.shape[1]):
        score, error = clustered_mean(best[:, place], clusters)
        gain, gain_error = clustered_mean(best[:, place] - best[:, 0], clusters)
        test = (None, None) if tested is None else clustered_mean(tested[:, place], clusters)
        points.append(BestOfPoint(place + 1, best_of_kl(place + 1), score, error, gain, gain_error, *test))
    return points
