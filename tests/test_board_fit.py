import math

import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from concordant.board_fit import (
    Model,
    cluster_covariance,
    covariance,
    derivatives,
    first_guess,
    fit,
    fit_scores,
    log_likelihood,
    vote_slopes,
)
from concordant.bradley_terry import placeable, unplaced, win_probability
from concordant.errors import UserError
from concordant.vote_cells import Cells, cells_of_wins

Array = NDArray[np.float64]


def test_two_models_fit_the_log_odds_of_their_wins() -> None:
    # 3 : 1 gives ln 3; information 4 · ¾ · ¼ = 0.75, so the standard error is 1 / √0.75 = 1.1547
    wins = np.array([[0.0, 1.0], [3.0, 0.0]])
    scores = fit_scores(wins, anchor=0)
    assert scores.tolist() == [0.0, pytest.approx(math.log(3))]
    cells, votes = cells_of_wins(wins)
    spread = covariance(Model(cells, 0), votes, np.append(scores, 0.0))
    assert np.sqrt(np.diag(spread)).tolist() == [0.0, pytest.approx(1.154700538), 0.0]


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


def made_up(levels: tuple[int, ...] = (), seed: int = 0) -> tuple[Model, Array]:
    """Four models that all met, both sides and unknown ones, every strength."""
    first, second = np.triu_indices(4, 1)
    cells = Cells(4, first, second, np.array([1.0, -1.0, 0.0]), levels)
    votes = np.random.default_rng(seed).integers(1, 30, cells.shape).astype(np.float64)
    return Model(cells, 1, side=True), votes


@pytest.mark.parametrize("levels", [(), (2, 4), (1, 2, 3, 4)])
def test_gradient_and_information_are_those_of_the_likelihood(levels: tuple[int, ...]) -> None:
    model, votes = made_up(levels)
    point = np.array([0.3, -0.2, 0.7, 0.1, 0.4, *(0.6, 1.3, 2.2)[: model.cells.thresholds]])
    gradient, information = derivatives(model, votes, point)
    step = 1e-5
    for index in range(model.size):
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        slope = (log_likelihood(model, votes, up) - log_likelihood(model, votes, down)) / (2 * step)
        assert gradient[index] == pytest.approx(float(slope), abs=1e-4)
        curve = (derivatives(model, votes, up)[0] - derivatives(model, votes, down)[0]) / (2 * step)
        assert np.allclose(-curve, information[index], atol=1e-4)


@pytest.mark.parametrize("levels", [(), (1, 2, 3, 4)])
def test_a_fit_is_the_top_of_the_likelihood(levels: tuple[int, ...]) -> None:
    model, votes = made_up(levels, 5)
    found = fit(model, votes)
    assert found[1] == 0
    assert np.allclose(derivatives(model, votes, found)[0][model.free], 0, atol=1e-6)
    best = log_likelihood(model, votes, found)
    for index in model.free:
        for move in (-0.01, 0.01):
            beside = found.copy()
            beside[index] += move
            assert log_likelihood(model, votes, beside) < best
    assert (np.diff(found[5:], prepend=0.0) > 0).all()


def test_the_side_is_worked_out_of_what_it_adds() -> None:
    # the first wins 3 : 1 on the left and 1 : 3 on the right: the models are level, the left side is worth ln 3
    cells = Cells(2, np.array([0]), np.array([1]), np.array([1.0, -1.0]))
    votes = np.array([[[30.0], [10.0]], [[10.0], [30.0]]])
    assert fit(Model(cells, 0, side=True), votes).tolist() == pytest.approx([0.0, 0.0, math.log(3)])
    assert fit(Model(cells, 0), votes).tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_strengths_of_level_models_give_thresholds_by_hand() -> None:
    # half of each side's votes are strong: P(beyond τ) = ¼, so τ = ln 3; P(first wins) stays σ(0)
    cells = Cells(2, np.array([0]), np.array([1]), np.zeros(1), (2, 4))
    votes = np.array([[[0.0], [0.0], [20.0], [20.0], [20.0], [20.0]]])
    assert fit(Model(cells, 0), votes).tolist() == pytest.approx([0.0, 0.0, 0.0, math.log(3)])
    assert first_guess(Model(cells, 0), votes)[3] == pytest.approx(math.log(3), abs=0.05)


def test_strength_knows_more_than_the_winner_alone() -> None:
    model, votes = made_up((1, 2, 3, 4), 2)
    plain = Model(Cells(4, model.cells.first, model.cells.second, model.cells.sides), 1, side=True)
    won = np.stack([votes[:, model.cells.first_won].sum(axis=1), votes[:, ~model.cells.first_won].sum(axis=1)], axis=1)
    with_strength = np.diag(covariance(model, votes, fit(model, votes)))[:5]
    without = np.diag(covariance(plain, won, fit(plain, won)))
    assert (with_strength[plain.free] < without[plain.free]).all()


def test_fits_of_several_draws_with_strength_are_those_one_by_one() -> None:
    model, _ = made_up((1, 3))
    several = np.stack([made_up((1, 3), seed)[1] for seed in range(3)])
    together = fit(model, several)
    for index in range(3):
        assert np.allclose(together[index], fit(model, several[index]), atol=1e-8)
    assert model.is_bounded(several).all()


def test_a_level_that_is_missing_is_not_bounded_and_a_prior_holds_it() -> None:
    model, votes = made_up((1, 2, 3))
    votes[:, 4:6] = 0
    assert not model.is_bounded(votes)
    found = fit(model, votes, prior_games=1.0)
    assert np.isfinite(found).all() and found[6] > found[5] > 0


def test_the_influence_of_a_vote_adds_up_to_the_gradient() -> None:
    model, votes = made_up((1, 2, 3, 4))
    point = np.array([0.3, 0.0, 0.7, 0.1, 0.4, 0.6, 1.3, 2.2])
    slopes = (votes * vote_slopes(model, point)).sum(axis=(0, 1))
    assert np.allclose(slopes @ model.cells.incidence, derivatives(model, votes, point)[0][:4])


def test_clusters_that_agree_widen_and_single_votes_do_not() -> None:
    # W workers of m like votes each: the variance is that of W votes, with W / (W − 1), not of W · m
    cells = Cells(2, np.array([0]), np.array([1]), np.zeros(1))
    model, agreed = Model(cells, 0), np.zeros((20, 1, 2, 1))
    agreed[:10, 0, 0, 0] = agreed[10:, 0, 1, 0] = 7
    found = fit(model, agreed.sum(axis=0))
    assert cluster_covariance(model, agreed, found)[1, 1] == pytest.approx(4 / 20 * 20 / 19)
    assert covariance(model, agreed.sum(axis=0), found)[1, 1] == pytest.approx(4 / 140)
