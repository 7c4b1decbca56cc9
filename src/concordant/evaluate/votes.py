"""Judged pairs as columns, with who judged and in which conversation, and their counts by cell (paper §2.4).

A board rests on counts alone; its intervals rest on counts by worker, because about 20 people made 80 % of the paper's
data. Both are made here without a loop over votes. Left out: the fit (``board_fit``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from concordant.bradley_terry import Game
from concordant.comparison import WEAKEST
from concordant.vote_cells import FIRST_WON, SECOND_WON, Cells, join_levels

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Votes:
    """N judged pairs of two different models.

    Attributes:
        models: labels in order; every one occurs.
        winner: (N,) index of the model whose reply was preferred.
        loser: (N,) index of the other one.
        side: (N,) +1: the winner's reply was shown on the left, −1: on the right, 0: not known.
        strength: (N,) 1 (weakest) to 4 (strongest), 0: not known.
        worker: (N,) index into ``workers``.
        workers: who judged, in order; None stands for all who are not known, together.
        conversation: (N,) which conversation, each worker's apart; None where no vote says. Votes of one worker that do
            not say count as one conversation, which is the careful way.
    """

    models: tuple[str, ...]
    winner: Codes
    loser: Codes
    side: Codes
    strength: Codes
    worker: Codes
    workers: tuple[str | None, ...]
    conversation: Codes | None = None

    def __len__(self) -> int:
        return len(self.winner)

    @property
    def named_workers(self) -> int:
        return sum(worker is not None for worker in self.workers)

    @property
    def conversations(self) -> int:
        """How many there are; 0 where no vote says."""
        return 0 if self.conversation is None else int(self.conversation.max(initial=-1)) + 1

    def only(self, kept: NDArray[np.bool_]) -> "Votes":
        """The votes that are kept, with the models and workers that occur in them."""
        models, pairs = np.unique(np.concatenate([self.winner[kept], self.loser[kept]]), return_inverse=True)
        workers, worker = np.unique(self.worker[kept], return_inverse=True)
        conversation = None if self.conversation is None else np.unique(self.conversation[kept], return_inverse=True)[1]
        winner, loser = np.split(pairs, 2)
        return Votes(
            models=tuple(self.models[index] for index in models),
            winner=winner,
            loser=loser,
            side=self.side[kept],
            strength=self.strength[kept],
            worker=worker,
            workers=tuple(self.workers[index] for index in workers),
            conversation=conversation,
        )

    def without_weakest(self) -> "Votes":
        """The votes of a clear choice (§2.2), and those that do not say how clear it was."""
        weak = self.strength == WEAKEST
        return self.only(~weak) if weak.any() else self


@dataclass(frozen=True, slots=True)
class Kind:
    """What many votes share."""

    winner: str
    loser: str
    side: int
    strength: int
    objective: str = ""


class VoteTable:
    """Collects votes row by row, quickly: rows of one kind share one object."""

    def __init__(self) -> None:
        self._kinds: dict[Kind, int] = {}
        self._kind: list[int] = []
        self._workers: dict[str | None, int] = {}
        self._worker: list[int] = []
        self._talks: dict[tuple[int, str], int] = {}
        self._talk: list[int] = []

    def kind(self, kind: Kind) -> int:
        """The number of a kind, for ``add``."""
        return self._kinds.setdefault(kind, len(self._kinds))

    def add(self, kind: int, worker: str | None, conversation: str) -> None:
        """One vote; an empty conversation is one that is not known."""
        number = self._workers.setdefault(worker, len(self._workers))
        self._kind.append(kind)
        self._worker.append(number)
        self._talk.append(self._talks.setdefault((number, conversation), len(self._talks)))

    def votes(self) -> Mapping[str, Votes]:
        """Votes by objective, in the order of the objectives' names; their order follows names, not rows."""
        kinds = list(self._kinds)
        models = sorted({label for kind in kinds for label in (kind.winner, kind.loser)})
        objectives = sorted({kind.objective for kind in kinds})
        place = {label: index for index, label in enumerate(models)}
        rows = [
            (place[kind.winner], place[kind.loser], kind.side, kind.strength, objectives.index(kind.objective))
            for kind in kinds
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 5)[np.array(self._kind, dtype=np.int64)]
        names = list(self._workers)
        by_name = sorted(range(len(names)), key=lambda number: _last_if_none(names[number]))
        talks = list(self._talks)
        worker_place = _places(by_name)
        of_worker = worker_place[[number for number, _ in talks]].tolist() if talks else []
        by_talk = sorted(range(len(talks)), key=lambda talk: (of_worker[talk], talks[talk][1]))
        whole = Votes(
            models=tuple(models),
            winner=table[:, 0],
            loser=table[:, 1],
            side=table[:, 2],
            strength=table[:, 3],
            worker=worker_place[np.array(self._worker, dtype=np.int64)],
            workers=tuple(names[number] for number in by_name),
            conversation=_places(by_talk)[np.array(self._talk, dtype=np.int64)] if any(t for _, t in talks) else None,
        )
        if len(objectives) == 1:
            return {objectives[0]: whole}
        return {objective: whole.only(table[:, 4] == index) for index, objective in enumerate(objectives)}


def votes_from_games(games: Iterable[Game]) -> Votes | None:
    """Games as columns, in an order that follows names; None of none."""
    table = VoteTable()
    for game in games:
        side = 0 if game.winner_left is None else 1 if game.winner_left else -1
        kind = table.kind(Kind(game.winner, game.loser, side, game.strength or 0))
        table.add(kind, game.worker, game.conversation or "")
    return table.votes().get("")


@dataclass(frozen=True, slots=True)
class Counted:
    """Votes in their cells.

    Attributes:
        cells: what is told apart.
        cell: (N,) each vote's index into the flattened cells.
        votes: (S, C, P) how many fell into each.
    """

    cells: Cells
    cell: Codes
    votes: NDArray[np.float64]


def count(votes: Votes, ordinal: bool = False) -> Counted:
    """Count votes by pair, side and outcome; with ``ordinal`` by strength too, where at least two strengths occur."""
    first, second = np.minimum(votes.winner, votes.loser), np.maximum(votes.winner, votes.loser)
    number = len(votes.models)
    pairs, pair = np.unique(first * number + second, return_inverse=True)
    won_by_first = votes.winner == first
    sides, side = np.unique(np.where(won_by_first, votes.side, -votes.side), return_inverse=True)
    levels = join_levels(np.unique(votes.strength).tolist()) if ordinal else ()
    cells = Cells(number, pairs // number, pairs % number, sides.astype(np.float64), levels)
    category = np.where(won_by_first, FIRST_WON, SECOND_WON)
    if cells.thresholds:
        level = np.searchsorted(levels, votes.strength)
        category = np.where(votes.strength > 0, category + 2 + 2 * level, category)
    cell = np.ravel_multi_index((side, category, pair), cells.shape)
    counts = np.bincount(cell, minlength=int(np.prod(cells.shape))).reshape(cells.shape)
    return Counted(cells, cell, counts.astype(np.float64))


def _last_if_none(name: str | None) -> tuple[bool, str]:
    return name is None, name or ""


def _places(order: Sequence[int]) -> Codes:
    """The inverse of an order."""
    places = np.empty(len(order), dtype=np.int64)
    places[np.array(order, dtype=np.int64)] = np.arange(len(order))
    return places
