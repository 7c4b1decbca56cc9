"""Maximum likelihood for judged pairs: scores, an effect of the side, and thresholds of strength (paper §2.4, B.5).

With gap η = r_first − r_second ± δ (δ helps the reply shown on the left), a vote lies between two edges of a line:
P(low < vote ≤ high) = σ(η − low) − σ(η − high). Without strength the edges are −∞, 0, ∞, which is Bradley–Terry
(eq. 4.2); with it, thresholds ±τ_k cut the line, the same to both sides (a cumulative-logit model), and P(first wins)
stays σ(η). Newton's method on counts; the likelihood is concave. Left out: ties, scores that change over time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concordant.bradley_terry import placeable
from concordant.errors import UserError
from concordant.vote_cells import Cells, cells_of_wins, side_is_bounded

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Model:
    """What is fitted. Parameters stand in one vector (D,): M scores, the side's effect, T thresholds.

    Attributes:
        cells: where votes are counted.
        anchor: the model whose score is 0.
        side: whether the effect of the side is fitted; else it is 0.
    """

    cells: Cells
    anchor: int
    side: bool = False

    @property
    def size(self) -> int:
        """D."""
        return self.cells.models + 1 + self.cells.thresholds

    @property
    def free(self) -> NDArray[np.int64]:
        """Indices of the parameters that are fitted."""
        fixed = {self.anchor} | (set() if self.side else {self.cells.models})
        return np.array([index for index in range(self.size) if index not in fixed], dtype=np.int64)

    def is_bounded(self, votes: Array) -> NDArray[np.bool_]:
        """(...) whether the votes (..., S, C, P) have a finite fit."""
        good = placeable(self.cells.win_matrix(votes))
        if self.side:
            good = good & side_is_bounded(self.cells, votes)
        if self.cells.thresholds:
            sums = votes.sum(axis=(-3, -1))[..., 2:]
            good = good & (sums[..., 0::2] + sums[..., 1::2] > 0).all(axis=-1)
        return np.asarray(good)


def fit(model: Model, votes: Array, start: Array | None = None, prior_games: float = 0.0) -> Array:
    """Most likely parameters (..., D) for votes (..., S, C, P); leading axes are independent fits, done together.

    Args:
        model: what is fitted.
        votes: how many votes fell into each cell; fractions are allowed.
        start: (D,) parameters to begin at, where good ones are known.
        prior_games: virtual half-won games of every model against the anchor and of the left side, and as many in all,
            spread evenly, of every strength. 0 is the plain estimate; a little keeps a fit finite that has no bound.

    Raises:
        UserError: Newton's method fails, as it does where ``model.is_bounded`` is false and there is no prior.
    """
    start = first_guess(model, votes) if start is None else start
    if prior_games and model.cells.thresholds:
        spread = np.zeros(model.cells.shape)
        spread[:, 2:] = prior_games / spread[:, 2:].size
        votes = votes + spread
    found = np.broadcast_to(start, (*votes.shape[:-3], model.size)).copy()
    free, enough = model.free, 1e-10 * np.maximum(1.0, votes.sum(axis=(-1, -2, -3)))
    by_edge = _by_edge(model.cells, votes)
    for _ in range(200):
        gradient, information = _derivatives(model, votes, by_edge, found)
        _add_prior(model, prior_games, found, gradient, information)
        slope = gradient[..., free]
        if (np.abs(slope).max(axis=-1, initial=0.0) < enough).all():
            return found
        try:
            step = np.linalg.solve(information[..., free, :][..., :, free], slope[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break
        step = step / np.maximum(1.0, np.abs(step).max(axis=-1, keepdims=True) / 2)
        if model.cells.thresholds:
            step = step * _room(model, found, step)[..., None]
        found[..., free] += step
    raise UserError("the ratings do not converge: the votes are too lopsided; collect more comparisons")


def fit_scores(wins: Array, anchor: int, prior_games: float = 0.0) -> Array:
    """Most likely scores (..., M) for win matrices (..., M, M), with the anchor's at 0.

    Raises:
        UserError: some model won or lost all its games, and there is no prior.
    """
    if not prior_games and not placeable(wins).all():
        raise UserError("the ratings are not finite: some model won or lost all its games; collect more comparisons")
    cells, votes = cells_of_wins(wins)
    return fit(Model(cells, anchor), votes, prior_games=prior_games)[..., : cells.models]


def covariance(model: Model, votes: Array, found: Array) -> Array:
    """(D, D) inverse of the information, which takes every vote as independent; 0 where a parameter is fixed."""
    free, made = model.free, np.zeros((model.size, model.size))
    if len(free):
        information = derivatives(model, votes, found)[1]
        made[np.ix_(free, free)] = np.linalg.inv(information[np.ix_(free, free)])
    return made


def log_likelihood(model: Model, votes: Array, found: Array) -> Array:
    """(...) log of the probability of the votes (..., S, C, P) under parameters (..., D)."""
    below_low, below_high = _tails(model.cells, found)
    share = below_low - below_high
    return np.asarray((votes * np.log(np.where(votes > 0, share, 1.0))).sum(axis=(-1, -2, -3)))


def derivatives(model: Model, votes: Array, found: Array) -> tuple[Array, Array]:
    """(gradient (..., D), information (..., D, D)) of the log-likelihood, for all parameters, fixed ones too."""
    return _derivatives(model, votes, _by_edge(model.cells, votes), found)


def vote_slopes(model: Model, found: Array) -> Array:
    """(S, C, P) by how much one vote in a cell raises the log-likelihood per unit of the pair's gap."""
    above_low, above_high = _tails(model.cells, found)
    return np.asarray(1 - above_low - above_high)


def cluster_covariance(model: Model, by_cluster: Array, found: Array) -> Array:
    """(D, D) covariance of the scores and the side's effect for clusters of votes (W, S, C, P) that vary as wholes.

    The sandwich estimator with the factor W / (W − 1); W is at least 2. Thresholds of strength are not known to it.
    """
    cells = model.cells
    slopes = (by_cluster * vote_slopes(model, found)).sum(axis=-2)  # (W, S, P)
    pulls = np.zeros((len(by_cluster), model.size))
    # einsum keeps to one thread: threads that wait for each other cost more than a product this small
    pulls[:, : cells.models] = np.einsum("wp,pm->wm", slopes.sum(axis=-2), cells.incidence)
    pulls[:, cells.models] = slopes.sum(axis=-1) @ cells.sides
    spread = covariance(model, by_cluster.sum(axis=0), found)
    meat = np.einsum("wi,wj->ij", pulls, pulls) * len(by_cluster) / (len(by_cluster) - 1)
    return np.asarray(spread @ meat @ spread)


def first_guess(model: Model, votes: Array) -> Array:
    """(D,) equal scores, no side effect, thresholds as if all models were equal."""
    made, cells = np.zeros(model.size), model.cells
    if cells.thresholds:
        sums = votes.reshape(-1, *votes.shape[-3:]).sum(axis=(0, 1, 3))[2:]
        by_level = sums[0::2] + sums[1::2] + 0.5
        beyond = np.cumsum(by_level[::-1])[::-1][1:] / by_level.sum()  # of either side's votes, beyond τ_1, τ_2, …
        made[cells.models + 1 :] = np.log(2 - beyond) - np.log(beyond)
    return made


def _sigmoid(value: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(value, -500, 500))))


def _edges(cells: Cells, found: Array) -> Array:
    """(..., 2T + 1) the finite edges."""
    above = found[..., cells.models + 1 :]
    return np.concatenate([-above[..., ::-1], np.zeros((*found.shape[:-1], 1)), above], axis=-1)


def _above(model_cells: Cells, found: Array) -> Array:
    """(..., S, 2T + 1, P) chance to vote above each finite edge."""
    between = found[..., model_cells.first] - found[..., model_cells.second]
    gap = between[..., None, :] + model_cells.sides[:, None] * found[..., model_cells.models, None, None]
    if not model_cells.thresholds:
        return _sigmoid(gap)[..., None, :]
    return _sigmoid(gap[..., None, :] - _edges(model_cells, found)[..., None, :, None])


def _tails(cells: Cells, found: Array) -> tuple[Array, Array]:
    """(..., S, C, P) chance to vote above each category's lower edge, and above its upper edge."""
    above = _above(cells, found)
    ends = (*above.shape[:-2], 1, above.shape[-1])
    padded = np.concatenate([np.ones(ends), above, np.zeros(ends)], axis=-2)
    return padded[..., cells.low, :], padded[..., cells.high, :]


def _by_edge(cells: Cells, votes: Array) -> tuple[Array, Array]:
    """(..., S, 2T + 1, P) votes that end at each finite edge, and (..., S, P) those that reach up to ∞ or lie between.

    The gradient by the gap is a vote's 1 − P(above its lower edge) − P(above its upper edge), summed; so the second
    array counts 1 for each vote that has no lower edge at −∞.
    """
    finite = np.arange(1, 2 * cells.thresholds + 2)
    ends = (cells.low[:, None] == finite).astype(np.float64) + (cells.high[:, None] == finite)
    at_edge = np.moveaxis(np.tensordot(votes, ends, axes=(-2, 0)), -1, -2)
    return at_edge, votes[..., cells.low > 0, :].sum(axis=-2)


def _derivatives(model: Model, votes: Array, by_edge: tuple[Array, Array], found: Array) -> tuple[Array, Array]:
    cells, (at_edge, ones) = model.cells, by_edge
    m, size = cells.models, model.size
    above = _above(cells, found)
    slope = ones - (at_edge * above).sum(axis=-2)
    dense = above * (1 - above)
    curve = (at_edge * dense).sum(axis=-2)  # (..., S, P)
    incidence = cells.incidence
    gradient = np.zeros((*votes.shape[:-3], size))
    gradient[..., :m] = slope.sum(axis=-2) @ incidence
    gradient[..., m] = (slope.sum(axis=-1) * cells.sides).sum(axis=-1)
    information = np.zeros((*votes.shape[:-3], size, size))
    weight = curve.sum(axis=-2)
    information[..., cells.first, cells.second] = information[..., cells.second, cells.first] = -weight
    information[..., np.arange(m), np.arange(m)] = weight @ np.abs(incidence)
    crossed = (curve * cells.sides[:, None]).sum(axis=-2) @ incidence
    information[..., :m, m] = information[..., m, :m] = crossed
    information[..., m, m] = (curve.sum(axis=-1) * cells.sides**2).sum(axis=-1)
    if cells.thresholds:
        _add_thresholds(model, votes, at_edge, dense, (gradient, information))
        _add_threshold_curves(model, votes, found, dense, (gradient, information))
    return gradient, information


def _turn(cells: Cells) -> Array:
    """(2T + 1, T) how each finite edge moves with each threshold."""
    cut = cells.thresholds
    made = np.zeros((2 * cut + 1, cut))
    for index in range(cut):
        made[cut + 1 + index, index], made[cut - 1 - index, index] = 1, -1
    return made


def _add_thresholds(model: Model, votes: Array, at_edge: Array, dense: Array, into: tuple[Array, Array]) -> None:
    """Add the mixed derivatives by a gap and a threshold: each vote's density at the edge."""
    cells, (_, information) = model.cells, into
    m, turn = cells.models, _turn(cells)
    mixed = -np.moveaxis(at_edge * dense, -2, -1) @ turn  # (..., S, P, T)
    scores = np.moveaxis(mixed.sum(axis=-3), -1, -2) @ cells.incidence  # (..., T, M)
    information[..., m + 1 :, :m] = scores
    information[..., :m, m + 1 :] = np.moveaxis(scores, -1, -2)
    side = (mixed.sum(axis=-2) * cells.sides[:, None]).sum(axis=-2)
    information[..., m, m + 1 :] = information[..., m + 1 :, m] = side


def _add_threshold_curves(model: Model, votes: Array, found: Array, dense: Array, into: tuple[Array, Array]) -> None:
    """Add the derivatives by thresholds alone, category by category."""
    cells, (gradient, information) = model.cells, into
    turn, (above_low, above_high) = _turn(cells), _tails(cells, found)
    share = np.maximum(above_low - above_high, 1e-15)
    padding = [(0, 0)] * (dense.ndim - 2) + [(1, 1), (0, 0)]
    padded = np.pad(dense, padding)
    at_low, at_high = padded[..., cells.low, :] / share, padded[..., cells.high, :] / share
    edges = len(turn) + 2
    slope = np.zeros((*gradient.shape[:-1], edges))
    curve = np.zeros((*gradient.shape[:-1], edges, edges))

    def total(value: Array) -> Array:
        return np.asarray((votes * value).sum(axis=(-3, -1)))  # (..., C)

    parts = (
        (total(at_low), total(at_high)),
        (total(at_low**2 - at_low * (1 - 2 * above_low)), total(at_high**2 + at_high * (1 - 2 * above_high))),
        total(-at_low * at_high),
    )
    for c, (low, high) in enumerate(zip(cells.low, cells.high, strict=True)):
        slope[..., low] -= parts[0][0][..., c]
        slope[..., high] += parts[0][1][..., c]
        curve[..., low, low] += parts[1][0][..., c]
        curve[..., high, high] += parts[1][1][..., c]
        curve[..., low, high] += parts[2][..., c]
        curve[..., high, low] += parts[2][..., c]
    first = cells.models + 1
    gradient[..., first:] = slope[..., 1:-1] @ turn
    information[..., first:, first:] = turn.T @ curve[..., 1:-1, 1:-1] @ turn


def _add_prior(model: Model, games: float, found: Array, gradient: Array, information: Array) -> None:
    if not games:
        return
    m = model.cells.models
    chance = _sigmoid(found[..., : m + 1])
    gradient[..., : m + 1] += games * (0.5 - chance)
    diagonal = np.arange(m + 1)
    information[..., diagonal, diagonal] += games * chance * (1 - chance)


def _room(model: Model, found: Array, step: Array) -> Array:
    """(...) the part of a step, at most 1, after which thresholds still stand in order and above 0."""
    cut = model.cells.thresholds
    spacing = np.diff(found[..., -cut:], axis=-1, prepend=0.0)
    change = np.diff(step[..., -cut:], axis=-1, prepend=0.0)
    shrinking = np.where(change < 0, -0.9 * spacing / np.minimum(change, -1e-300), np.inf)
    return np.asarray(np.minimum(1.0, shrinking.min(axis=-1)))
