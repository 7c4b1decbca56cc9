"""The baseline that a preference model has to beat: which words stand in the better reply, and nothing else.

A logistic regression on word counts of chosen minus rejected, with an L2 penalty and no intercept: the problem has no
sides, so exchanging chosen and rejected flips every sign and nothing more. The prompt is not looked at. Not in the
paper; it says how much of an accuracy needs no understanding. Left out: pairs of words, weighting by rarity.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from concordant.comparison import Preference, split_by_opening
from concordant.errors import UserError

Vector = NDArray[np.float64]

MOST_WORDS = 20_000
PENALTIES = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Weights of ½‖w‖² against the summed loss that are tried, the strongest first. On 7,000 released single-turn
comparisons they move the accuracy by 3 (harmless) to 4 points (helpful): a bad one makes too easy an opponent."""

HELD_OUT = 0.2
"""Share of the training openings on which the penalty is chosen; the test set has no say."""

_WORD = re.compile(r"\w+")
_GRADIENT = 1e-8
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class WordCounts:
    """Counts of words as a sparse matrix of n rows: entry (row, column, value).

    Attributes:
        row: (entries,) which comparison.
        column: (entries,) which word.
        value: (entries,) how often it stands in the chosen reply minus in the rejected one.
        shape: (n, words).
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    value: Vector
    shape: tuple[int, int]

    def times(self, weights: Vector) -> Vector:
        """(n,) the matrix times (words,) weights."""
        return np.bincount(self.row, self.value * weights[self.column], self.shape[0]).astype(np.float64, copy=False)

    def transposed_times(self, rows: Vector) -> Vector:
        """(words,) the transposed matrix times (n,) values."""
        return np.bincount(self.column, self.value * rows[self.row], self.shape[1]).astype(np.float64, copy=False)


@dataclass(frozen=True, slots=True)
class BagOfWords:
    """A fitted baseline.

    Attributes:
        words: word → column.
        weights: (words,) what one more of each word adds to a reply's score.
        l2: weight of the penalty.
        trained_on: comparisons it was fitted on.
        left_out: comparisons given for fitting and not used, by reason.
    """

    words: dict[str, int]
    weights: Vector
    l2: float
    trained_on: int
    left_out: dict[str, int]

    def score(self, reply: str) -> float:
        """The sum of the weights of a reply's words."""
        counts = Counter(words_of(reply))
        return float(sum(self.weights[self.words[word]] * n for word, n in counts.items() if word in self.words))

    def gaps(self, preferences: Sequence[Preference]) -> Vector:
        """(n,) score of the chosen reply minus that of the rejected one."""
        return np.array([self.score(one.chosen) - self.score(one.rejected) for one in preferences], dtype=np.float64)


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in small letters."""
    return _WORD.findall(text.casefold())


def fit_bag_of_words(
    preferences: Sequence[Preference], test: Sequence[Preference], most_words: int = MOST_WORDS
) -> BagOfWords:
    """Fit the baseline on comparisons whose openings do not stand in the test set.

    Args:
        preferences: what to learn from; the weakest are left out.
        test: what it will be measured on; comparisons with one of its openings are left out.
        most_words: size of the vocabulary; the words that stand in most comparisons are taken, ties by the alphabet.

    Raises:
        UserError: nothing is left to learn from.
    """
    tested = {preference.prompt.split_key for preference in test}
    used: list[Preference] = []
    left_out: Counter[str] = Counter()
    for preference in preferences:
        if preference.is_weakest:
            left_out["weakest strength"] += 1
        elif preference.prompt.split_key in tested:
            left_out["opening stands in the test set"] += 1
        else:
            used.append(preference)
    if not used:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise UserError(f"no comparison to fit the bag of words on ({why or 'none was given'}); give others by --train")
    words, l2 = vocabulary(used, most_words), choose_penalty(used, most_words)
    return BagOfWords(words, fit_weights(differences(used, words), l2), l2, len(used), dict(left_out))


def choose_penalty(preferences: Sequence[Preference], most_words: int) -> float:
    """The penalty with the smallest loss on a fifth of the openings, fitted on the rest; from the strongest down until
    the loss rises. The strongest where there are too few openings to hold any out."""
    rest, held = split_by_opening(preferences, HELD_OUT, salt="bag of words")
    if not rest or not held:
        return PENALTIES[0]
    words = vocabulary(rest, most_words)
    learned, asked = differences(rest, words), differences(held, words)
    weights, best, chosen = np.zeros(len(words)), float("inf"), PENALTIES[0]
    for l2 in PENALTIES:
        weights = fit_weights(learned, l2, weights)
        loss = float(np.logaddexp(0.0, -asked.times(weights)).mean())
        if loss >= best:
            break
        best, chosen = loss, l2
    return chosen


def vocabulary(preferences: Sequence[Preference], most_words: int) -> dict[str, int]:
    """Word → column: the words that stand in most comparisons, ties by the alphabet."""
    standing = Counter(word for one in preferences for word in {*words_of(one.chosen), *words_of(one.rejected)})
    common = sorted(standing, key=lambda word: (-standing[word], word))[:most_words]
    return {word: column for column, word in enumerate(common)}


def differences(preferences: Sequence[Preference], words: dict[str, int]) -> WordCounts:
    """Counts of the chosen reply minus those of the rejected one."""
    entries: list[tuple[int, int, int]] = []
    for row, one in enumerate(preferences):
        counts = Counter(words_of(one.chosen))
        counts.subtract(words_of(one.rejected))
        entries += [(row, words[word], counts[word]) for word in sorted(counts) if counts[word] and word in words]
    table = np.array(entries, dtype=np.int64).reshape(len(entries), 3)
    return WordCounts(table[:, 0], table[:, 1], table[:, 2].astype(np.float64), (len(preferences), len(words)))


def fit_weights(counts: WordCounts, l2: float, start: Vector | None = None) -> Vector:
    """(words,) weights w that minimise Σ log(1 + e^(−x·w)) + l2/2 ‖w‖², by Newton's method.

    The loss is smooth and strictly convex, so there is one minimum; it is reached when no entry of the gradient is
    above 1e-8.

    Args:
        counts: n rows of word counts, chosen minus rejected.
        l2: weight of the penalty.
        start: where to begin, zero if None; the end is the same, sooner from near by.

    Raises:
        ValueError: ``l2`` is not above 0.
        RuntimeError: not converged in 100 steps.
    """
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}; without a penalty a word that decides everything has an infinite weight")

    def loss(weights: Vector) -> float:
        return float(np.logaddexp(0.0, -counts.times(weights)).sum() + l2 / 2 * (weights @ weights))

    weights = np.zeros(counts.shape[1]) if start is None else start
    for _ in range(_MOST_STEPS):
        wrong = 1 / (1 + np.exp(np.clip(counts.times(weights), -500, 500)))
        gradient = l2 * weights - counts.transposed_times(wrong)
        if np.abs(gradient).max(initial=0.0) <= _GRADIENT:
            return weights
        curvature = wrong * (1 - wrong)
        step = _solve(partial(_curve, counts, l2, curvature), -gradient)
        size, slope = 1.0, float(gradient @ step)
        here = loss(weights) * (1 + 1e-12)  # near the minimum, a step gains less than the loss is rounded by
        while size > 1e-6 and loss(weights + size * step) > here + 1e-4 * size * slope:
            size /= 2
        weights = weights + size * step
    raise RuntimeError(f"the bag of words did not converge in {_MOST_STEPS} steps (l2 = {l2})")


def _curve(counts: WordCounts, l2: float, curvature: Vector, direction: Vector) -> Vector:
    """The matrix of second derivatives times a direction."""
    return l2 * direction + counts.transposed_times(curvature * counts.times(direction))


def _solve(times: Callable[[Vector], Vector], right: Vector) -> Vector:
    """x with A x = right to 0.1 % for a positive definite A, by conjugate gradients."""
    x, residual = np.zeros_like(right), right
    direction, square = residual, float(residual @ residual)
    enough = 1e-6 * square
    for _ in range(len(right)):
        if square <= enough:
            break
        image = times(direction)
        length = square / float(direction @ image)
        x, residual = x + length * direction, residual - length * image
        square, before = float(residual @ residual), square
        direction = residual + square / before * direction
    return x
