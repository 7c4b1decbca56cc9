"""The best of k: its divergence, its expected score by hand and by counting subsets, errors over prompts."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.evaluate.best_of import best_of_points, best_of_weights, expected_best
from concordant.sampler import best_of_kl

SCORES = st.lists(st.floats(-5, 5), min_size=2, max_size=6)


def test_the_divergence_is_that_of_the_formula() -> None:
    assert best_of_kl(1) == 0
    assert best_of_kl(2) == pytest.approx(0.1931472)  # 0.6931472 − 1/2
    assert best_of_kl(16) == pytest.approx(1.8350887)  # 2.7725887 − 15/16
    assert best_of_kl(64) == pytest.approx(3.1745081)  # 4.1588831 − 63/64
    with pytest.raises(ValueError, match="the best of 0 replies"):
        best_of_kl(0)


def test_the_divergence_is_the_integral_that_it_stands_for() -> None:
    """The best of k has density k·u^(k−1) on the quantile u of a reply, so KL = ∫ k·u^(k−1)·log(k·u^(k−1)) du."""
    u = (np.arange(200_000) + 0.5) / 200_000
    for k in (2, 5, 16):
        density = k * u ** (k - 1)
        assert best_of_kl(k) == pytest.approx(float((density * np.log(density)).mean()), abs=1e-4)


def test_expected_best_by_hand() -> None:
    """Of 1, 2, 4: the pairs are (1, 2), (1, 4), (2, 4), whose best are 2, 4, 4."""
    found = expected_best(np.array([[4.0, 1.0, 2.0]]))
    assert found.tolist() == [[pytest.approx(7 / 3), pytest.approx(10 / 3), pytest.approx(4.0)]]
    assert best_of_weights(3).tolist() == [
        [pytest.approx(1 / 3)] * 3,
        [0, pytest.approx(1 / 3), pytest.approx(2 / 3)],
        [0, 0, 1],
    ]


def test_the_judge_has_no_say() -> None:
    """The chosen of the pairs are the replies with 2, 4 and 4; the judge gives them 10, 0 and 0."""
    found = expected_best(np.array([[1.0, 2.0, 4.0]]), np.array([[5.0, 10.0, 0.0]]))
    assert found.tolist() == [[pytest.approx(5.0), pytest.approx(10 / 3), pytest.approx(0.0)]]


@given(SCORES)
def test_it_is_the_mean_over_all_subsets(scores: list[float]) -> None:
    found = expected_best(np.array([scores]))[0]
    for k in range(1, len(scores) + 1):
        best = [max(subset) for subset in combinations(scores, k)]
        assert found[k - 1] == pytest.approx(sum(best) / math.comb(len(scores), k), abs=1e-9)


@given(SCORES, st.floats(-3, 3))
def test_more_replies_never_lose_and_a_shift_moves_all(scores: list[float], shift: float) -> None:
    found = expected_best(np.array([scores]))[0]
    assert (np.diff(found) >= -1e-9).all()
    assert expected_best(np.array([scores]) + shift)[0] == pytest.approx(found + shift, abs=1e-9)


def test_large_n_is_finite_and_sums_to_one() -> None:
    weights = best_of_weights(300)
    assert weights.sum(axis=1) == pytest.approx(np.ones(300))
    assert np.isfinite(weights).all()


def test_points_have_errors_over_openings() -> None:
    """Means of 1 reply: 1 and 3; the standard error of their mean 2 is 1. Of the best of 2: 2 and 4."""
    scores = np.array([[0.0, 2.0], [2.0, 4.0]])
    one, two = best_of_points(scores, ["x", "y"])
    assert (one.k, one.score, one.gain, two.score) == (1, 2.0, 0.0, 3.0)
    assert [one.score_se, two.score_se] == pytest.approx([1.0, 1.0])
    assert (two.gain, two.gain_se) == (1.0, 0.0)  # the same gain in both
    assert two.root_kl == pytest.approx(math.sqrt(0.1931472))
    assert one.test_score is None and "test_score" not in one.json()


def test_a_single_opening_has_no_error() -> None:
    points = best_of_points(np.array([[0.0, 2.0], [2.0, 4.0]]), ["x", "x"], np.array([[1.0, 1.0], [3.0, 3.0]]))
    assert points[1].score_se == math.inf
    assert points[1].json()["score_se"] is None
    assert (points[1].test_score, points[1].json()["test_score"]) == (2.0, 2.0)
