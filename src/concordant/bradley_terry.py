"""The law that ties everything together: score gap ⇄ win probability ⇄ Elo (paper §2.4, eq. 2.1, 4.2, B.1).

P(A beats B) = 1 / (1 + e^(r_B − r_A)), and one unit of score is 400 / ln 10 ≈ 173.7 Elo. The paper prints eq. 2.1 with
the sign of the gap reversed; the form here is the unambiguous one of B.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concordant.errors import UserError

ELO_PER_UNIT = 400 / math.log(10)
"""Elo points per unit of score (≈ 173.72)."""

_NORMAL_95 = 1.959963984540054


def win_probability(gap: float) -> float:
    """P(A beats B) for the score gap r_A − r_B; accurate for gaps of any size."""
    if gap >= 0:
        return 1 / (1 + math.exp(-gap))
    power = math.exp(gap)
    return power / (1 + power)


def gap_from_probability(probability: float) -> float:
    """The score gap at which A beats B with this probability.

    Raises:
        ValueError: the probability is not strictly between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"a win probability of {probability!r} has no finite score gap; it must lie between 0 and 1")
    return math.log(probability) - math.log1p(-probability)


def elo_from_gap(gap: float) -> float:
    return gap * ELO_PER_UNIT


def gap_from_elo(elo: float) -> float:
    return elo / ELO_PER_UNIT


@dataclass(frozen=True, slots=True)
class Game:
    """One judged pair: ``winner`` beat ``loser``.

    Attributes:
        winner: label of the model whose reply was preferred.
        loser: label of the other one.
        worker: who judged, None where it is not known.
        winner_left: whether the winner's reply was the one shown on the left, None where it is not known.
    """

    winner: str
    loser: str
    worker: str | None = None
    winner_left: bool | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """A model's place on the board.

    Attributes:
        model: its label.
        elo: points above the anchor, which stands at 0.
        ci95: interval of ``elo``; (0, 0) for the anchor, whose place is a convention.
        games: how many judged pairs it took part in.
    """

    model: str
    elo: float
    ci95: tuple[float, float]
    games: int


def win_matrix(games: Sequence[Game], models: Sequence[str]) -> NDArray[np.float64]:
    """(M, M) counts: entry [i, j] is how often ``models[i]`` beat ``models[j]``."""
    place = {model: index for index, model in enumerate(models)}
    wins = np.zeros((len(models), len(models)))
    for game in games:
        wins[place[game.winner], place[game.loser]] += 1
    return wins


def fit_scores(wins: NDArray[np.float64], anchor: int, prior_games: float = 0.0) -> NDArray[np.float64]:
    """Maximum-likelihood scores (..., M) for win matrices (..., M, M), with the anchor's at 0, by Newton's method.

    The likelihood is concave once the anchor is fixed; a step of at most 2 units keeps Newton on its way up. Leading
    axes are independent fits (the replicates of a bootstrap), done together.

    Args:
        wins: (..., M, M) win counts.
        anchor: index of the model that stands at 0.
        prior_games: virtual half-won games of every model against the anchor. 0 is the plain estimate; a small value
            keeps a bootstrap replicate finite in which one side happened to win everything.

    Raises:
        UserError: some model cannot be placed (``unplaced``) and there is no prior, or Newton's method fails.
    """
    if not prior_games and not placeable(wins).all():
        raise UserError("the ratings are not finite: some model won or lost all its games; collect more comparisons")
    models = wins.shape[-1]
    wins = wins.astype(np.float64)
    others = np.arange(models) != anchor
    if prior_games:
        wins[..., others, anchor] += prior_games / 2
        wins[..., anchor, others] += prior_games / 2
    played = wins + np.swapaxes(wins, -1, -2)
    scores = np.zeros(wins.shape[:-1])
    small_enough = 1e-10 * np.maximum(1.0, played.sum(axis=(-1, -2)))
    for _ in range(200):
        chance = _chances(scores)
        gradient = (wins - played * chance).sum(axis=-1)[..., others]
        if (np.abs(gradient).max(axis=-1, initial=0.0) < small_enough).all():
            return scores
        information = _information(played, chance)[..., others, :][..., :, others]
        try:
            step = np.linalg.solve(information, gradient[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break
        scores[..., others] += step / np.maximum(1.0, np.abs(step).max(axis=-1, keepdims=True) / 2)
    raise UserError("the ratings do not converge: the wins are too lopsided; collect more comparisons")


def _chances(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., M, M) P(i beats j)."""
    gap = np.clip(scores[..., :, None] - scores[..., None, :], -500, 500)
    return np.asarray(1 / (1 + np.exp(-gap)))


def _information(played: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., M, M) Fisher information of the scores."""
    weight = played * chance * np.swapaxes(chance, -1, -2)
    return np.asarray(weight.sum(axis=-1)[..., None] * np.eye(played.shape[-1]) - weight)


def _reach(links: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(..., M, M) whether a path of links leads from i to j; every model reaches itself."""
    reach = links | np.eye(links.shape[-1], dtype=bool)
    for middle in range(links.shape[-1]):
        reach = reach | (reach[..., :, middle, None] & reach[..., None, middle, :])
    return reach


def placeable(wins: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(...) whether every model of a win matrix (..., M, M) has a finite rating: "beat" links each to each other."""
    return np.asarray(_reach(wins > 0).all(axis=(-1, -2)))


def linked(wins: NDArray[np.float64]) -> list[list[int]]:
    """Groups of models (M, M) that games link, directly or through others, whoever won."""
    reach = _reach((wins + wins.T) > 0)
    return [np.flatnonzero(row).tolist() for index, row in enumerate(reach) if int(np.flatnonzero(row)[0]) == index]


def unplaced(wins: NDArray[np.float64]) -> list[tuple[list[int], list[int]]]:
    """Ways to cut the models in two so that one part never lost to the other: what keeps ratings from being finite.

    Empty where every model can be placed (the graph "beat" is strongly connected). Else one (winners, rest) per
    strongly connected part that has no incoming win.
    """
    reach = _reach(wins > 0)
    if reach.all():
        return []
    cuts = []
    for index in range(len(wins)):
        mutual = reach[index] & reach[:, index]
        beaten_by_outside = (reach[:, index] & ~mutual).any()
        if not beaten_by_outside and index == int(np.flatnonzero(mutual)[0]):
            winners = np.flatnonzero(mutual).tolist()
            cuts.append((winners, [other for other in range(len(wins)) if other not in winners]))
    return cuts


def standard_errors(wins: NDArray[np.float64], scores: NDArray[np.float64], anchor: int) -> NDArray[np.float64]:
    """(M,) standard errors of the scores from the Fisher information, which takes every game as independent.

    They ignore that one worker makes many comparisons; ``evaluate/elo.py`` bootstraps over workers instead.
    """
    free = [index for index in range(len(wins)) if index != anchor]
    errors = np.zeros(len(wins))
    if free:
        information = _information(wins + wins.T, _chances(scores))[np.ix_(free, free)]
        errors[free] = np.sqrt(np.diag(np.linalg.inv(information)))
    return errors


def interval95(value: float, error: float) -> tuple[float, float]:
    """value ± 1.96 standard errors."""
    return value - _NORMAL_95 * error, value + _NORMAL_95 * error
