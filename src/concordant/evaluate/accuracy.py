"""How often a preference model agrees with people, and how sure that is (paper §3.2, §3.3, Fig. 7, 8, 25).

A tie counts ½ and the rate of ties is reported, because a collapsed model that scores everything alike looks perfect to
"chosen ≥ rejected". Comparisons of the weakest strength are dropped and counted (§2.2). Beside every accuracy stands
that of "the longer reply wins", and of a bag of words where one was fitted. Left out: agreement between people, which
needs two answers to one comparison.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.bag_of_words import BagOfWords
from concordant.evaluate.calibration import Calibration, calibrate
from concordant.evaluate.disagreement import BySpread
from concordant.evaluate.intervals import Z95, Share, clustered_mean, share
from concordant.evaluate.thresholds import Thresholds, above_thresholds

COLLAPSED_BELOW = 1e-3
"""Root mean square of the score differences that raises the alarm: such a gap moves a win probability by 0.00025."""


@dataclass(frozen=True, slots=True)
class WordsBaseline:
    """A bag of words on the same comparisons.

    Attributes:
        accuracy: how often its choice is the person's, ties ½.
        ties: share of comparisons that its words cannot tell apart.
        nll: mean −log of its Bradley-Terry probability of the choice, in nats.
        by_file: accuracy by where the comparison came from.
        lead: the preference model's accuracy minus this one's.
        lead_ci95: its 95 % interval, over the differences comparison by comparison, clustered by opening.
        model: what was fitted.
    """

    accuracy: Share
    ties: float
    nll: float
    by_file: dict[str, Share]
    lead: float
    lead_ci95: tuple[float, float]
    model: BagOfWords

    def json(self) -> dict[str, Any]:
        return {
            **_part(self.accuracy),
            "ties": self.ties,
            "nll": self.nll,
            "by_file": {name: _part(self.by_file[name]) for name in sorted(self.by_file)},
            "lead": self.lead,
            "lead_ci95": list(self.lead_ci95),
            "trained_on": self.model.trained_on,
            "l2": self.model.l2,
            "words": len(self.model.words),
            "left_out": dict(self.model.left_out),
        }


@dataclass(frozen=True, slots=True)
class PMEvaluation:
    """A preference model against people's choices.

    Attributes:
        accuracy: share of comparisons in which the chosen reply scored higher, ties ½. Its interval is Wilson's on the
            effective number of comparisons, clustered by opening (first human turn): several comparisons come from one
            conversation, and are not as much evidence as as many conversations.
        ties: share of comparisons with two equal scores.
        nll: mean −log of the Bradley-Terry probability of the choice, in nats; ln 2 = 0.693 is chance.
        calibration: predicted against observed win rates; holds the expected calibration error.
        longer_wins: accuracy of "the reply with more characters wins", equal lengths ½. "The shorter wins" has 1 minus
            it: which of the two is the better rule is not for the test data to choose.
        by_turn: accuracy by the number of the assistant turn that was judged, from 1.
        by_file: accuracy by where the comparison came from.
        by_objective: accuracy by what "better" meant.
        by_threshold: accuracy where both replies score high.
        words: a bag of words on the same comparisons; None where none was fitted.
        dropped: comparisons left out, by reason.
        collapsed: alarm: the scores of chosen and rejected hardly differ anywhere, so the accuracy means nothing.
        by_spread: accuracy by how far the members of an ensemble disagree; None for one model.
    """

    accuracy: Share
    ties: float
    nll: float
    calibration: Calibration
    longer_wins: Share
    by_turn: dict[int, Share]
    by_file: dict[str, Share]
    by_objective: dict[str, Share]
    by_threshold: Thresholds
    words: WordsBaseline | None
    dropped: Mapping[str, int]
    collapsed: bool
    by_spread: BySpread | None = None

    def json(self) -> dict[str, Any]:
        """The fields of ``evaluate pm --json``, and what the report's figures are drawn from."""
        return {
            "n": self.accuracy.n,
            "accuracy": self.accuracy.value,
            "ci95": list(self.accuracy.ci95),
            "ties": self.ties,
            "nll": self.nll,
            "ece": self.calibration.ece,
            "length_baseline": {
                "longer_wins": self.longer_wins.value,
                "ci95": list(self.longer_wins.ci95),
                "n": self.longer_wins.n,
            },
            "by_turn": {str(turn): _part(self.by_turn[turn]) for turn in sorted(self.by_turn)},
            "by_file": {name: _part(self.by_file[name]) for name in sorted(self.by_file)},
            "by_objective": {name: _part(self.by_objective[name]) for name in sorted(self.by_objective)},
            "by_threshold": self.by_threshold.json(),
            "by_spread": None if self.by_spread is None else self.by_spread.json(),
            "words_baseline": None if self.words is None else self.words.json(),
            "collapsed": self.collapsed,
            "dropped": dict(self.dropped),
            "openings": self.accuracy.clusters,
            "calibration": self.calibration.json(),
        }


def _part(value: Share) -> dict[str, Any]:
    return {"n": value.n, "accuracy": value.value, "ci95": list(value.ci95)}


def credits(gap: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) 1 where the gap is positive, 0 where negative, ½ where it is exactly 0."""
    return np.asarray((np.sign(gap) + 1) / 2)


WEAKEST_DROPPED = "weakest strength"

PM_FIELDS = {
    "n": "comparisons measured",
    "accuracy": "share in which the chosen reply scored higher; ties count ½",
    "ci95": "95 % interval of the value beside it: Wilson's, on the effective number of comparisons by opening",
    "ties": "share with two equal scores",
    "nll": "mean −log P(chosen > rejected), nats (ln 2 ≈ 0.693 is a coin)",
    "ece": "expected calibration error: mean distance of said and observed win rate over the bins of `calibration`",
    "length_baseline": "`longer_wins`: accuracy of choosing the reply with more characters",
    "words_baseline": "a bag of words fitted on `--train` (null without): `accuracy`, `nll`, `by_file` on the same "
    "comparisons; `lead`: the model's accuracy minus its, with interval; `trained_on` comparisons, `l2` penalty, "
    "`words` in its vocabulary, `left_out` of `--train` by reason",
    "by_turn": "accuracy by the number of the judged assistant turn (Fig. 8)",
    "by_file": "accuracy by where the comparison came from",
    "by_objective": "accuracy by what better means: helpful, harmless",
    "by_threshold": "accuracy where both scores reach a threshold (Fig. 25): `mean` and `sd` of all scores on this "
    "data; `points`, each with the threshold as `score` (the mean taken off) and in `sds` (standard deviations)",
    "by_spread": "of an ensemble (null for one model): `mean` standard deviation over its members of the score gap; "
    "accuracy in `thirds` of it, each from `low` to `high`, with the mean size of the ensemble's own `gap`",
    "collapsed": "alarm: the scores of chosen and rejected hardly differ anywhere, so the accuracy says nothing",
    "dropped": "comparisons left out, by reason",
    "openings": "different first human turns: what the interval counts as independent",
    "calibration": "`bins` of Fig. 9; `excess`: observed minus said win rate, with interval (above 0: under-confident)",
}
"""What each field of ``PMEvaluation.json()`` means."""


def evaluate_scores(
    preferences: Sequence[Preference],
    chosen: NDArray[np.float64],
    rejected: NDArray[np.float64],
    dropped: Mapping[str, int] | None = None,
    words: BagOfWords | None = None,
) -> PMEvaluation:
    """Measure scores against choices.

    Args:
        preferences: n comparisons with their answers.
        chosen: (n,) scores of ``preference.chosen``.
        rejected: (n,) scores of ``preference.rejected``.
        dropped: what was left out before, by reason; those of the weakest strength are added.
        words: a baseline to be measured on the same comparisons.

    Raises:
        UserError: nothing is left to evaluate, or a score is not a finite number.
    """
    if not len(preferences) == len(chosen) == len(rejected):
        raise ValueError(f"{len(preferences)} preferences, {len(chosen)} and {len(rejected)} scores: not one for one")
    kept = np.array([not preference.is_weakest for preference in preferences], dtype=bool)
    used = [preference for preference in preferences if not preference.is_weakest]
    left_out = Counter(dropped or {}) + Counter({WEAKEST_DROPPED: len(preferences) - len(used)})
    if not used:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise UserError(f"no comparison to evaluate ({why or 'none was given'}); give a file with others")
    chosen, rejected = chosen[kept].astype(np.float64), rejected[kept].astype(np.float64)
    gap = chosen - rejected
    if not np.isfinite(gap).all():
        broken = int((~np.isfinite(gap)).sum())
        raise UserError(f"the scores of {broken} of {len(gap)} comparisons are not finite; the model is damaged")
    credit = credits(gap)
    opening = np.array([preference.prompt.split_key for preference in used])
    longer = np.array([float(len(preference.chosen) - len(preference.rejected)) for preference in used])
    turns = np.array([preference.prompt.human_turns for preference in used])
    files = np.array([preference.source or "unnamed" for preference in used])
    objectives = np.array([preference.objective.value for preference in used])
    return PMEvaluation(
        accuracy=share(credit, opening),
        ties=float((gap == 0).mean()),
        nll=float(np.logaddexp(0.0, -gap).mean()),
        calibration=calibrate(gap, credit, opening),
        longer_wins=share(credits(longer), opening),
        by_turn={int(turn): part for turn, part in _groups(credit, opening, turns).items()},
        by_file=_named_groups(credit, opening, files),
        by_objective=_named_groups(credit, opening, objectives),
        by_threshold=above_thresholds(chosen, rejected, credit, opening),
        words=None if words is None else _words_baseline(words, used, credit, opening, files),
        dropped=dict(left_out),
        collapsed=bool(np.sqrt((gap**2).mean()) < COLLAPSED_BELOW),
    )


def _groups(credit: NDArray[np.float64], opening: NDArray[Any], label: ArrayLike) -> dict[Any, Share]:
    """The share of each group of equal labels."""
    labels = np.asarray(label)
    return {key: share(credit[labels == key], opening[labels == key]) for key in np.unique(labels)}


def _named_groups(credit: NDArray[np.float64], opening: NDArray[Any], label: ArrayLike) -> dict[str, Share]:
    return {str(name): part for name, part in _groups(credit, opening, label).items()}


def _words_baseline(
    words: BagOfWords,
    preferences: Sequence[Preference],
    credit: NDArray[np.float64],
    opening: NDArray[Any],
    files: NDArray[Any],
) -> WordsBaseline:
    """The bag of words on the same comparisons as the preference model, whose credits are given."""
    gap = words.gaps(preferences)
    its = credits(gap)
    lead, error = clustered_mean(credit - its, opening)
    return WordsBaseline(
        accuracy=share(its, opening),
        ties=float((gap == 0).mean()),
        nll=float(np.logaddexp(0.0, -gap).mean()),
        by_file=_named_groups(its, opening, files),
        lead=lead,
        lead_ci95=(max(-1.0, lead - Z95 * error), min(1.0, lead + Z95 * error)),
        model=words,
    )
