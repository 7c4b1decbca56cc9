"""A board that takes one vote at a time and is right after each: for watching a comparison while people vote.

Counts are kept, not votes, and each fit begins at the last, so a vote costs milliseconds (paper §2.4, B.5). Intervals
are of the sandwich kind with whole workers as units; ``evaluate elo`` draws workers anew instead. Left out: strengths,
intervals of ranks.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, cluster_covariance, fit
from concordant.bradley_terry import Game, elo_from_gap, interval95, linked, win_probability
from concordant.vote_cells import FIRST_WON, SECOND_WON, Cells

FEWEST_WORKERS = 5
"""Below this many there are no intervals."""


@dataclass(frozen=True, slots=True)
class LiveRating:
    """A model's place now.

    Attributes:
        model: its label.
        elo: points above the anchor.
        error: standard error of ``elo`` with workers as units; None of the anchor, and while too few workers voted.
        games: how many votes it took part in.
    """

    model: str
    elo: float
    error: float | None
    games: int


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two models.

    Attributes:
        wins: how often the first beat the second, and the other way round.
        win_rate: how often the first would win with both as often on the left, by the ratings.
        ci95: interval of ``win_rate`` with workers as units; None while too few voted, or the votes place not all.
    """

    wins: tuple[int, int]
    win_rate: float
    ci95: tuple[float, float] | None


Vote = tuple[str, str, int, str | None]
"""(winner, loser, 1: the winner stood on the left, −1: on the right, 0: not known, worker)."""


class LiveBoard:
    """Ratings after every vote.

    Attributes:
        is_settled: whether the votes place every model. Until they do, one half-won game of each with the anchor, and
            of the left side, keeps the ratings finite.
    """

    def __init__(self, anchor: str, models: Sequence[str] = ()) -> None:
        """
        Args:
            anchor: the model at 0.
            models: others that will meet; more may come with their votes.
        """
        self.is_settled = False
        self._models = [anchor, *(model for model in dict.fromkeys(models) if model != anchor)]
        self._workers: list[str | None] = []
        self._seen: Counter[tuple[str, str, int, str | None]] = Counter()
        self._arrange()

    def vote(self, game: Game) -> None:
        """Count one vote and fit again.

        Raises:
            ValueError: a model against itself.
        """
        if game.winner == game.loser:
            raise ValueError(f"{game.winner!r} cannot beat itself")
        side = 0 if game.winner_left is None else 1 if game.winner_left else -1
        self._seen[game.winner, game.loser, side, game.worker] += 1
        new_models = [label for label in (game.winner, game.loser) if label not in self._place]
        if new_models or game.worker not in self._workers:
            self._models += new_models
            self._workers += [] if game.worker in self._workers else [game.worker]
            self._arrange()
        else:
            self._count(game.winner, game.loser, side, game.worker, 1)
        self._fit()

    def count(self, votes: Mapping[Vote, int]) -> None:
        """Count many votes, each so many times (below 0: take some back), and fit once.

        Raises:
            ValueError: a model against itself, or more votes taken back than there were.
        """
        for vote, times in votes.items():
            if vote[0] == vote[1]:
                raise ValueError(f"{vote[0]!r} cannot beat itself")
            self._seen[vote] += times
            if self._seen[vote] < 0:
                raise ValueError(f"{vote} was taken back more often than it was counted")
        self._models = list(dict.fromkeys([*self._models, *(label for vote in votes for label in vote[:2])]))
        self._workers = sorted({vote[3] for vote, times in self._seen.items() if times}, key=lambda name: name or "")
        self._arrange()
        self._fit()

    def meeting(self, model: str, other: str) -> Meeting:
        """Two models of the board against each other."""
        a, b = self._place[model], self._place[other]
        wins = self._cells.win_matrix(self._total)
        gap = float(self._found[a] - self._found[b])
        covariance = self._covariance()
        ends = None
        if covariance is not None:
            variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
            ends = interval95(gap, float(np.sqrt(max(variance, 0.0))))
        return Meeting(
            wins=(int(wins[a, b]), int(wins[b, a])),
            win_rate=win_probability(gap),
            ci95=None if ends is None else (win_probability(ends[0]), win_probability(ends[1])),
        )

    @property
    def groups(self) -> list[list[str]]:
        """Models that games link, directly or through others; between two groups nothing can be said."""
        wins = self._cells.win_matrix(self._total)
        return [[self._models[index] for index in group] for group in linked(wins)]

    @property
    def workers(self) -> int:
        """How many voted."""
        return len(self._workers)

    def _covariance(self) -> NDArray[np.float64] | None:
        """(D, D) of the parameters; None while too few voted, or the votes place not all."""
        if not self.is_settled or len(self._workers) < FEWEST_WORKERS:
            return None
        return cluster_covariance(self._model, self._votes, self._found)

    def ratings(self) -> list[LiveRating]:
        """From best to worst."""
        covariance = self._covariance()
        errors = None if covariance is None else np.sqrt(np.diag(covariance))
        wins = self._cells.win_matrix(self._total)
        games = (wins + wins.T).sum(axis=1)
        made = [
            LiveRating(
                model=model,
                elo=elo_from_gap(float(self._found[index])),
                error=None if errors is None or index == 0 else elo_from_gap(float(errors[index])),
                games=int(games[index]),
            )
            for index, model in enumerate(self._models)
        ]
        return sorted(made, key=lambda rating: (-rating.elo, rating.model))

    @property
    def side_effect(self) -> float:
        """Elo that standing on the left is worth."""
        return elo_from_gap(float(self._found[len(self._models)]))

    def _arrange(self) -> None:
        """Make room for every model and worker that was seen."""
        number = len(self._models)
        first, second = np.triu_indices(number, 1)
        self._cells = Cells(number, first, second, np.array([1.0, -1.0, 0.0]))
        self._place = {model: index for index, model in enumerate(self._models)}
        self._pair = {(int(a), int(b)): index for index, (a, b) in enumerate(zip(first, second, strict=True))}
        self._votes = np.zeros((len(self._workers), *self._cells.shape))
        self._total = np.zeros(self._cells.shape)
        self._row = {worker: index for index, worker in enumerate(self._workers)}
        for (winner, loser, side, worker), times in self._seen.items():
            if times:
                self._count(winner, loser, side, worker, times)
        self._model = Model(self._cells, 0, side=True)
        self._found = np.zeros(self._model.size)

    def _count(self, winner: str, loser: str, side: int, worker: str | None, times: int) -> None:
        a, b = self._place[winner], self._place[loser]
        cell = (
            {1: 0, -1: 1, 0: 2}[side if a < b else -side],
            FIRST_WON if a < b else SECOND_WON,
            self._pair[min(a, b), max(a, b)],
        )
        self._votes[self._row[worker], *cell] += times
        self._total[cell] += times

    def _fit(self) -> None:
        side = bool(self._total[:2].any())
        sided = Model(self._cells, 0, side=True)
        self._model = sided if side and sided.is_bounded(self._total) else Model(self._cells, 0)
        self.is_settled = bool(self._model.is_bounded(self._total))
        if not self._model.side:
            self._found[len(self._models)] = 0.0
        self._found = fit(self._model, self._total, self._found, 0.0 if self.is_settled else 1.0)
