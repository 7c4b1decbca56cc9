import math

import numpy as np
import pytest

from concordant.evaluate.calibration import calibrate


def test_two_bins_worked_by_hand() -> None:
    # |Δ| sorted: 0, ln 3 (wrong), ln 3 (right), ln 9 (right): predictions ½, ¾, ¾, 0.9
    gap = np.array([math.log(9), -math.log(3), 0.0, math.log(3)])
    result = calibrate(gap, np.array([1.0, 0.0, 0.5, 1.0]), np.arange(4), bins=2)
    low, high = result.bins
    assert (low.predicted, low.observed.value) == pytest.approx((0.625, 0.25))
    assert (high.predicted, high.observed.value) == pytest.approx((0.825, 1.0))
    assert (low.low, low.high, high.high) == pytest.approx((0.0, math.log(3), math.log(9)))
    assert low.gap == pytest.approx(math.log(3) / 2)
    # half of 0.375 and half of 0.175; signed: half of −0.375 and half of +0.175
    assert result.ece == pytest.approx(0.275)
    assert result.excess == pytest.approx(-0.1)


def test_a_model_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    random = np.random.default_rng(0)
    gap = np.abs(random.normal(0, 1.5, 20_000))
    right = random.random(20_000) < 1 / (1 + np.exp(-gap))
    result = calibrate(np.where(right, gap, -gap), right.astype(float), np.arange(20_000))
    assert len(result.bins) == 10
    assert {bin.observed.n for bin in result.bins} == {2000}
    assert result.ece < 0.012  # noise alone: 0.4 / √2000 = 0.009
    assert result.excess_ci95[0] < 0 < result.excess_ci95[1]


@pytest.mark.parametrize(("stretch", "sign"), [(3.0, -1), (0.3, 1)])
def test_scores_that_are_stretched_are_over_confident_and_shrunk_ones_under_confident(
    stretch: float, sign: int
) -> None:
    random = np.random.default_rng(0)
    gap = np.abs(random.normal(0, 1, 4000))
    right = random.random(4000) < 1 / (1 + np.exp(-gap))
    result = calibrate(np.where(right, gap, -gap) * stretch, right.astype(float), np.arange(4000))
    assert sign * result.excess > 0.02
    assert sign * result.excess_ci95[0] > 0
    assert sign * result.excess_ci95[1] > 0


def test_equal_gaps_fall_into_bins_in_one_way_whatever_the_order_of_rows() -> None:
    gap = np.repeat([0.5, -0.5], 30)
    credit = (gap > 0).astype(float)
    forward = calibrate(gap, credit, np.arange(60))
    backward = calibrate(gap[::-1], credit[::-1], np.arange(60)[::-1])
    assert [bin.observed.value for bin in forward.bins] == [bin.observed.value for bin in backward.bins]
    assert forward.ece == backward.ece


def test_few_comparisons_make_one_bin_and_one_conversation_an_interval_that_says_nothing() -> None:
    result = calibrate(np.array([1.0, -1.0]), np.array([1.0, 0.0]), ["x", "x"])
    assert len(result.bins) == 1
    assert result.excess_ci95 == (-1.0, 1.0)


def test_json_holds_what_the_figure_needs() -> None:
    json = calibrate(np.array([1.0, -1.0]), np.array([1.0, 0.0]), ["x", "y"]).json()
    assert json["bins"][0].keys() == {"low", "high", "gap", "predicted", "observed", "ci95", "n"}
