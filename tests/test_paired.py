import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.evaluate.paired import Measured, difference, drawn_means, mcnemar, table

A = np.array([1.0, 1, 1, 0, 0, 1, 0, 1, 0, 0])
B = np.array([1.0, 1, 0, 1, 1, 1, 1, 1, 0, 1])
ITEMS = [str(number) for number in range(10)]


def test_mcnemar_is_a_fair_coins() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(4, 1) == pytest.approx(2 * (1 + 5) / 32)
    assert mcnemar(1, 4) == mcnemar(4, 1)
    assert mcnemar(3, 3) == 1
    assert mcnemar(6, 4) == pytest.approx(2 * (1 + 10 + 45 + 120 + 210) / 1024)
    assert 0 < mcnemar(6000, 4000) < 1e-80  # no overflow


def test_a_difference_counts_both_ways() -> None:
    found, draws = difference(A, B, ITEMS)
    assert found.value == pytest.approx(0.3)
    assert (found.better, found.worse) == (4, 1)
    assert found.p == pytest.approx(0.375)
    assert found.ci95[0] < 0.3 < found.ci95[1]
    # gaps: four of +1, one of −1, five of 0; the variance of their mean is (0.5 − 0.09) / 10
    assert draws.std() == pytest.approx(math.sqrt(0.041), rel=0.06)


def test_pairs_are_narrower_than_shares_apart() -> None:
    generator = np.random.default_rng(1)
    first = (generator.random(400) < 0.5).astype(float)
    later = first.copy()
    later[:12] = 1 - later[:12]
    found, _ = difference(first, later, [str(number) for number in range(400)])
    assert found.ci95[1] - found.ci95[0] < 0.04  # apart, each share alone has ± 5 points


def test_clusters_are_drawn_whole() -> None:
    """Ten items of two clusters, all alike within: the mean of a draw is 0, ½ or 1."""
    values = np.array([1.0] * 5 + [0.0] * 5)
    draws = drawn_means(values, ["a"] * 5 + ["b"] * 5)
    assert set(draws.tolist()) == {0.0, 0.5, 1.0}
    assert abs((draws == 0.5).mean() - 0.5) < 0.05


def test_no_difference_has_an_interval_all_the_same() -> None:
    found, _ = difference(A, A, ITEMS)
    assert (found.value, found.better, found.worse, found.p) == (0, 0, 0, 1)
    assert found.ci95[1] == pytest.approx(1 - 0.025**0.1)
    assert found.ci95[0] == -found.ci95[1]


def test_credits_that_are_no_verdicts_have_no_p() -> None:
    found, _ = difference(A / 2, B, ITEMS)
    assert found.p is None


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=30))
def test_swapping_models_turns_the_difference(pairs: list[tuple[float, float]]) -> None:
    first, later = (np.array(side) for side in zip(*pairs, strict=True))
    keys = [str(number) for number in range(len(pairs))]
    one, other = difference(first, later, keys)[0], difference(later, first, keys)[0]
    assert one.value == -other.value
    assert (one.better, one.worse, one.p) == (other.worse, other.better, other.p)
    assert one.ci95 == pytest.approx((-other.ci95[1], -other.ci95[0]), abs=1e-12)


def test_the_table_has_means_over_tasks() -> None:
    parts = [
        Measured(task, 0, "acc", 0.25, ITEMS, ITEMS, {"base": A, "policy": B}) for task in ("arc-easy", "mmlu")
    ] + [Measured("arc-easy", 5, "acc", 0.25, ITEMS, ITEMS, {"base": A, "policy": A})]
    found = table(parts, ["base", "policy"])
    assert found["models"] == ["base", "policy"]
    first = found["tasks"][0]
    assert (first["n"], first["clusters"], first["scores"]["policy"]["value"]) == (10, 10, pytest.approx(0.8))
    assert set(first["differences"]) == {"policy"}
    mean = found["means"][0]
    assert (len(found["means"]), mean["tasks"], mean["shots"]) == (1, ["arc-easy", "mmlu"], 0)
    assert mean["differences"]["policy"]["value"] == pytest.approx(0.3)
    # two tasks drawn apart: √½ of one task's spread
    one = first["differences"]["policy"]["ci95"]
    both = mean["differences"]["policy"]["ci95"]
    assert (both[1] - both[0]) / (one[1] - one[0]) == pytest.approx(math.sqrt(0.5), rel=0.12)
