"""A board that takes one vote at a time and is right after each: for watching a comparison while people vote.

Counts are kept, not votes, and each fit begins at the last, so a vote costs milliseconds (paper §2.4, B.5). Intervals
are of the sandwich kind with whole workers as units; ``evaluate elo`` draws workers anew instead. Left out: strengths,
intervals of ranks, taking a vote back.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, cluster_covariance, fit
from concordant.bradley_terry import Game, elo_from_gap
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

    def ratings(self) -> list[LiveRating]:
        """From best to worst."""
        errors: NDArray[np.float64] | None = None
        if self.is_settled and len(self._workers) >= FEWEST_WORKERS:
            errors = np.sqrt(np.diag(cluster_covariance(self._model, self._votes, self._found)))
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
        for (winner, loser, side, worker), times in self._seen.items():
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
        self._votes[self._workers.index(worker), *cell] += times
        self._total[cell] += times

    def _fit(self) -> None:
        side = bool(self._total[:2].any())
        sided = Model(self._cells, 0, side=True)
        self._model = sided if side and sided.is_bounded(self._total) else Model(self._cells, 0)
        self.is_settled = bool(self._model.is_bounded(self._total))
        if not self._model.side:
            self._found[len(self._models)] = 0.0
        self._found = fit(self._model, self._total, self._found, 0.0 if self.is_settled else 1.0)
