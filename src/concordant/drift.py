"""Whether a worker's work has changed: by the week, and by exact tests of what is new against what is older (App. D).

Seven looks, each at one number: the side that is clicked, the strongest and the weakest buttons, pace, length,
verdicts, and agreement with second opinions. A change is flagged where its exact p-value is below ``LEVEL`` shared out
among the seven, so that a worker who does not change is flagged with a chance of at most about ``LEVEL`` at each look.
A flag is a reason to read, never a measure against anybody. Answers within one conversation are not independent, which
the tests do not know.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from statistics import median

from concordant.quantiles import t95, wilson

LEVEL = 0.01
"""Chance of a false flag, for all looks at one worker together."""
LOOKS = 7
PRIOR_WEIGHT = 4
"""As many verdicts' worth of the crew's usual spread is mixed into a worker's own, so that few verdicts that happen to
be equal do not look certain."""
GOOD = 2
"""Verdicts up to this are good or better."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Moment:
    """A number that was made at a moment."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Work:
    """What one worker did, each in the order of time.

    Attributes:
        verdicts: 1 (excellent) to 5 (not usable).
        weights: of the verdicts: one over the share of conversations that was read when this one was drawn.
        seconds: from a reply, or the beginning, to the message that follows.
        lengths: characters in a message.
        buttons: 1 to 8, as the sides were shown.
        agreed: 1 where a second opinion took the same reply as the worker, else 0.
    """

    verdicts: Sequence[Moment] = ()
    weights: Sequence[float] = ()
    seconds: Sequence[Moment] = ()
    lengths: Sequence[Moment] = ()
    buttons: Sequence[Moment] = ()
    agreed: Sequence[Moment] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A mean or a share, of how many, with its 95 % interval where there is one."""

    n: int
    value: float | None = None
    ci95: Interval | None = None


@dataclass(frozen=True, slots=True)
class Week:
    """One week of work. ``monday``: its first day; ``pace`` and ``length``: medians."""

    monday: date
    verdict: Part
    pace: Part
    length: Part
    left: Part
    strongest: Part
    weakest: Part
    agreed: Part


@dataclass(frozen=True, slots=True)
class Sign:
    """One look at a change.

    Attributes:
        name: what was looked at: "side", "strongest", "weakest", "pace", "length", "verdicts", "agreed".
        newer: the number among the newest answers, of ``n_newer``.
        older: the number before them, of ``n_older``; for the side ½, and ``n_older`` 0.
        p: exact, two-sided.
    """

    name: str
    newer: float
    older: float
    n_newer: int
    n_older: int
    p: float

    @property
    def flagged(self) -> bool:
        return self.p < LEVEL / LOOKS


@dataclass(frozen=True, slots=True)
class _Look:
    """``newest`` answers against all before them, once there are ``2 · newest``."""

    name: str
    values: Sequence[float]
    newest: int
    by_median: bool = field(default=False)


def signs(work: Work) -> list[Sign]:
    """The looks for which there is enough work, in a fixed order.

    The side is tested against ½ by the binomial distribution (newest 100 clicks), because sides are drawn; every other
    share by Fisher's test of the newest against all before; pace and length by Fisher's test of how many lie above the
    median of both together (Mood 1950).
    """
    buttons = [one.value for one in work.buttons]
    found: list[Sign] = []
    newest = [float(button <= 4) for button in buttons[-100:]]
    if len(newest) >= 40:
        left = int(sum(newest))
        found.append(Sign("side", left / len(newest), 0.5, len(newest), 0, binomial_p(left, len(newest))))
    looks = (
        _Look("strongest", [float(button in (1, 8)) for button in buttons], 50),
        _Look("weakest", [float(button in (4, 5)) for button in buttons], 50),
        _Look("pace", [one.value for one in work.seconds], 30, by_median=True),
        _Look("length", [one.value for one in work.lengths], 30, by_median=True),
        _Look("verdicts", [float(one.value > GOOD) for one in work.verdicts], 10),
        _Look("agreed", [one.value for one in work.agreed], 20),
    )
    return found + [_sign(look) for look in looks if len(look.values) >= 2 * look.newest]


def weeks(work: Work, spread: float = 1.0) -> list[Week]:
    """The weeks with any work, the oldest first. ``spread``: standard deviation of verdicts within workers."""
    rows = (work.verdicts, work.seconds, work.lengths, work.buttons, work.agreed)
    mondays = sorted({_monday(one.at) for row in rows for one in row})
    return [_week(work, monday, spread) for monday in mondays]


def verdict_mean(values: Sequence[float], weights: Sequence[float], spread: float = 1.0) -> Part:
    """The mean verdict over all of a worker's conversations, from the sample that was read.

    Each verdict counts as many conversations as it stands for (Hájek's estimator). The interval is Student's, with the
    worker's own variance and the crew's (``spread`` squared, as heavy as ``PRIOR_WEIGHT`` verdicts) mixed, within 1 to
    5.
    """
    n = len(values)
    if not n:
        return Part(0)
    total = math.fsum(weights)
    mean = math.fsum(weight * value for weight, value in zip(weights, values, strict=True)) / total
    effective = total**2 / math.fsum(weight**2 for weight in weights)
    own = math.fsum(weight * (value - mean) ** 2 for weight, value in zip(weights, values, strict=True)) / total
    variance = (n * own + PRIOR_WEIGHT * spread**2) / (n - 1 + PRIOR_WEIGHT)
    half = t95(n - 1 + PRIOR_WEIGHT) * math.sqrt(variance / effective)
    return Part(n, mean, (max(1.0, mean - half), min(5.0, mean + half)))


def within_spread(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation of values around their own group's mean; 1 where no group has two values."""
    squares, freedom = 0.0, 0
    for values in groups:
        if len(values) > 1:
            mean = math.fsum(values) / len(values)
            squares += math.fsum((value - mean) ** 2 for value in values)
            freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else 1.0


def share_of(hits: int, n: int) -> Part:
    """A share with Wilson's interval."""
    return Part(n, hits / n, wilson(hits / n, float(n))) if n else Part(0)


def binomial_p(hits: int, n: int, chance: float = 0.5) -> float:
    """Two-sided: the probability of all outcomes that are no likelier than this one."""
    logs = [_log_choose(n, k) + k * math.log(chance) + (n - k) * math.log1p(-chance) for k in range(n + 1)]
    return _no_likelier(logs, hits)


def fisher_p(newer: int, n_newer: int, older: int, n_older: int) -> float:
    """Fisher's exact test that two shares are one: ``newer`` of ``n_newer`` against ``older`` of ``n_older``."""
    hits, n = newer + older, n_newer + n_older
    least, most = max(0, hits - n_older), min(hits, n_newer)
    logs = [
        _log_choose(n_newer, k) + _log_choose(n_older, hits - k) - _log_choose(n, hits) for k in range(least, most + 1)
    ]
    return _no_likelier(logs, newer - least)


def _no_likelier(logs: Sequence[float], seen: int) -> float:
    # Equal probabilities differ in their last digits when they are computed on different ways.
    limit = logs[seen] + 1e-7
    return min(1.0, math.fsum(math.exp(one) for one in logs if one <= limit))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _sign(look: _Look) -> Sign:
    older, newer = look.values[: -look.newest], look.values[-look.newest :]
    if look.by_median:
        is_high = _cut(look.values)
        hits = [sum(is_high(value) for value in part) for part in (newer, older)]
        said = [median(newer), median(older)]
    else:
        hits = [int(sum(part)) for part in (newer, older)]
        said = [hits[0] / len(newer), hits[1] / len(older)]
    p = fisher_p(hits[0], len(newer), hits[1], len(older))
    return Sign(look.name, said[0], said[1], len(newer), len(older), p)


def _cut(values: Sequence[float]) -> Callable[[float], bool]:
    """Above the median or at it, whichever halves values better of which many are equal."""
    middle = median(values)
    above, reaching = sum(value > middle for value in values), sum(value >= middle for value in values)
    if abs(2 * above - len(values)) <= abs(2 * reaching - len(values)):
        return lambda value: value > middle
    return lambda value: value >= middle


def _monday(moment: datetime) -> date:
    day = moment.date()
    return date.fromordinal(day.toordinal() - day.weekday())


def _week(work: Work, monday: date, spread: float) -> Week:
    def of(row: Sequence[Moment]) -> list[float]:
        return [one.value for one in row if _monday(one.at) == monday]

    def middle(row: Sequence[Moment]) -> Part:
        values = of(row)
        return Part(len(values), median(values)) if values else Part(0)

    buttons, agreed = of(work.buttons), of(work.agreed)
    read = zip(work.verdicts, work.weights, strict=True)
    verdicts = [(one.value, weight) for one, weight in read if _monday(one.at) == monday]
    n = len(buttons)
    return Week(
        monday=monday,
        verdict=verdict_mean([value for value, _ in verdicts], [weight for _, weight in verdicts], spread),
        pace=middle(work.seconds),
        length=middle(work.lengths),
        left=share_of(sum(button <= 4 for button in buttons), n),
        strongest=share_of(sum(button in (1, 8) for button in buttons), n),
        weakest=share_of(sum(button in (4, 5) for button in buttons), n),
        agreed=share_of(int(sum(agreed)), len(agreed)),
    )
