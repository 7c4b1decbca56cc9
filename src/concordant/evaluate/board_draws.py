"""How sure a board is: votes drawn anew by whole workers, by workers and their conversations, or from the curvature.

The paper does not say how it made its bands (§2.4). Every way here ends in R draws of all parameters, out of which come
intervals of ratings and of their differences, and intervals of ranks. Votes are drawn as counts by cell, and the fits
of many draws are done together.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, covariance, fit
from concordant.bradley_terry import interval95
from concordant.errors import UserError
from concordant.evaluate.intervals import Z95, t95
from concordant.evaluate.votes import Codes, Counted, Votes

Array = NDArray[np.float64]
Drawn = Literal["workers", "both"]
"""What is drawn anew: whole workers, or workers and then each one's conversations."""

FEWEST_CLUSTERS = 5
"""Below this many, drawing them anew says nothing about others."""

REPLICATES = 2000

_LARGEST = 4_000_000
"""Cells of draws that are fitted together: enough to be quick, few enough to stay in memory."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What other workers might have made of the same models.

    Attributes:
        estimate: (D,) the fit to all votes.
        draws: (R, D) fits to votes drawn anew.
        errors: (D,) standard errors, where the draws come from the curvature; None where they come from votes.
        widen: how many times further out than its percentile a limit lies, because few clusters vary too little.
        method: how this was made, in words.
        cluster: (N,) what was drawn as a whole.
    """

    estimate: Array
    draws: Array
    errors: Array | None
    widen: float
    method: str
    cluster: Codes

    def interval(self, index: int) -> tuple[float, float]:
        """95 % interval of one parameter."""
        if self.errors is not None:
            return interval95(float(self.estimate[index]), float(self.errors[index]))
        return self._percentiles(self.draws[:, index])

    def difference(self, index: int, other: int) -> tuple[float, float]:
        """95 % interval of one parameter minus another."""
        return self._percentiles(self.draws[:, index] - self.draws[:, other])

    def _percentiles(self, values: Array) -> tuple[float, float]:
        tail = 100 * NormalDist().cdf(-Z95 * self.widen)
        low, high = np.percentile(values, [tail, 100 - tail])
        return float(low), float(high)

    def ranks(self, models: int) -> list[tuple[int, int]]:
        """95 % interval of each model's rank among the first ``models`` parameters.

        A model's rank lies between 1 + how many are clearly better and M − how many are clearly worse, where "clearly"
        holds for all its differences together: the 95th percentile, over draws, of the largest studentised difference
        to any other model (Mogstad, Romano, Shaikh and Wilhelm, 2024, for one model at a time).
        """
        made = []
        for model in range(models):
            others = [other for other in range(models) if other != model]
            if not others:
                return [(1, 1)]
            gap = self.estimate[others] - self.estimate[model]
            drawn = self.draws[:, others] - self.draws[:, [model]]
            error = np.maximum(drawn.std(axis=0), 1e-12)
            largest = np.percentile((np.abs(drawn - gap) / error).max(axis=1), 95) * self.widen
            better, worse = int((gap > largest * error).sum()), int((gap < -largest * error).sum())
            made.append((1 + better, models - worse))
        return made


@dataclass(frozen=True, slots=True)
class How:
    """How draws are made.

    Attributes:
        drawn: what is drawn anew.
        replicates: how many times, R.
        seed: of the draws.
    """

    drawn: Drawn = "workers"
    replicates: int = REPLICATES
    seed: int = 0


def draw(model: Model, votes: Votes, counted: Counted, estimate: Array, how: How) -> Draws:
    """Draws by the best way the votes allow.

    Workers where at least five judged; else conversations, where at least five are told apart; else the curvature of
    the likelihood. The method says which, and what is weak about it.

    Raises:
        UserError: conversations are to be drawn, and no vote says which it comes from.
    """
    if how.drawn == "both" and votes.conversation is None:
        raise UserError(
            "no game says which conversation it comes from; add a column conversation, or draw workers only"
        )
    few = _why_not_by_worker(votes)
    if not few:
        if how.drawn == "both" and votes.conversation is not None:
            unit, weights = votes.conversation, _two_stages(votes, how)
            words = f"bootstrap over {len(votes.workers)} workers and their {votes.conversations:,} conversations"
        else:
            unit, weights = votes.worker, _whole(len(votes.workers), how)
            words = f"bootstrap over {len(votes.workers)} workers"
        return _by_votes(model, counted, (unit, weights), estimate, (votes.worker, f"{words}, {how.replicates} draws"))
    if votes.conversation is not None and votes.conversations >= FEWEST_CLUSTERS:
        words = (
            f"bootstrap over {votes.conversations:,} conversations, {how.replicates} draws, which says nothing about "
            f"other workers: {few}"
        )
        whole = _whole(votes.conversations, how)
        return _by_votes(model, counted, (votes.conversation, whole), estimate, (votes.conversation, words))
    spread = covariance(model, counted.votes, estimate)
    random = np.random.default_rng(how.seed)
    return Draws(
        estimate=estimate,
        draws=random.multivariate_normal(estimate, spread, size=how.replicates, method="svd"),
        errors=np.sqrt(np.diag(spread)),
        widen=1.0,
        method=f"Fisher information, which takes games as independent and is too narrow: {few}",
        cluster=np.arange(len(votes)),
    )


def _why_not_by_worker(votes: Votes) -> str:
    """Why workers cannot be drawn anew, or ""."""
    number = len(votes.workers)
    if votes.workers == (None,):
        return "no game says who judged it"
    if number < FEWEST_CLUSTERS:
        return f"{number} worker{'s' * (number > 1)} judged, and resampling needs {FEWEST_CLUSTERS}"
    return ""


def _by_votes(
    model: Model,
    counted: Counted,
    drawn: tuple[Codes, Iterator[Array]],
    estimate: Array,
    named: tuple[Codes, str],
) -> Draws:
    """Fits to votes drawn anew; ``drawn`` is (each vote's unit, weights of the units draw by draw).

    The limits lie √(W/(W−1)) · t/z times further out than 2.5 and 97.5 % would (the "expanded percentile" interval of
    Hesterberg 2015), because W clusters drawn from W vary too little. Where some judge far more than others, W is the
    number of equal clusters that would vary as much, (Σn)² / Σn².
    """
    cluster, method = named
    parts: list[Array] = []
    one_sided = 0
    for votes in _drawn_votes(counted, *drawn):
        bounded = model.is_bounded(votes)
        found = np.zeros((len(votes), model.size))
        if bounded.any():
            found[bounded] = fit(model, votes[bounded], estimate)
        if not bounded.all():
            found[~bounded] = fit(model, votes[~bounded], estimate, prior_games=1.0)
        one_sided += int((~bounded).sum())
        parts.append(found)
    if one_sided:
        method += f" ({one_sided} one-sided, kept finite by one half-won game of each model with the anchor)"
    return Draws(estimate, np.concatenate(parts), None, widening(cluster), method, cluster)


def widening(cluster: Codes) -> float:
    """√(W/(W−1)) · t/z for the effective number W of clusters, at least 2."""
    sizes = np.bincount(cluster)
    effective = max(2.0, float(sizes.sum() ** 2 / (sizes**2).sum()))
    return math.sqrt(effective / (effective - 1)) * t95(max(1, round(effective) - 1)) / Z95


def _whole(number: int, how: How) -> Iterator[Array]:
    """Weights of clusters: how often each of them is drawn when as many are drawn as there are."""
    random = np.random.default_rng(how.seed)
    for _ in range(how.replicates):
        yield np.bincount(random.integers(0, number, number), minlength=number).astype(np.float64)


def _two_stages(votes: Votes, how: How) -> Iterator[Array]:
    """Weights of conversations: workers are drawn, then as many of each one's conversations as there are."""
    assert votes.conversation is not None
    random = np.random.default_rng(how.seed)
    owner = np.zeros(votes.conversations, dtype=np.int64)
    owner[votes.conversation] = votes.worker
    number = np.bincount(owner, minlength=len(votes.workers))  # of conversations; each worker's stand together
    begin = np.cumsum(number) - number
    for _ in range(how.replicates):
        workers = random.integers(0, len(number), len(number))
        from_worker = np.repeat(workers, number[workers])
        picked = begin[from_worker] + (random.random(len(from_worker)) * number[from_worker]).astype(np.int64)
        yield np.bincount(picked, minlength=len(owner)).astype(np.float64)


def _drawn_votes(counted: Counted, unit: Codes, weights: Iterator[Array]) -> Iterator[Array]:
    """Votes (some, S, C, P), so many draws at a time as memory allows."""
    cells = int(np.prod(counted.cells.shape))
    units, at_once = int(unit.max()) + 1, max(1, _LARGEST // cells)
    keys, number = np.unique(unit * cells + counted.cell, return_counts=True)
    table: Array | None = None
    if units * cells <= 8 * _LARGEST:
        flat = np.zeros(units * cells)
        flat[keys] = number
        table = flat.reshape(units, cells)
    of_unit, of_cell = keys // cells, keys % cells
    batch: list[Array] = []

    def votes() -> Array:
        if table is not None:
            made = np.stack(batch) @ table
        else:
            made = np.stack([np.bincount(of_cell, row[of_unit] * number, minlength=cells) for row in batch])
        return np.asarray(made, dtype=np.float64).reshape(-1, *counted.cells.shape)

    for row in weights:
        batch.append(row)
        if len(batch) == at_once:
            yield votes()
            batch = []
    if batch:
        yield votes()
