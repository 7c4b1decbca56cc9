"""How many more votes, of how many workers, an interval or a decision between two models needs.

Votes of one worker agree more than votes of two: with correlation ρ, n votes of m a worker are worth n / (1 + (m−1)ρ)
independent ones (Kish's design effect). ρ is estimated on a board from pairs of votes of one worker, or follows from
how far workers' own gaps spread. New votes are taken to be between the two models alone, of new workers, m each, and
pooled with what the board says. The paper plans nothing; it has 20 workers for 80 % of its votes (§2.2).
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from concordant.board_fit import covariance
from concordant.bradley_terry import elo_from_gap, gap_from_elo, win_probability
from concordant.errors import UserError
from concordant.evaluate.elo import Fitted
from concordant.evaluate.intervals import t95
from concordant.evaluate.lead import gap_influence, gap_leverage

_MOST_WORKERS = 10_000_000
FEWEST_WORKERS = 5
"""A plan never asks for fewer workers in all: below that there is no interval over workers."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known about the gap between two models.

    Attributes:
        gap: the first's score minus the second's; of a plan from nothing, what is expected.
        correlation: ρ, of the choices of one worker between the two.
        votes: as how many independent votes between the two the board's count, workers left aside; 0 of no board.
        effect: how many times larger the variance is because workers differ (the design effect).
        workers: as how many equally busy workers the board's count.
    """

    gap: float
    correlation: float
    votes: float = 0.0
    effect: float = 1.0
    workers: float = 0.0

    @property
    def chance(self) -> float:
        """p (1 − p) of one vote between the two."""
        return win_probability(self.gap) * win_probability(-self.gap)

    def at(self, gap: float) -> "Standing":
        """The same knowledge, as exact as it is, if the gap were another."""
        moved = replace(self, gap=gap)
        return replace(moved, votes=self.votes * self.chance / moved.chance)

    def error(self, workers: int, votes_each: int) -> float:
        """Standard error of the gap after as many more workers with as many votes each."""
        more = workers * votes_each
        own = 1 + (votes_each - 1) * self.correlation
        if not self.votes + more:
            return math.inf
        return math.sqrt((self.votes * self.effect + more * own) / self.chance) / (self.votes + more)

    def reach(self, workers: int) -> float:
        """How many standard errors a 95 % interval reaches to either side, with as many more workers."""
        number = max(2.0, self.workers + workers)
        return math.sqrt(number / (number - 1)) * t95(max(1, round(number) - 1))

    def half_width(self, workers: int, votes_each: int) -> float:
        """Half the length of the 95 % interval of the gap, in Elo."""
        return elo_from_gap(self.reach(workers) * self.error(workers, votes_each))


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted: an interval of ±``half_width`` Elo; or, with ``power``, that the 95 % interval leaves out 0."""

    half_width: float | None = None
    power: float = 0.8

    def met(self, standing: Standing, workers: int, votes_each: int) -> bool:
        """Whether it is reached by so many more workers."""
        if standing.workers + workers < FEWEST_WORKERS:
            return False
        if self.half_width is not None:
            return standing.half_width(workers, votes_each) <= self.half_width
        reach = standing.reach(workers) + NormalDist().inv_cdf(self.power)
        return reach * standing.error(workers, votes_each) <= abs(standing.gap)


@dataclass(frozen=True, slots=True)
class Need:
    """What a goal takes.

    Attributes:
        votes_per_worker: m.
        workers: new workers; None where no number of them is enough.
        half_width: Elo to either side of the interval that is then to be expected.
    """

    votes_per_worker: int
    workers: int | None
    half_width: float

    def json(self) -> dict[str, Any]:
        return {
            "votes_per_worker": self.votes_per_worker,
            "more_workers": self.workers,
            "more_votes": None if self.workers is None else self.workers * self.votes_per_worker,
            "half_width": self.half_width,
        }


def standing_of(fitted: Fitted, model: str, other: str, worker_sd: float | None = None) -> Standing:
    """What a board says about the gap between two of its models.

    Unless the spread of workers' own gaps is given, ρ is Σ e_i e_j / Σ s_i s_j over pairs of votes of one worker, e
    being a vote's influence on the gap and s its standard deviation; below 0 it counts as 0.

    Raises:
        UserError: fewer than two workers are told apart, or none of them voted twice.
    """
    votes, counted, model_ = fitted.votes, fitted.counted, fitted.model
    estimate = fitted.sure.estimate
    names = votes.models
    pair = names.index(model), names.index(other)
    if len(votes.workers) < 2 and worker_sd is None:
        raise UserError(
            "the board's games name fewer than 2 workers, so how they differ is not known; give --worker-sd"
        )
    influence = gap_influence(model_, counted.votes, estimate, pair).ravel()[counted.cell]
    leverage = np.abs(gap_leverage(model_, counted.votes, estimate, pair))
    cells = model_.cells
    between = estimate[cells.first] - estimate[cells.second] + cells.sides[:, None] * estimate[cells.models]
    spread = leverage / (2 * np.cosh(between / 2))  # √(p (1 − p)) of a vote
    side, _, place = np.unravel_index(counted.cell, cells.shape)
    deviation = spread[side, place]
    pulls, sizes = (np.bincount(votes.worker, weights=value) for value in (influence, deviation))
    within = (deviation**2).sum()
    together = (sizes**2).sum() - within
    gap = float(estimate[pair[0]] - estimate[pair[1]])
    if worker_sd is not None:
        correlation = correlation_from_sd(gap, worker_sd)
    elif together <= 0:
        raise UserError("no worker of the board voted twice, so how they differ is not known; give --worker-sd")
    else:
        correlation = max(0.0, float(((pulls**2).sum() - (influence**2).sum()) / together))
    return Standing(
        gap=gap,
        correlation=min(correlation, 1.0),
        votes=1 / (_independent_variance(fitted, pair) * Standing(gap, 0.0).chance),
        effect=1 + correlation * float(together / within),
        workers=float(sizes.sum() ** 2 / (sizes**2).sum()),
    )


def _independent_variance(fitted: Fitted, pair: tuple[int, int]) -> float:
    """Variance of the gap between two models if every vote were independent."""
    spread = covariance(fitted.model, fitted.counted.votes, fitted.sure.estimate)
    a, b = pair
    return float(spread[a, a] + spread[b, b] - 2 * spread[a, b])


def correlation_from_sd(gap: float, worker_sd: float) -> float:
    """ρ where workers' own gaps are normal with this standard deviation, and all together prefer as ``gap`` says."""
    points, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()

    def mean(middle: float) -> float:
        return float(weights @ (1 / (1 + np.exp(-(middle + worker_sd * points)))))

    low, high = gap - 10 * (1 + worker_sd), gap + 10 * (1 + worker_sd)
    wanted = win_probability(gap)
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < wanted else (low, middle)
    chances = 1 / (1 + np.exp(-(low + worker_sd * points)))
    return float(weights @ (chances - wanted) ** 2) / (wanted * (1 - wanted))


def sd_from_correlation(gap: float, correlation: float) -> float:
    """The inverse of ``correlation_from_sd``, up to a spread of 20 units of score."""
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if correlation_from_sd(gap, middle) < correlation else (low, middle)
    return low


def need(standing: Standing, goal: Goal, votes_per_worker: int) -> Need:
    """The fewest new workers with so many votes each that reach the goal; 0 where it is reached.

    Raises:
        UserError: the goal means nothing, or a decision is asked for between two models that are level.
    """
    if goal.half_width is not None and not goal.half_width > 0:
        raise UserError(f"--half-width {goal.half_width} must be above 0 Elo")
    if not 0.5 <= goal.power < 1:
        raise UserError(f"--power {goal.power} must be at least 0.5 and below 1")
    if votes_per_worker < 1:
        raise UserError(f"--votes-per-worker {votes_per_worker} must be at least 1")
    if goal.half_width is None and abs(standing.gap) < gap_from_elo(0.01):
        raise UserError("two level models cannot be told apart by any number of votes; give --gap or --half-width")
    if goal.met(standing, 0, votes_per_worker):
        return Need(votes_per_worker, 0, standing.half_width(0, votes_per_worker))
    high = 1
    while not goal.met(standing, high, votes_per_worker):
        high *= 2
        if high > _MOST_WORKERS:
            return Need(votes_per_worker, None, standing.half_width(high, votes_per_worker))
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if goal.met(standing, middle, votes_per_worker) else (middle, high)
    return Need(votes_per_worker, high, standing.half_width(high, votes_per_worker))
