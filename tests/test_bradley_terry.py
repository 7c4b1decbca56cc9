import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.bradley_terry import (
    ELO_PER_UNIT,
    Game,
    elo_from_gap,
    gap_from_elo,
    gap_from_probability,
    interval95,
    linked,
    placeable,
    unplaced,
    win_matrix,
    win_probability,
)


def test_the_papers_map_between_win_rate_and_elo() -> None:
    # the pairs that stand on the two axes of the paper's Fig. 1
    for elo, percent in {63.0: 59, 131.0: 68, 196.0: 76, 250.0: 81, 333.0: 87}.items():
        assert round(100 * win_probability(gap_from_elo(elo))) == percent
    assert elo_from_gap(gap_from_probability(0.75)) == pytest.approx(190.85, abs=0.01)


def test_one_unit_of_score_is_173_7_elo() -> None:
    assert pytest.approx(173.7178, abs=1e-4) == ELO_PER_UNIT
    assert win_probability(gap_from_elo(400.0)) == pytest.approx(10 / 11)


def test_a_gap_of_ln_3_wins_three_in_four() -> None:
    assert win_probability(math.log(3)) == pytest.approx(0.75)
    assert gap_from_probability(0.75) == pytest.approx(math.log(3))


def test_huge_gaps_do_not_overflow() -> None:
    assert win_probability(1e4) == 1.0
    assert win_probability(-1e4) == 0.0
    assert win_probability(-40.0) == pytest.approx(4.248354255291589e-18)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, 1.5, math.nan])
def test_a_certain_win_has_no_gap(probability: float) -> None:
    with pytest.raises(ValueError, match="no finite score gap"):
        gap_from_probability(probability)


@given(st.floats(-30, 30))
def test_gap_and_probability_are_inverse(gap: float) -> None:
    assert win_probability(gap) + win_probability(-gap) == pytest.approx(1)
    if abs(gap) < 15:
        assert gap_from_probability(win_probability(gap)) == pytest.approx(gap, abs=1e-8)
    assert gap_from_elo(elo_from_gap(gap)) == pytest.approx(gap)


def test_an_interval_is_1_96_errors_to_either_side() -> None:
    assert interval95(0.0, 1.0) == pytest.approx((-1.959964, 1.959964))


def test_wins_are_counted_winner_by_loser() -> None:
    games = [Game("a", "b"), Game("a", "b"), Game("b", "a"), Game("c", "a")]
    assert win_matrix(games, ["a", "b", "c"]).tolist() == [[0, 2, 0], [1, 0, 0], [1, 0, 0]]


def test_unplaced_names_the_part_that_never_lost() -> None:
    assert unplaced(np.array([[0.0, 1], [1, 0]])) == []
    assert unplaced(np.array([[0.0, 1], [0, 0]])) == [([0], [1])]
    # 0 and 1 share wins, both only beat 2
    assert unplaced(np.array([[0.0, 1, 1], [1, 0, 1], [0, 0, 0]])) == [([0, 1], [2])]
    # 0, 1 and 2, 3 never met: neither part lost to the other
    apart = np.zeros((4, 4))
    apart[0, 1] = apart[1, 0] = apart[2, 3] = apart[3, 2] = 1
    assert unplaced(apart) == [([0, 1], [2, 3]), ([2, 3], [0, 1])]
    assert linked(apart) == [[0, 1], [2, 3]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=25))
def test_models_are_placeable_exactly_where_nothing_is_unplaced(pairs: list[tuple[int, int]]) -> None:
    wins = np.zeros((6, 6))
    for winner, loser in pairs:
        wins[winner, loser] += winner != loser
    assert bool(placeable(wins)) is (unplaced(wins) == [])


def test_a_ring_of_wins_places_everyone_and_a_broken_one_does_not() -> None:
    ring = np.roll(np.eye(9), 1, axis=1)
    assert placeable(ring)
    ring[4] = 0
    assert not placeable(ring)
