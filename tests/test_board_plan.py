import math

import numpy as np
import pytest
from numpy.typing import NDArray

from concordant.board_fit import Model, cluster_covariance, fit
from concordant.bradley_terry import Game, elo_from_gap, gap_from_elo, gap_from_probability
from concordant.errors import UserError
from concordant.evaluate.board_plan import (
    Goal,
    Standing,
    correlation_from_sd,
    need,
    sd_from_correlation,
    standing_of,
)
from concordant.evaluate.elo import board
from concordant.evaluate.intervals import t95
from concordant.vote_cells import Cells


def test_independent_votes_by_hand() -> None:
    # at gap 0 an interval of ±20 Elo needs (1.96 · 2 · 173.7 / 20)² = 1,159 votes, a few more because t > z
    wanted = need(Standing(0.0, 0.0), Goal(half_width=20.0), 1)
    assert wanted.workers is not None
    assert 1159 <= wanted.workers <= 1165
    assert wanted.half_width == pytest.approx(20, rel=1e-3)


def test_correlated_votes_cost_the_design_effect() -> None:
    alone = need(Standing(0.0, 0.0), Goal(half_width=10.0), 20)
    together = need(Standing(0.0, 0.1), Goal(half_width=10.0), 20)
    assert alone.workers is not None and together.workers is not None
    assert together.workers / alone.workers == pytest.approx(1 + 19 * 0.1, rel=0.02)


def test_a_board_that_is_there_is_counted() -> None:
    # half of what independent votes need is there
    half = Standing(0.0, 0.0, votes=580.0, workers=580.0)
    more = need(half, Goal(half_width=20.0), 1)
    assert more.workers == pytest.approx(1160 - 580, abs=5)
    assert need(Standing(0.0, 0.0, votes=2000.0, workers=2000.0), Goal(half_width=20.0), 1).workers == 0


def test_another_gap_leaves_what_is_known_as_exact_as_it_is() -> None:
    known = Standing(0.0, 0.1, votes=300.0, effect=1.5, workers=30.0)
    assert known.at(1.0).error(0, 1) == pytest.approx(known.error(0, 1))
    assert known.error(0, 1) == pytest.approx(math.sqrt(1.5 * 4 / 300))
    assert known.at(1.0).gap == 1.0


def test_what_cannot_be_reached_or_means_nothing() -> None:
    crowd = Standing(gap_from_elo(1e-1), 0.5)
    assert need(crowd, Goal(power=0.8), 5).workers is None
    with pytest.raises(UserError, match="two level models"):
        need(Standing(0.0, 0.1), Goal(), 5)
    with pytest.raises(UserError, match=r"--half-width -3.0 must be above 0"):
        need(Standing(0.0, 0.1), Goal(half_width=-3.0), 5)
    with pytest.raises(UserError, match=r"--power 1.0 must be"):
        need(Standing(0.5, 0.1), Goal(power=1.0), 5)
    with pytest.raises(UserError, match=r"--votes-per-worker 0"):
        need(Standing(0.5, 0.1), Goal(), 0)
    assert (need(Standing(3.0, 0.0), Goal(), 50).workers or 0) >= 5


def test_spread_and_correlation_are_inverse() -> None:
    assert correlation_from_sd(0.4, 0.0) == pytest.approx(0, abs=1e-9)
    # small spreads: ρ = s² p (1 − p)
    assert correlation_from_sd(0.0, 0.1) == pytest.approx(0.01 / 4, rel=0.02)
    for gap, sd in ((0.0, 0.5), (0.7, 1.2), (-1.5, 0.3)):
        assert sd_from_correlation(gap, correlation_from_sd(gap, sd)) == pytest.approx(sd, abs=1e-4)


def simulated(random: np.random.Generator, middle: float, sd: float, workers: int, each: int) -> NDArray[np.int64]:
    """(W,) wins of the first model by worker."""
    chance = 1 / (1 + np.exp(-middle - sd * random.standard_normal(workers)))
    return random.binomial(each, chance)


def middle_of(gap: float, sd: float) -> float:
    """The mean of workers' gaps at which all together prefer as ``gap`` says, by plain summing."""
    points = np.linspace(-6, 6, 4001)
    weight = np.exp(-(points**2) / 2)
    weight /= weight.sum()
    grid = np.linspace(gap - 1, gap + 2, 3001)
    means = (1 / (1 + np.exp(-(grid[:, None] + sd * points[::20])))) @ (weight[::20] / weight[::20].sum())
    return float(grid[np.argmin(np.abs(means - 1 / (1 + math.exp(-gap))))])


def test_a_board_shows_how_workers_differ() -> None:
    random, sd = np.random.default_rng(5), 0.8
    wins = simulated(random, 0.3, sd, 400, 12)
    games = [
        Game(*(("a", "b") if index < won else ("b", "a")), f"w{worker}")
        for worker, won in enumerate(wins)
        for index in range(12)
    ]
    standing = standing_of(board(games).fitted, "a", "b")
    assert standing.correlation == pytest.approx(correlation_from_sd(standing.gap, sd), abs=0.03)
    assert standing.votes == pytest.approx(4800)
    assert standing.workers == pytest.approx(400)
    assert standing.effect == pytest.approx(1 + 11 * standing.correlation)
    given = standing_of(board(games).fitted, "a", "b", worker_sd=0.0)
    assert given.correlation == pytest.approx(0, abs=1e-9)
    assert given.effect == pytest.approx(1)


def test_a_plan_holds_in_simulation() -> None:
    """As many workers as planned give the interval that was asked for, and decide as often as asked."""
    random = np.random.default_rng(11)
    gap, sd, each, rounds = gap_from_elo(60.0), gap_from_elo(110.0), 15, 400
    standing, middle = Standing(gap, correlation_from_sd(gap, sd)), middle_of(gap, sd)
    cells = Cells(2, np.array([0]), np.array([1]), np.zeros(1))
    model = Model(cells, 1)
    for goal in (Goal(half_width=25.0), Goal(power=0.8)):
        wanted = need(standing, goal, each).workers
        assert wanted is not None
        widths: list[float] = []
        decided = 0
        for _ in range(rounds):
            wins = simulated(random, middle, sd, wanted, each).astype(np.float64)
            votes = np.stack([wins, each - wins], axis=1)[:, None, :, None]
            found = fit(model, votes.sum(axis=0))
            error = math.sqrt(cluster_covariance(model, votes, found)[0, 0])
            reach = t95(wanted - 1) * error
            widths.append(elo_from_gap(reach))
            decided += bool(found[0] - reach > 0)
        if goal.half_width is not None:
            assert float(np.mean(widths)) == pytest.approx(goal.half_width, rel=0.05)
        else:
            assert decided / rounds == pytest.approx(0.8, abs=0.06)


def test_boards_that_say_nothing_about_workers() -> None:
    one = [Game("a", "b", "w"), Game("b", "a", "w")]
    with pytest.raises(UserError, match="fewer than 2 workers"):
        standing_of(board(one).fitted, "a", "b")
    once = [Game(*(("a", "b") if index % 3 else ("b", "a")), f"w{index}") for index in range(9)]
    with pytest.raises(UserError, match="no worker of the board voted twice"):
        standing_of(board(once).fitted, "a", "b")
    assert gap_from_probability(0.5) == 0
