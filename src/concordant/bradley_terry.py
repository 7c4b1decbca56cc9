"""The law that ties everything together: score gap ⇄ win probability ⇄ Elo (paper §2.4, eq. 2.1, 4.2, B.1).

P(A beats B) = 1 / (1 + e^(r_B − r_A)), and one unit of score is 400 / ln 10 ≈ 173.7 Elo. The paper prints eq. 2.1 with
the sign of the gap reversed; the form here is the unambiguous one of B.1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
        strength: 1 (weakest) to 4 (strongest), None where it is not known.
        conversation: which of the worker's conversations it comes from, None where it is not known.
    """

    winner: str
    loser: str
    worker: str | None = None
    winner_left: bool | None = None
    strength: int | None = None
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """A model's place on the board.

    Attributes:
        model: its label.
        elo: points above the anchor, which stands at 0.
        ci95: interval of ``elo``; (0, 0) for the anchor, whose place is a convention.
        games: how many judged pairs it took part in.
        rank: its place, 1 for the best.
        rank95: interval of its place.
    """

    model: str
    elo: float
    ci95: tuple[float, float]
    games: int
    rank: int
    rank95: tuple[int, int]


def win_matrix(games: Sequence[Game], models: Sequence[str]) -> NDArray[np.float64]:
    """(M, M) counts: entry [i, j] is how often ``models[i]`` beat ``models[j]``."""
    place = {model: index for index, model in enumerate(models)}
    wins = np.zeros((len(models), len(models)))
    for game in games:
        wins[place[game.winner], place[game.loser]] += 1
    return wins


def _reach(links: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(..., M, M) whether a path of links leads from i to j; every model reaches itself."""
    reach = links | np.eye(links.shape[-1], dtype=bool)
    length = 1
    while length < links.shape[-1]:  # paths of up to ``length`` links; a product of two of them doubles it
        step = reach.astype(np.float32)
        reach, length = np.matmul(step, step) > 0, 2 * length
    return np.asarray(reach)


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


def interval95(value: float, error: float) -> tuple[float, float]:
    """value ± 1.96 standard errors."""
    return value - _NORMAL_95 * error, value + _NORMAL_95 * error
