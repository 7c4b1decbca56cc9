"""An ensemble's scores with the spread of its members: of any replies, and of comparisons against people's choices.

Each member scores everything in turn, longest rows first in its own tokens, so that no reply is scored twice for the
sake of the spread. Left out: reading and writing files.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from concordant.comparison import Preference
from concordant.conversation import Conversation
from concordant.evaluate.accuracy import PMEvaluation, credits, evaluate_scores
from concordant.evaluate.bag_of_words import BagOfWords
from concordant.evaluate.disagreement import by_spread
from concordant.evaluate.scoring import TOO_LONG, score_items, score_preferences
from concordant.models.ensemble import Ensemble
from concordant.runs import Watch


@dataclass(frozen=True, slots=True)
class Judged:
    """One item's replies.

    Attributes:
        scores: the ensemble's, one a reply.
        spread: standard deviation over the members, one a reply.
    """

    scores: list[float]
    spread: list[float]


def judge_items(
    ensemble: Ensemble,
    items: Sequence[tuple[Conversation, Sequence[str]]],
    watch: Callable[[int], None] = lambda done: None,
) -> list[Judged | None]:
    """Scores and spread of every item's replies in the order given, None where an item does not fit every member.

    Args:
        ensemble: gives the scores.
        items: prompts, each with its replies.
        watch: told how many items are done, at times.

    Raises:
        UserError: a score is not a finite number.
    """
    size = len(ensemble.members)
    each = [
        score_items(member, items, partial(_tell, watch, place * len(items), size))
        for place, member in enumerate(ensemble.members)
    ]
    result: list[Judged | None] = []
    for scores in zip(*each, strict=True):
        fitting = [found for found in scores if found is not None]
        if len(fitting) < size:
            result.append(None)
        else:
            combined, spread = ensemble.merge(np.array(fitting, dtype=np.float64))
            result.append(Judged(combined.tolist(), spread.tolist()))
    return result


def _tell(watch: Callable[[int], None], before: int, size: int, done: int) -> None:
    """Items done, when so many of one of ``size`` members are, and so many of those before it."""
    watch((before + done) // size)


def evaluate_ensemble(
    ensemble: Ensemble,
    preferences: Sequence[Preference],
    watch: Watch,
    dropped: Mapping[str, int] | None = None,
    words: BagOfWords | None = None,
) -> PMEvaluation:
    """``evaluate_pm`` of an ensemble, and its accuracy by the spread of the members' score gaps.

    Args:
        ensemble: gives the scores.
        preferences: comparisons with their answers; the weakest and those too long for a member are dropped.
        watch: told of progress.
        dropped: what was left out before, by reason.
        words: a baseline to be measured on the same comparisons.

    Raises:
        UserError: nothing is left to evaluate, or a score is not finite.
    """
    size = len(ensemble.members)
    each = [
        score_preferences(member, preferences, _part(watch, place, size), dropped)
        for place, member in enumerate(ensemble.members)
    ]
    common = sorted(set.intersection(*(set(scored.places) for scored in each)))
    rows = [np.searchsorted(scored.places, common) for scored in each]  # places rise
    chosen = np.array([scored.chosen[row] for scored, row in zip(each, rows, strict=True)]).reshape(size, -1)
    rejected = np.array([scored.rejected[row] for scored, row in zip(each, rows, strict=True)]).reshape(size, -1)
    left_out = Counter(each[0].dropped)
    left_out[TOO_LONG] += len(each[0].places) - len(common)
    used = [preferences[place] for place in common]
    better, worse = ensemble.merge(chosen)[0], ensemble.merge(rejected)[0]
    evaluation = evaluate_scores(used, better, worse, +left_out, words)
    opening = np.array([preference.prompt.split_key for preference in used])
    gap = better - worse
    return replace(evaluation, by_spread=by_spread(chosen - rejected, gap, credits(gap), opening))


def _part(watch: Watch, place: int, size: int) -> Watch:
    """A watch for one member of several."""
    return lambda done, total, seen: watch(place * total + done, size * total, seen)
