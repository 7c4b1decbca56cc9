"""Elo ratings of models from judged pairs, with intervals that know that one worker judges many (paper §2.4, B.5).

Maximum likelihood over all pairs together, weakest choices left out, one model anchored at 0, as in the paper. How the
paper's intervals are computed is not stated: here a bootstrap over workers (about 20 people made 80 % of its data, so
games are far from independent). Left out: ratings that change over time, ties.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.bradley_terry import (
    Game,
    Rating,
    elo_from_gap,
    fit_scores,
    interval95,
    linked,
    placeable,
    standard_errors,
    unplaced,
    win_matrix,
    win_probability,
)
from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.intervals import Share, share, t95, wilson

FEWEST_WORKERS = 5
"""Below this many, resampling workers says nothing about other workers."""

REPLICATES = 2000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that met: how often ``model_a`` won, and how often their ratings say it should."""

    model_a: str
    model_b: str
    wins_a: Share
    expected: float


@dataclass(frozen=True, slots=True)
class EloBoard:
    """Ratings from best to worst, and what they rest on.

    Attributes:
        ratings: one a model.
        anchor: the model at 0; its interval is (0, 0) by convention, and the others' are of the difference to it.
        n: games used.
        dropped: games left out, by reason.
        workers: how many people (or simulated workers) judged; 0 where no game says.
        interval_method: how the intervals were made, and where it is the weaker way, why.
        pairs: every two models that met.
        left_wins: share of games won by the reply shown on the left (½ is no side bias), where it is known.
    """

    ratings: tuple[Rating, ...]
    anchor: str
    n: int
    dropped: Mapping[str, int]
    workers: int
    interval_method: str
    pairs: tuple[Pair, ...]
    left_wins: Share | None

    def json(self) -> dict[str, Any]:
        """The object of ``evaluate elo --json``."""
        return {
            "ratings": [
                {"model": rating.model, "elo": rating.elo, "ci95": list(rating.ci95), "games": rating.games}
                for rating in self.ratings
            ],
            "anchor": self.anchor,
            "n": self.n,
            "dropped": dict(self.dropped),
            "workers": self.workers,
            "interval_method": self.interval_method,
            "win_rates": [
                {
                    "model_a": pair.model_a,
                    "model_b": pair.model_b,
                    "n": pair.wins_a.n,
                    "win_rate": pair.wins_a.value,
                    "ci95": list(pair.wins_a.ci95),
                    "expected": pair.expected,
                }
                for pair in self.pairs
            ],
            "left_wins": None
            if self.left_wins is None
            else {"n": self.left_wins.n, "share": self.left_wins.value, "ci95": list(self.left_wins.ci95)},
        }


def games_from_preferences(preferences: Iterable[Preference]) -> list[Game]:
    """The judged pairs among preferences: replies of two models with different labels, the weakest strength left out.

    Side ``a`` of a stored preference is the reply that was shown on the left. The preferred reply is the better one for
    the preference's objective, so in red-team work the winner is the less harmful model.
    """
    games = []
    for preference in preferences:
        if preference.models is None or preference.models[0] == preference.models[1] or preference.is_weakest:
            continue
        left = preference.preferred == "a"
        winner, loser = preference.models if left else (preference.models[1], preference.models[0])
        games.append(Game(winner, loser, preference.worker, winner_left=left))
    return games


def board(
    games: Sequence[Game],
    anchor: str | None = None,
    dropped: Mapping[str, int] | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> EloBoard:
    """Fit ratings to games.

    Args:
        games: judged pairs. Those that do not say who judged count as one worker together, which is the careful way.
        anchor: the model at 0; None takes the one with the most games, of several the first by name.
        dropped: what was left out before, by reason; handed on.
        replicates: how many times the workers are drawn anew for the intervals.
        seed: of those draws.

    Raises:
        UserError: no games, an unknown anchor, or models that the games cannot place; the message names them.
    """
    if not games:
        raise UserError("no games to rate (pairs of two different models, with a clear choice); collect comparisons")
    models = sorted({label for game in games for label in (game.winner, game.loser)})
    wins = win_matrix(games, models)
    played = (wins + wins.T).sum(axis=1)
    if anchor is None:
        anchor = models[int(played.argmax())]
    if anchor not in models:
        raise UserError(f"anchor {anchor!r} is not among the models ({', '.join(models)}); name one of them")
    _refuse_unplaced(wins, models)
    zero = models.index(anchor)
    scores = fit_scores(wins, zero)
    workers = {game.worker for game in games}
    weaker = _why_not_by_worker(workers)
    if weaker:
        method = f"Fisher information, which takes games as independent and is too narrow: {weaker}"
        intervals = _by_information(wins, scores, zero)
        judge = [str(index) for index in range(len(games))]
    else:
        intervals, method = _by_worker(games, models, zero, replicates, seed)
        judge = [game.worker or "" for game in games]
    ratings = [
        Rating(model, elo_from_gap(float(scores[index])), _elo_interval(intervals[index]), int(played[index]))
        for index, model in enumerate(models)
    ]
    return EloBoard(
        ratings=tuple(sorted(ratings, key=lambda rating: (-rating.elo, rating.model))),
        anchor=anchor,
        n=len(games),
        dropped=dict(dropped or {}),
        workers=len(workers - {None}),
        interval_method=method,
        pairs=_pairs(games, judge, dict(zip(models, scores.tolist(), strict=True))),
        left_wins=_left_wins(games, judge),
    )


def _elo_interval(scores: tuple[float, float]) -> tuple[float, float]:
    return elo_from_gap(scores[0]), elo_from_gap(scores[1])


def _why_not_by_worker(workers: set[str | None]) -> str:
    """Why the intervals cannot be made by resampling workers, or ""."""
    if workers == {None}:
        return "no game says who judged it"
    if len(workers) < FEWEST_WORKERS:
        return f"{len(workers)} worker{'s' * (len(workers) > 1)} judged, and resampling needs {FEWEST_WORKERS}"
    return ""


def _by_information(wins: NDArray[np.float64], scores: NDArray[np.float64], anchor: int) -> list[tuple[float, float]]:
    """95 % intervals of the scores from the curvature of the likelihood."""
    errors = standard_errors(wins, scores, anchor)
    return [interval95(float(score), float(error)) for score, error in zip(scores, errors, strict=True)]


def _by_worker(
    games: Sequence[Game], models: list[str], anchor: int, replicates: int, seed: int
) -> tuple[list[tuple[float, float]], str]:
    """95 % intervals of the scores by drawing whole workers with replacement; and the method in words.

    The percentiles are taken further out than 2.5 and 97.5 by the factor √(W/(W−1)) · t/z, because W workers drawn from
    W workers vary too little (the "expanded percentile" interval of Hesterberg 2015).
    """
    by_worker: dict[str, list[Game]] = {}
    for game in games:
        by_worker.setdefault(game.worker or "", []).append(game)
    wins = np.stack([win_matrix(by_worker[worker], models) for worker in sorted(by_worker)])
    number = len(wins)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=replicates)
    resampled = np.einsum("rw,wij->rij", drawn.astype(np.float64), wins)
    finite = placeable(resampled)
    method = f"bootstrap over {number} workers, {replicates} draws"
    scores = np.zeros((replicates, len(models)))
    if finite.any():
        scores[finite] = fit_scores(resampled[finite], anchor)
    if not finite.all():
        scores[~finite] = fit_scores(resampled[~finite], anchor, prior_games=1.0)
        method += f" ({int((~finite).sum())} one-sided, kept finite by one half-won game of each model with the anchor)"
    tail = 100 * NormalDist().cdf(-((number / (number - 1)) ** 0.5) * t95(number - 1))
    low, high = np.percentile(scores, [tail, 100 - tail], axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True)), method


def _pairs(games: Sequence[Game], judge: list[str], score: Mapping[str, float]) -> tuple[Pair, ...]:
    """Every two models that met, the better one first."""
    met: dict[tuple[str, str], list[int]] = {}
    rank = {model: place for place, model in enumerate(sorted(score, key=lambda model: (-score[model], model)))}
    for index, game in enumerate(games):
        a, b = sorted((game.winner, game.loser), key=rank.__getitem__)
        met.setdefault((a, b), []).append(index)
    pairs = []
    for a, b in sorted(met, key=lambda pair: (rank[pair[0]], rank[pair[1]])):
        credit = np.array([float(games[index].winner == a) for index in met[a, b]])
        won = share(credit, [judge[index] for index in met[a, b]])
        pairs.append(Pair(a, b, won, win_probability(score[a] - score[b])))
    return tuple(pairs)


def _left_wins(games: Sequence[Game], judge: list[str]) -> Share | None:
    known = [index for index, game in enumerate(games) if game.winner_left is not None]
    if not known:
        return None
    return share(np.array([float(bool(games[index].winner_left)) for index in known]), [judge[i] for i in known])


def _refuse_unplaced(wins: NDArray[np.float64], models: list[str]) -> None:
    """Raise one line that names the models which the games cannot place."""
    groups = linked(wins)
    if len(groups) > 1:
        parts = " and ".join(_names([models[index] for index in group]) for group in groups)
        raise UserError(f"no game links {parts}, so they cannot be placed on one board; collect games between them")
    for best, rest in unplaced(wins):
        won = int(wins[np.ix_(best, rest)].sum())
        winners, losers = (_names([models[index] for index in part]) for part in (best, rest))
        least = f"a win rate of at least {100 * wilson(1.0, float(won))[0]:.0f} %"
        raise UserError(
            f"{winners} won all {won} games against {losers}, so the gap has no finite Elo ({least} is all that can be "
            "said); collect more games between them, or leave one side out"
        )


def _names(models: list[str]) -> str:
    shown = ", ".join(repr(model) for model in models[:5])
    return shown if len(models) <= 5 else f"{shown} and {len(models) - 5} more"
