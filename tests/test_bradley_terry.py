import math

import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from concordant.bradley_terry import (
    ELO_PER_UNIT,
    Game,
    elo_from_gap,
    fit_scores,
    gap_from_elo,
    gap_from_probability,
    interval95,
    linked,
    placeable,
    standard_errors,
    unplaced,
    win_matrix,
    win_probability,
)
from concordant.errors import UserError


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


def test_wins_are_counted_winner_by_loser() -> None:
    games = [Game("a", "b"), Game("a", "b"), Game("b", "a"), Game("c", "a")]
    assert win_matrix(games, ["a", "b", "c"]).tolist() == [[0, 2, 0], [1, 0, 0], [1, 0, 0]]


def test_two_models_fit_the_log_odds_of_their_wins() -> None:
    # 3 : 1 gives ln 3; information 4 · ¾ · ¼ = 0.75, so the standard error is 1 / √0.75 = 1.1547
    wins = np.array([[0.0, 1.0], [3.0, 0.0]])
    scores = fit_scores(wins, anchor=0)
    assert scores.tolist() == [0.0, pytest.approx(math.log(3))]
    assert standard_errors(wins, scores, anchor=0).tolist() == [0.0, pytest.approx(1.154700538)]
    assert interval95(0.0, 1.0) == pytest.approx((-1.959964, 1.959964))


def test_three_models_whose_wins_are_exactly_those_of_scores_0_ln2_ln6() -> None:
    # odds 2:1, 6:1 and 3:1, each played so often that the expected wins are whole numbers
    wins = np.array([[0.0, 10, 3], [20, 0, 4], [18, 12, 0]])
    assert fit_scores(wins, anchor=0).tolist() == [0.0, pytest.approx(math.log(2)), pytest.approx(math.log(6))]


def test_another_anchor_shifts_every_score_alike() -> None:
    wins = np.array([[0.0, 5, 2], [3, 0, 4], [6, 3, 0]])
    first, last = fit_scores(wins, anchor=0), fit_scores(wins, anchor=2)
    assert np.allclose(first - first[2], last)


def test_several_fits_at_once_are_the_fits_one_by_one() -> None:
    wins = np.random.default_rng(0).integers(1, 20, (4, 3, 3)).astype(float)
    together = fit_scores(wins, anchor=1)
    assert together.shape == (4, 3)
    for index in range(4):
        assert np.allclose(together[index], fit_scores(wins[index], anchor=1))


def test_a_one_sided_board_is_refused_and_a_prior_makes_it_finite() -> None:
    wins = np.array([[0.0, 5], [0, 0]])
    assert not placeable(wins)
    with pytest.raises(UserError, match="won or lost all"):
        fit_scores(wins, anchor=1)
    # one virtual game, half won by each: odds 5.5 to 0.5
    assert fit_scores(wins, anchor=1, prior_games=1.0)[0] == pytest.approx(math.log(11))


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


def random_wins(seed: int, models: int) -> NDArray[np.float64]:
    """Wins in which every model beat every other at least once."""
    wins = np.random.default_rng(seed).integers(1, 40, (models, models)).astype(float)
    np.fill_diagonal(wins, 0)
    return wins


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6))
def test_each_models_expected_wins_are_its_wins(seed: int, models: int) -> None:
    # the defining property of the maximum-likelihood fit
    wins = random_wins(seed, models)
    scores = fit_scores(wins, anchor=0)
    for model in range(models):
        expected = sum(
            (wins[model, other] + wins[other, model]) * win_probability(scores[model] - scores[other])
            for other in range(models)
            if other != model
        )
        assert expected == pytest.approx(wins[model].sum())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=25))
def test_a_fit_exists_exactly_where_nothing_is_unplaced(pairs: list[tuple[int, int]]) -> None:
    wins = np.zeros((4, 4))
    for winner, loser in pairs:
        wins[winner, loser] += winner != loser
    if unplaced(wins):
        with pytest.raises(UserError):
            fit_scores(wins, anchor=0)
    else:
        assert np.isfinite(fit_scores(wins, anchor=0)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_lopsided_wins_still_converge(first: int, second: int) -> None:
    scores = fit_scores(np.array([[0.0, first], [second, 0.0]]), anchor=0)
    assert scores[1] == pytest.approx(math.log(second / first), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_evalica(seed: int) -> None:
    wins = random_wins(seed, 5)
    names = [f"m{index}" for index in range(5)]
    winners, losers, weights = [], [], []
    for i in range(5):
        for j in range(5):
            if i != j:
                winners.append(names[i])
                losers.append(names[j])
                weights.append(wins[i, j])
    result = evalica.bradley_terry(
        winners, losers, [evalica.Winner.X] * len(winners), weights=weights, tolerance=1e-12, limit=10_000
    )
    theirs = np.log(np.array([result.scores[name] for name in names]))
    assert np.allclose(fit_scores(wins, anchor=0), theirs - theirs[0], atol=1e-6)
