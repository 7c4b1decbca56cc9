from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.evaluate.intervals import clustered_difference, share, t95, wilson


def test_wilson_of_8_in_10() -> None:
    # middle (0.8 + 3.8415/20) / 1.38415 = 0.71674; half 1.96/1.38415 · √(0.016 + 3.8415/400) = 0.22659
    assert wilson(0.8, 10.0) == pytest.approx((0.49016, 0.94332), abs=1e-5)


def test_wilson_stays_inside_0_and_1_and_is_never_empty() -> None:
    assert wilson(0.0, 10.0) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson(1.0, 10.0) == pytest.approx((0.72247, 1.0), abs=1e-5)


def test_independent_credits_get_the_plain_interval() -> None:
    credit = np.array([1.0, 1, 1, 0])
    part = share(credit, np.arange(4))
    assert (part.value, part.n, part.clusters) == (0.75, 4, 4)
    assert part.ci95 == pytest.approx(wilson(0.75, 4.0))


def test_two_clusters_that_disagree_are_worth_two_credits() -> None:
    # residual sums +1 and −1: variance 2/1 · 2/16 = 0.25, so 1 + 0.25/0.25 credits
    assert share(np.array([1.0, 1, 0, 0]), ["x", "x", "y", "y"]).ci95 == pytest.approx(wilson(0.5, 2.0))


def test_clusters_that_agree_do_not_narrow_the_interval() -> None:
    assert share(np.array([1.0, 1, 0, 0]), ["x", "y", "x", "y"]).ci95 == wilson(0.5, 4.0)


def test_without_spread_the_clusters_are_what_counts() -> None:
    assert share(np.ones(6), [1, 1, 1, 2, 2, 2]).ci95 == wilson(1.0, 2.0)
    assert share(np.ones(6), [1] * 6).ci95 == wilson(1.0, 1.0)


def test_the_share_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        share(np.array([]), [])


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 4)), min_size=1, max_size=40),
    st.randoms(use_true_random=False),
)
def test_order_does_not_matter_and_the_interval_holds_the_value(rows: list[tuple[float, int]], random: Random) -> None:
    first = share(np.array([credit for credit, _ in rows]), [cluster for _, cluster in rows])
    random.shuffle(rows)
    second = share(np.array([credit for credit, _ in rows]), [cluster for _, cluster in rows])
    assert first.value == pytest.approx(second.value)
    assert first.ci95 == pytest.approx(second.ci95)
    assert 0 <= first.ci95[0] <= first.value <= first.ci95[1] <= 1


def test_covers_the_truth_when_conversations_differ_and_the_plain_interval_does_not() -> None:
    # 60 conversations of 6 comparisons; each conversation has its own rate around 0.65
    random = np.random.default_rng(1)
    clusters = np.repeat(np.arange(60), 6)
    clustered = plain = 0
    for _ in range(400):
        rate = random.beta(1.3, 0.7, 60)
        credit = (random.random(360) < rate[clusters]).astype(float)
        low, high = share(credit, clusters).ci95
        clustered += low <= 0.65 <= high
        low, high = wilson(float(credit.mean()), 360.0)
        plain += low <= 0.65 <= high
    assert clustered >= 0.92 * 400
    assert plain <= 0.85 * 400


def test_students_t_is_that_of_the_tables() -> None:
    table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 10: 2.2281, 30: 2.0423, 1000: 1.9623}
    for freedom, quantile in table.items():
        assert t95(freedom) == pytest.approx(quantile, rel=4e-3)


def test_students_t_needs_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t95(0)


def test_a_difference_of_means_by_hand() -> None:
    value = np.array([5.0, 5.0, 4.0, 2.0, 3.0, 1.0, 2.0, 2.0])
    first = np.array([True] * 4 + [False] * 4)
    difference, error = clustered_difference(value, first, list("ddccaabb"))
    assert difference == pytest.approx(2.0)
    assert error == pytest.approx((2 / 3) ** 0.5)  # sums of residuals over four: +½ −½ 0 0
    assert clustered_difference(value, first, ["one"] * 8) == (2.0, float("inf"))
    # paired clusters: what both sides share cancels
    paired = clustered_difference(np.array([10.0, 11.0, 0.0, 1.0]), np.array([True, False, True, False]), [1, 1, 2, 2])
    assert paired == pytest.approx((-1.0, 0.0))
