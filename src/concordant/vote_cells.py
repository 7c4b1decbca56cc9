"""Votes as counts: which two models met, which of them stood on the left, who won, and how strongly.

All that a Bradley–Terry fit needs to know of a million votes is how many fell into each of a few thousand cells (paper
§2.4, B.5: the win counts). Left out: who voted; ``evaluate/votes.py`` knows that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST_WON, SECOND_WON = 0, 1
"""Categories of votes whose strength is not known, or not told apart."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells (S, C, P): by side, by category, by pair.

    Attributes:
        models: how many models there are, M.
        first: (P,) the pair's model with the smaller index.
        second: (P,) the other one.
        sides: (S,) +1: the first model's reply was shown on the left, −1: on the right, 0: not known.
        levels: strengths that are told apart, weakest first; a single one is none.

    The categories are: the first won, the second won (strength not known); then for each level the same two. A strength
    is a stretch of a line that is cut at thresholds, the same to both sides of 0. ``edges`` are −∞, the thresholds of
    the second model's wins, 0, those of the first's, ∞; ``low`` and ``high`` say between which two a category lies.
    """

    models: int
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    sides: NDArray[np.float64]
    levels: tuple[int, ...] = ()

    @property
    def thresholds(self) -> int:
        """T: how many thresholds there are above 0."""
        return max(0, len(self.levels) - 1)

    @property
    def categories(self) -> int:
        return 2 + 2 * (self.thresholds + 1) * (self.thresholds > 0)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(S, C, P)."""
        return len(self.sides), self.categories, len(self.first)

    @property
    def low(self) -> NDArray[np.int64]:
        """(C,) index of each category's lower edge."""
        cut = self.thresholds
        steps = range(cut + 1) if cut else ()
        return np.array([cut + 1, 0, *(edge for k in steps for edge in (cut + 1 + k, cut - k))])

    @property
    def high(self) -> NDArray[np.int64]:
        """(C,) index of each category's upper edge."""
        cut = self.thresholds
        steps = range(cut + 1) if cut else ()
        return np.array([2 * cut + 2, cut + 1, *(edge for k in steps for edge in (cut + 2 + k, cut + 1 - k))])

    @property
    def first_won(self) -> NDArray[np.bool_]:
        """(C,) whether the first model won."""
        return np.asarray(np.arange(self.categories) % 2 == FIRST_WON)

    @property
    def incidence(self) -> NDArray[np.float64]:
        """(P, M): +1 at a pair's first model, −1 at its second."""
        made = np.zeros((len(self.first), self.models))
        pairs = np.arange(len(self.first))
        made[pairs, self.first], made[pairs, self.second] = 1, -1
        return made

    def win_matrix(self, votes: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., M, M) wins of row over column, out of (..., S, C, P) votes."""
        wins = np.zeros((*votes.shape[:-3], self.models, self.models))
        wins[..., self.first, self.second] = votes[..., self.first_won, :].sum(axis=(-3, -2))
        wins[..., self.second, self.first] = votes[..., ~self.first_won, :].sum(axis=(-3, -2))
        return wins

    def pair(self, model: int, other: int) -> int | None:
        """Index of two models' pair, None if they never met."""
        found = np.flatnonzero((self.first == min(model, other)) & (self.second == max(model, other)))
        return int(found[0]) if len(found) else None

    def with_pair(self, model: int, other: int) -> "Cells":
        """The same cells with one more pair at the end."""
        first, second = np.append(self.first, min(model, other)), np.append(self.second, max(model, other))
        return Cells(self.models, first, second, self.sides, self.levels)


def cells_of_wins(wins: NDArray[np.float64]) -> tuple[Cells, NDArray[np.float64]]:
    """Cells for win matrices (..., M, M), sides and strengths not known, and the votes in them (..., 1, 2, P)."""
    met = (wins + np.swapaxes(wins, -1, -2)).reshape(-1, *wins.shape[-2:]).any(axis=0)
    first, second = np.nonzero(np.triu(met, 1))
    cells = Cells(wins.shape[-1], first, second, np.zeros(1))
    votes = np.stack([wins[..., first, second], wins[..., second, first]], axis=-2)
    return cells, votes[..., None, :, :].astype(np.float64)


def side_is_bounded(cells: Cells, votes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(...) whether the votes (..., S, C, P) bound an effect of the side, beside any scores.

    They do not where some scores explain every vote without an error once the side counts for enough: where potentials
    exist with p[loser] ≤ p[winner] ± 1 for each vote, + if the winner stood on the left (for a left effect; the other
    way round for a right one). Such potentials exist exactly where these lengths make no cycle of negative length.
    """
    lengths = np.stack([_shortest(cells, votes, sign) for sign in (1, -1)])
    if (lengths + np.swapaxes(lengths, -1, -2) < 0).any(axis=(-1, -2)).all():  # two votes suffice; nearly always
        return np.ones(votes.shape[:-3], dtype=bool)
    for middle in range(cells.models):
        through = lengths[..., :, middle, None] + lengths[..., None, middle, :]
        lengths = np.maximum(np.minimum(lengths, through), -_FAR)
    return np.asarray((np.diagonal(lengths, axis1=-2, axis2=-1) < 0).any(axis=-1).all(axis=0))


_FAR = 5000


def _shortest(cells: Cells, votes: NDArray[np.float64], sign: int) -> NDArray[np.int16]:
    """(..., M, M) least length of a vote of winner (row) over loser (column); far where there is none."""
    lengths = np.full((*votes.shape[:-3], cells.models, cells.models), _FAR, np.int16)
    for won, rows, columns, turn in (
        (cells.first_won, cells.first, cells.second, 1),
        (~cells.first_won, cells.second, cells.first, -1),
    ):
        there = votes[..., won, :].sum(axis=-2) > 0
        length = np.where(there, (sign * turn * cells.sides).astype(np.int16)[:, None], np.int16(_FAR))
        lengths[..., rows, columns] = length.min(axis=-2)
    return lengths


def join_levels(strengths: Sequence[int]) -> tuple[int, ...]:
    """The strengths that occur, weakest first; 0 is one that is not known."""
    return tuple(sorted({int(strength) for strength in strengths} - {0}))
