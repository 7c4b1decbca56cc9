import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.evaluate.score_spread import Scores, bin_edges, density, spread


def test_spread_by_hand() -> None:
    found = spread(Scores(np.array([1.0, 3.0, 2.0, 6.0]), np.array(["a", "a", "b", "b"])))
    assert (found["replies"], found["openings"], found["mean"]) == (4, 2, 3.0)
    # sums of residuals by opening: −2 and +2; √(2/1 · 8) / 4
    assert found["se"] == pytest.approx(1.0)
    assert dict(map(tuple, found["quantiles"]))[0.5] == 2.5


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60))
def test_densities_add_up_to_one_whatever_lies_outside(values: list[float]) -> None:
    found = np.array(values)
    edges = bin_edges(found)
    assert len(edges) == 29 and (np.diff(edges) > 0).all()
    for part in (found, found * 3 - 7):
        assert float((np.array(density(part, edges)) * np.diff(edges)).sum()) == pytest.approx(1.0)
