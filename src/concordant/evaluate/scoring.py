"""Scores of replies, and a preference model against comparisons: longest rows first, the prompt shared by its replies.

Anything that counts a row's tokens and scores rows will do: a preference model, or several behind one front.
Left out: files. ``concordant score`` reads and writes them, window by window.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from concordant.comparison import Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.accuracy import WEAKEST_DROPPED, PMEvaluation, evaluate_scores
from concordant.evaluate.bag_of_words import BagOfWords
from concordant.runs import Watch

CHUNK = 32
"""Rows between two reports of progress."""

MOST_IN_ROW = 4096
"""Tokens of a row above which its replies are shared out over several: attention grows with the square of a row."""

TOO_LONG = "longer than the context"


@runtime_checkable
class RowScorer(Protocol):
    """What scores: a ``PreferenceModel``, or something that stands for several."""

    def row(self, prompt: Conversation, replies: Sequence[str]) -> Sized | None:
        """The tokens of the prompt once and of all replies, or None where the longest reply leaves no room."""
        ...

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        """Scores of the replies to each prompt."""
        ...


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of the replies of one item: which item, from which of its replies on, and how many tokens."""

    item: int
    start: int
    replies: Sequence[str]
    tokens: int


def score_items(
    model: RowScorer,
    items: Sequence[tuple[Conversation, Sequence[str]]],
    watch: Callable[[int], None] = lambda done: None,
) -> list[list[float] | None]:
    """Scores of every item's replies in the order given, None for an item that does not fit the model's context.

    A prompt that must be cut is cut for the longest of the replies that share its row.

    Args:
        model: gives the scores.
        items: prompts, each with its replies. All are held in memory, so callers give a window of a long file.
        watch: told how many items are done, at times.

    Raises:
        UserError: a score is not a finite number.
    """
    result: list[list[float] | None] = [[0.0] * len(replies) for _, replies in items]
    pieces: list[_Piece] = []
    for index, (prompt, replies) in enumerate(items):
        found = _pieces(model, prompt, replies, index, 0)
        pieces += found
        if not found:
            result[index] = None
    # Longest first: neighbours fill a pass evenly, memory is short at once or never, and the time left only shrinks.
    pieces.sort(key=lambda piece: -piece.tokens)
    unfit = sum(scores is None for scores in result)
    for start in range(0, len(pieces), CHUNK):
        part = pieces[start : start + CHUNK]
        scored = model.score_many([(items[piece.item][0], piece.replies) for piece in part])
        for piece, scores in zip(part, scored, strict=True):
            if not np.isfinite(scores).all():
                raise UserError(f"a score is {scores[0]} instead of a finite number; the model is damaged")
            into = result[piece.item]
            assert into is not None
            into[piece.start : piece.start + len(scores)] = scores
        watch(min(len(items), unfit + start + len(part)))
    return result


def _pieces(model: RowScorer, prompt: Conversation, replies: Sequence[str], item: int, start: int) -> list[_Piece]:
    """The replies in rows of bounded size, halved as often as it takes; none if a reply does not fit."""
    row = model.row(prompt, replies)
    if row is None:
        return []
    if len(row) <= MOST_IN_ROW or len(replies) == 1:
        return [_Piece(item, start, replies, len(row))]
    half = len(replies) // 2
    first = _pieces(model, prompt, replies[:half], item, start)
    return first + _pieces(model, prompt, replies[half:], item, start + half)


@dataclass(frozen=True, slots=True)
class ScoredPreferences:
    """Comparisons with the scores of both replies.

    Attributes:
        preferences: the n that could be scored.
        places: where each of them stood in what was given, from 0.
        chosen: (n,) scores.
        rejected: (n,) scores.
        dropped: those that could not, by reason.
    """

    preferences: list[Preference]
    places: list[int]
    chosen: NDArray[np.float64]
    rejected: NDArray[np.float64]
    dropped: Counter[str]


def score_preferences(
    model: RowScorer, preferences: Sequence[Preference], watch: Watch, dropped: Mapping[str, int] | None = None
) -> ScoredPreferences:
    """Score both replies of every comparison; the weakest and the too long are dropped and counted.

    Args:
        model: gives the scores.
        preferences: comparisons with their answers.
        watch: told of progress.
        dropped: what was left out before, by reason; the counts go on from there.

    Raises:
        UserError: a score is not a finite number.
    """
    left_out = Counter(dropped or {})
    sure = [place for place, preference in enumerate(preferences) if not preference.is_weakest]
    if len(sure) < len(preferences):
        left_out[WEAKEST_DROPPED] += len(preferences) - len(sure)
    watch(0, len(sure), "")
    items = [(one.prompt, (one.chosen, one.rejected)) for one in (preferences[place] for place in sure)]
    scores = score_items(model, items, lambda done: watch(done, len(sure), ""))
    found = [(place, pair) for place, pair in zip(sure, scores, strict=True) if pair is not None]
    if len(found) < len(sure):
        left_out[TOO_LONG] += len(sure) - len(found)
    both = np.array([pair for _, pair in found], dtype=np.float64).reshape(len(found), 2)
    places = [place for place, _ in found]
    return ScoredPreferences([preferences[place] for place in places], places, both[:, 0], both[:, 1], left_out)


def evaluate_pm(
    model: RowScorer,
    preferences: Sequence[Preference],
    watch: Watch,
    dropped: Mapping[str, int] | None = None,
    words: BagOfWords | None = None,
) -> PMEvaluation:
    """Score every comparison that fits the model's context, and measure.

    Args:
        model: gives the scores.
        preferences: comparisons with their answers; the weakest and the too long are dropped and counted.
        watch: told of progress.
        dropped: what was left out before, by reason.
        words: a baseline to be measured on the same comparisons.

    Raises:
        UserError: nothing is left to evaluate, or a score is not finite.
    """
    scored = score_preferences(model, preferences, watch, dropped)
    return evaluate_scores(scored.preferences, scored.chosen, scored.rejected, scored.dropped, words)
