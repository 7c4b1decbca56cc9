"""Accuracy by the spread of an ensemble, by hand."""

import numpy as np
import pytest

from concordant.evaluate.disagreement import by_spread


def test_thirds_by_hand() -> None:
    """Six comparisons; two members whose gaps differ by twice the spread."""
    spread = np.array([0.5, 0.1, 3.0, 0.2, 2.0, 1.0])
    gap = np.array([1.0, -2.0, 0.5, 3.0, -0.5, 0.0])
    credit = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.5])
    found = by_spread(np.array([gap + spread, gap - spread]), gap, credit, np.arange(6))
    assert found.mean == pytest.approx(6.8 / 6)
    assert [third.low for third in found.thirds] == pytest.approx([0.1, 0.5, 2.0])
    assert [third.high for third in found.thirds] == pytest.approx([0.2, 1.0, 3.0])
    assert [third.gap for third in found.thirds] == pytest.approx([2.5, 0.5, 0.5])
    assert [third.accuracy.value for third in found.thirds] == [0.5, 0.75, 0.5]
    assert [third["n"] for third in found.json()["thirds"]] == [2, 2, 2]


def test_a_members_zero_has_no_part_and_two_comparisons_make_two_parts() -> None:
    gaps = np.array([[1.0, 2.0], [3.0, 2.5]])
    found = by_spread(gaps, gaps.mean(axis=0), np.ones(2), ["a", "a"])
    assert [third.accuracy.n for third in found.thirds] == [1, 1]
    assert [third.low for third in found.thirds] == [0.25, 1.0]
