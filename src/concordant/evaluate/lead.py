"""How firmly the first stands above the second: what it would take to turn them round.

Three answers beside the interval, because few votes can decide a board (Huang et al. 2025): further wins of the second
over the first in a row; votes whose loss would turn the lead; workers whose loss would. Where the first two are level,
each is as small as it can be. Left out: the smallest possible set of votes, which nobody can search; votes are taken in
the order of their influence on the gap, so fewer may do.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, covariance, fit, vote_slopes
from concordant.bradley_terry import elo_from_gap
from concordant.evaluate.votes import Codes, Counted, Votes
from concordant.vote_cells import FIRST_WON, SECOND_WON

Array = NDArray[np.float64]

_FAINT = 0.01
"""A hundredth of a game keeps a fit finite that has lost the votes of a whole side."""


@dataclass(frozen=True, slots=True)
class Lead:
    """The first model over the second.

    Attributes:
        leader: label of the first.
        runner_up: label of the second.
        elo: by how much it leads.
        votes_to_add: how many wins in a row of the second over the first would turn the lead.
        votes_to_drop: how many of the votes, the most telling ones, would have to be missing; None: no such loss does.
        workers_to_drop: how many of the workers would have to be missing; None: no such loss does.
    """

    leader: str
    runner_up: str
    elo: float
    votes_to_add: int
    votes_to_drop: int | None
    workers_to_drop: int | None

    def json(self) -> dict[str, Any]:
        return asdict(self)


def lead_of(votes: Votes, counted: Counted, model: Model, estimate: Array) -> Lead:
    """The lead on a board that was fitted."""
    names = votes.models
    order = sorted(range(len(names)), key=lambda index: (-estimate[index], names[index]))
    first, second = order[0], order[1]

    def turned(model: Model, counts: Array) -> bool:
        found = fit(model, counts, estimate, 0.0 if model.is_bounded(counts) else _FAINT)
        return bool(found[second] >= found[first] - 1e-9)  # level counts as turned

    influence = gap_influence(model, counted.votes, estimate, (first, second))
    return Lead(
        leader=names[first],
        runner_up=names[second],
        elo=elo_from_gap(float(estimate[first] - estimate[second])),
        votes_to_add=_votes_to_add(model, counted, (first, second), turned),
        votes_to_drop=_votes_to_drop(counted, influence, lambda counts: turned(model, counts)),
        workers_to_drop=_workers_to_drop(votes, counted, influence, lambda counts: turned(model, counts)),
    )


def gap_influence(model: Model, votes: Array, estimate: Array, pair: tuple[int, int]) -> Array:
    """(S, C, P) by how much one vote in a cell moves the gap between two models, to first order."""
    return np.asarray(gap_leverage(model, votes, estimate, pair)[:, None, :] * vote_slopes(model, estimate))


def gap_leverage(model: Model, votes: Array, estimate: Array, pair: tuple[int, int]) -> Array:
    """(S, P) by how much the gap between two models moves per unit of slope of a vote on a side, in a pair."""
    cells, spread = model.cells, covariance(model, votes, estimate)
    row = spread[pair[0]] - spread[pair[1]]
    between = row[cells.first] - row[cells.second]
    return np.asarray(between + cells.sides[:, None] * row[cells.models])


def _votes_to_add(model: Model, counted: Counted, pair: tuple[int, int], turned: Callable[[Model, Array], bool]) -> int:
    """Exactly: the second's score only rises with each such win. Where sides are known, half are won on each."""
    first, second = pair
    cells, counts = counted.cells, counted.votes
    place = cells.pair(first, second)
    if place is None:
        cells, place = cells.with_pair(first, second), len(cells.first)
        counts = np.concatenate([counts, np.zeros((*counts.shape[:-1], 1))], axis=-1)
    category = FIRST_WON if second < first else SECOND_WON
    neutral = np.flatnonzero(cells.sides == 0)
    sides = neutral if len(neutral) else np.arange(len(cells.sides))
    longer = Model(cells, model.anchor, model.side)

    def with_wins(number: int) -> bool:
        more = counts.copy()
        more[sides, category, place] += number / len(sides)
        return turned(longer, more)

    return _least(with_wins, None) or 0


def _votes_to_drop(counted: Counted, influence: Array, turned: Callable[[Array], bool]) -> int | None:
    counts, moves = counted.votes.ravel(), influence.ravel()
    order = np.argsort(-moves, kind="stable")
    order = order[(moves[order] > 0) & (counts[order] > 0)]
    before = np.cumsum(counts[order]) - counts[order]

    def without(number: int) -> bool:
        left = counts.copy()
        left[order] -= np.clip(number - before, 0, counts[order])
        return turned(left.reshape(counted.votes.shape))

    return _least(without, int(counts[order].sum()))


def _workers_to_drop(votes: Votes, counted: Counted, influence: Array, turned: Callable[[Array], bool]) -> int | None:
    if len(votes.workers) < 2 or None in votes.workers:
        return None
    pull = np.bincount(votes.worker, weights=influence.ravel()[counted.cell])
    order = np.argsort(-pull, kind="stable")
    place: Codes = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    of_vote = place[votes.worker]

    def without(number: int) -> bool:
        left = np.bincount(counted.cell[of_vote >= number], minlength=influence.size)
        return turned(left.astype(np.float64).reshape(influence.shape))

    return _least(without, min(int((pull > 0).sum()), len(order) - 1))


def _least(holds: Callable[[int], bool], most: int | None) -> int | None:
    """The least number from 1 on at which something holds that goes on holding; None where it does not up to most."""
    high = 1
    while not holds(high):
        if most is not None and high >= most:
            return None
        high = 2 * high if most is None else min(2 * high, most)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
