"""Elo ratings of models from judged pairs, with intervals that know that one worker judges many (paper §2.4, B.5).

Maximum likelihood over all pairs together, weakest choices left out, one model anchored at 0, as in the paper; the
effect of the side is fitted beside the ratings where it is known. How the paper's intervals are computed is not stated:
here by drawing workers anew (``board_draws``). Left out: ratings that change over time, ties.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, fit
from concordant.bradley_terry import Game, Rating, elo_from_gap, linked, unplaced, win_probability
from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.board_draws import Draws, How, draw
from concordant.evaluate.intervals import Share, share, wilson
from concordant.evaluate.lead import Lead, lead_of
from concordant.evaluate.votes import Codes, Counted, Votes, count, votes_from_games

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models that met: how often ``model_a`` won, and how often their ratings say it should."""

    model_a: str
    model_b: str
    wins_a: Share
    expected: float

    def json(self) -> dict[str, Any]:
        return {
            "model_a": self.model_a,
            "model_b": self.model_b,
            "n": self.wins_a.n,
            "win_rate": self.wins_a.value,
            "ci95": list(self.wins_a.ci95),
            "expected": self.expected,
        }


@dataclass(frozen=True, slots=True)
class Effect:
    """A parameter beside the ratings, in Elo."""

    elo: float
    ci95: Interval

    def json(self) -> dict[str, Any]:
        return {"elo": self.elo, "ci95": list(self.ci95)}


@dataclass(frozen=True, slots=True)
class Settings:
    """How a board is made.

    Attributes:
        anchor: the model at 0; None takes the one with the most games, of several the first by name.
        ordinal: whether strengths count, as a cumulative-logit model with thresholds that are the same to both sides.
        how: how the intervals are drawn.
    """

    anchor: str | None = None
    ordinal: bool = False
    how: How = field(default_factory=How)


@dataclass(frozen=True, slots=True)
class EloBoard:
    """Ratings from best to worst, and what they rest on.

    Attributes:
        ratings: one a model.
        anchor: the model at 0; its interval is (0, 0) by convention, and the others' are of the difference to it.
        n: games used.
        dropped: games left out, by reason.
        workers: how many people (or simulated workers) judged; 0 where no game says.
        conversations: how many conversations the games come from; 0 where no game says.
        interval_method: how the intervals were made, and where it is the weaker way, why.
        pairs: every two models that met.
        left_wins: share of games won by the reply shown on the left (½ is no side bias), where it is known.
        side_effect: what standing on the left is worth; None where it is not known, or not bounded by the games.
        thresholds: by strength, from the second on, how far a gap must reach to be called that strong; empty where
            strengths do not count.
        lead: the first over the second, and what would turn it round.
        fitted: what it was made of.
    """

    ratings: tuple[Rating, ...]
    anchor: str
    n: int
    dropped: Mapping[str, int]
    workers: int
    conversations: int
    interval_method: str
    pairs: tuple[Pair, ...]
    left_wins: Share | None
    side_effect: Effect | None
    thresholds: Mapping[int, Effect]
    lead: Lead
    fitted: "Fitted"

    def json(self) -> dict[str, Any]:
        """The object of ``evaluate elo --json``."""
        left = self.left_wins
        return {
            "ratings": [
                {
                    "model": rating.model,
                    "elo": rating.elo,
                    "ci95": list(rating.ci95),
                    "games": rating.games,
                    "rank": rating.rank,
                    "rank95": list(rating.rank95),
                }
                for rating in self.ratings
            ],
            "anchor": self.anchor,
            "n": self.n,
            "dropped": dict(self.dropped),
            "workers": self.workers,
            "conversations": self.conversations,
            "interval_method": self.interval_method,
            "win_rates": [pair.json() for pair in self.pairs],
            "left_wins": None if left is None else {"n": left.n, "share": left.value, "ci95": list(left.ci95)},
            "side_effect": None if self.side_effect is None else self.side_effect.json(),
            "strength_thresholds": {str(level): effect.json() for level, effect in self.thresholds.items()},
            "lead": self.lead.json(),
        }

    def win_rate(self, model: str, other: str) -> dict[str, Any]:
        """How often ``model`` beats ``other``: by the ratings, met or not, and in the games between them.

        Raises:
            UserError: a label that is not on the board, or twice the same.
        """
        names = self.fitted.votes.models
        for label in (model, other):
            if label not in names:
                raise UserError(f"model {label!r} is not among the models ({', '.join(names)}); name two of them")
        if model == other:
            raise UserError(f"{model!r} cannot be compared with itself; name two models")
        first, second = names.index(model), names.index(other)
        found = self.fitted.sure
        gap, (low, high) = found.estimate[first] - found.estimate[second], found.difference(first, second)
        won = _won(self.fitted.votes, first, second, found.cluster)
        return {
            "model_a": model,
            "model_b": other,
            "elo_difference": elo_from_gap(float(gap)),
            "elo_ci95": list(_elo_interval((low, high))),
            "win_rate": win_probability(float(gap)),
            "ci95": [win_probability(low), win_probability(high)],
            "games": 0 if won is None else won.n,
            "games_won": None if won is None else {"win_rate": won.value, "ci95": list(won.ci95)},
        }


@dataclass(frozen=True, slots=True)
class Fitted:
    """A board's votes, its model and its draws, for questions asked later."""

    votes: Votes
    counted: Counted
    model: Model
    sure: Draws


def games_from_preferences(preferences: Iterable[Preference]) -> list[Game]:
    """The judged pairs among preferences: replies of two models with different labels, the weakest strength left out.

    Side ``a`` of a stored preference is the reply that was shown on the left. The preferred reply is the better one for
    the preference's objective, so in red-team work the winner is the less harmful model. A worker's comparisons that
    begin with the same human turn count as one conversation.
    """
    games = []
    for preference in preferences:
        if preference.models is None or preference.models[0] == preference.models[1] or preference.is_weakest:
            continue
        left = preference.preferred == "a"
        winner, loser = preference.models if left else (preference.models[1], preference.models[0])
        talk = preference.prompt.split_key
        games.append(Game(winner, loser, preference.worker, left, preference.strength, talk))
    return games


def board(
    games: Sequence[Game] | Votes,
    anchor: str | None = None,
    dropped: Mapping[str, int] | None = None,
    settings: Settings | None = None,
) -> EloBoard:
    """Fit ratings to games.

    Args:
        games: judged pairs. Those that do not say who judged count as one worker together, which is the careful way.
        anchor: the model at 0; None takes the one of the settings.
        dropped: what was left out before, by reason; handed on.
        settings: how.

    Raises:
        UserError: no games, an unknown anchor, or models that the games cannot place; the message names them.
    """
    settings = settings or Settings()
    fitted = fit_board(games, anchor or settings.anchor, dropped, settings)
    votes, model, sure = fitted.votes, fitted.model, fitted.sure
    names, scores = votes.models, sure.estimate[: len(votes.models)]
    played = np.bincount(np.concatenate([votes.winner, votes.loser]), minlength=len(names))
    order = sorted(range(len(names)), key=lambda index: (-scores[index], names[index]))
    spans = sure.ranks(len(names))
    ratings = []
    for rank, index in enumerate(order, 1):
        elo, ci95 = elo_from_gap(float(scores[index])), _elo_interval(sure.interval(index))
        ratings.append(Rating(names[index], elo, ci95, int(played[index]), rank, spans[index]))
    return EloBoard(
        ratings=tuple(ratings),
        anchor=names[model.anchor],
        n=len(votes),
        dropped=dict(dropped or {}),
        workers=votes.named_workers,
        conversations=votes.conversations,
        interval_method=sure.method,
        pairs=_pairs(votes, fitted.counted, order, sure),
        left_wins=_left_wins(votes, sure.cluster),
        side_effect=_effect(sure, len(names)) if model.side else None,
        thresholds={
            level: _effect(sure, len(names) + 1 + index)
            for index, level in enumerate(model.cells.levels[1:] if model.cells.thresholds else ())
        },
        lead=lead_of(votes, fitted.counted, model, sure.estimate),
        fitted=fitted,
    )


def fit_board(
    games: Sequence[Game] | Votes, anchor: str | None, dropped: Mapping[str, int] | None, settings: Settings
) -> Fitted:
    """The fit and its draws; raises as ``board`` does."""
    votes = games if isinstance(games, Votes) else votes_from_games(games)
    if votes is not None and not settings.ordinal:
        votes = votes.without_weakest()
    if votes is None or not len(votes):
        left_out = "; ".join(f"{number:,} left out: {reason}" for reason, number in (dropped or {}).items())
        raise UserError(
            "no games to rate (pairs of two different models, with a clear choice"
            f"{'; ' + left_out if left_out else ''}); collect comparisons"
        )
    counted, names = count(votes, settings.ordinal), votes.models
    wins = counted.cells.win_matrix(counted.votes)
    if anchor is None:
        anchor = names[int((wins + wins.T).sum(axis=1).argmax())]
    if anchor not in names:
        raise UserError(f"anchor {anchor!r} is not among the models ({', '.join(names)}); name one of them")
    _refuse_unplaced(wins, list(names))
    plain = Model(counted.cells, names.index(anchor))
    with_side = Model(counted.cells, names.index(anchor), side=True)
    known = bool(counted.cells.sides.any())
    model = with_side if known and with_side.is_bounded(counted.votes) else plain
    estimate = fit(model, counted.votes)
    return Fitted(votes, counted, model, draw(model, votes, counted, estimate, settings.how))


def _effect(sure: Draws, index: int) -> Effect:
    return Effect(elo_from_gap(float(sure.estimate[index])), _elo_interval(sure.interval(index)))


def _elo_interval(scores: Interval) -> Interval:
    return elo_from_gap(scores[0]), elo_from_gap(scores[1])


def _won(votes: Votes, model: int, other: int, cluster: Codes) -> Share | None:
    """How often ``model`` won the games between the two; None where there was none."""
    met = ((votes.winner == model) & (votes.loser == other)) | ((votes.winner == other) & (votes.loser == model))
    return share((votes.winner[met] == model).astype(np.float64), cluster[met]) if met.any() else None


def _pairs(votes: Votes, counted: Counted, order: list[int], sure: Draws) -> tuple[Pair, ...]:
    """Every two models that met, the better one first."""
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    better = np.minimum(rank[votes.winner], rank[votes.loser])
    key = better * len(order) + np.maximum(rank[votes.winner], rank[votes.loser])
    credit = (rank[votes.winner] == better).astype(np.float64)
    by_key = np.argsort(key, kind="stable")
    begins = np.flatnonzero(np.diff(key[by_key], prepend=-1))
    pairs = []
    for chunk in np.split(by_key, begins[1:]):
        a, b = (order[place] for place in divmod(int(key[chunk[0]]), len(order)))
        gap = float(sure.estimate[a] - sure.estimate[b])
        won = share(credit[chunk], sure.cluster[chunk])
        pairs.append(Pair(votes.models[a], votes.models[b], won, win_probability(gap)))
    return tuple(pairs)


def _left_wins(votes: Votes, cluster: Codes) -> Share | None:
    known = votes.side != 0
    return share((votes.side[known] > 0).astype(np.float64), cluster[known]) if known.any() else None


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
