import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.vote_cells import Cells, cells_of_wins, join_levels, side_is_bounded


def test_categories_lie_between_the_edges_of_a_line() -> None:
    # edges: −∞, −τ2, −τ1, 0, τ1, τ2, ∞
    cells = Cells(2, np.array([0]), np.array([1]), np.zeros(1), (2, 3, 4))
    assert (cells.thresholds, cells.shape) == (2, (1, 8, 1))
    between = list(zip(cells.low.tolist(), cells.high.tolist(), strict=True))
    # won and lost, strength not known; then 2, 3, 4 of each
    assert between == [(3, 6), (0, 3), (3, 4), (2, 3), (4, 5), (1, 2), (5, 6), (0, 1)]
    plain = Cells(2, np.array([0]), np.array([1]), np.zeros(1), (4,))
    assert (plain.thresholds, plain.shape) == (0, (1, 2, 1))
    assert join_levels([0, 4, 2, 2]) == (2, 4)


def test_wins_in_cells_and_back() -> None:
    wins = np.array([[0.0, 3, 0], [1, 0, 2], [0, 0, 0]])
    cells, votes = cells_of_wins(wins)
    assert list(zip(cells.first.tolist(), cells.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert np.array_equal(cells.win_matrix(votes), wins)
    assert (cells.pair(2, 1), cells.pair(0, 2)) == (1, None)
    assert cells.with_pair(2, 0).pair(0, 2) == 2


def one_pair(left_first: tuple[int, int], right_first: tuple[int, int], unknown: tuple[int, int] = (0, 0)) -> bool:
    """Whether the side is bounded by (wins of the first, wins of the second) on each side."""
    cells = Cells(2, np.array([0]), np.array([1]), np.array([1.0, -1.0, 0.0]))
    votes = np.array([left_first, right_first, unknown], dtype=np.float64)[..., None]
    return bool(side_is_bounded(cells, votes))


@pytest.mark.parametrize(
    ("left_first", "right_first", "unknown", "bounded"),
    [
        ((3, 1), (1, 3), (0, 0), True),
        ((3, 0), (0, 3), (0, 0), False),  # the left always won
        ((0, 3), (3, 0), (0, 0), False),  # the left always lost
        ((3, 2), (0, 0), (0, 0), False),  # the first always stood on the left
        ((3, 2), (0, 0), (1, 1), True),
        ((3, 0), (2, 1), (0, 0), False),  # the second only wins on the left: the side may count for all of it
        ((3, 1), (2, 0), (0, 0), False),
    ],
)
def test_the_side_is_bounded_where_no_score_explains_it_away(
    left_first: tuple[int, int], right_first: tuple[int, int], unknown: tuple[int, int], bounded: bool
) -> None:
    assert one_pair(left_first, right_first, unknown) is bounded


def test_a_long_ring_bounds_the_side() -> None:
    # each beat the next on the right: a left effect that explained it would have to be below 0 all round
    cells = Cells(3, np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([1.0, -1.0]))
    votes = np.zeros((2, 2, 3))
    votes[1, 0, 0] = votes[1, 0, 2] = 1  # 0 over 1, 1 over 2, each on the right
    votes[0, 1, 1] = 1  # 2 over 0; 0 stood on the left, so 2 on the right
    assert not side_is_bounded(cells, votes)
    votes[0, 0, 0] = votes[0, 0, 2] = votes[1, 1, 1] = 1  # and the same round on the left
    assert side_is_bounded(cells, votes)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_several_at_once_are_those_one_by_one(numbers: list[int]) -> None:
    cells = Cells(3, np.array([0, 0, 1]), np.array([1, 2, 2]), np.array([1.0, -1.0]))
    one = np.array(numbers, dtype=np.float64).reshape(2, 2, 3)
    other = np.zeros((2, 2, 3))
    together = side_is_bounded(cells, np.stack([one, other, np.ones((2, 2, 3))]))
    assert together.tolist() == [bool(side_is_bounded(cells, one)), False, True]
