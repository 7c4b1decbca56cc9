"""Where the scores of a train and a test preference model part while a policy learns (paper §4.2, Fig. 4, 13).

The paper sees it by eye: the two agree early, then the one that trains the policy goes on rising and the other does
not. Here it is a rule on a policy run's metrics, the same for training, numbers and figures. It compares each model
with itself alone, because scores of two models have no common zero. Left out: the slower rise of a test score that has
not yet fallen, which the figure shows and no rule calls.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

Json = dict[str, Any]

WINDOW = 5
"""Updates in a moving mean; the means that are compared share none."""

LEVEL = 0.02
"""Chance of a false call that each look allows, shared out among all pairs of moving means compared so far."""


def needed_errors(looks: int) -> float:
    """Standard errors by which the test score must have fallen at the ``looks``-th moving mean.

    The normal quantile of 1 − LEVEL / pairs with looks² / 2 pairs: the highest of many means lies above the last one by
    chance, the further the more there are. 3.7 at 20 looks, 4.5 at 100, 5.4 at 1,000.
    """
    return NormalDist().inv_cdf(1 - min(0.5, 2 * LEVEL / looks**2))


@dataclass(frozen=True, slots=True)
class Parting:
    """Two preference models have parted.

    Attributes:
        update: the update at which the moving mean of the test score was highest: what came after it gained nothing.
        seen: the update at which the fall from there was first certain.
        samples: replies sampled up to ``update``.
        root_kl: √KL of the samples of ``update``, by the moving mean of KL, √nats per reply.
        fall: how far the test score's moving mean has fallen from its best, at ``seen``.
        error: the standard error of that fall, over prompts.
        rise: how far the train score's moving mean rose meanwhile.
    """

    update: int
    seen: int
    samples: int
    root_kl: float
    fall: float
    error: float
    rise: float

    def json(self) -> Json:
        """As it stands in a run's result."""
        return asdict(self)


def find_parting(rows: Sequence[Json]) -> Parting | None:
    """The parting in a policy run's metrics, or None.

    It is seen at the first update where the moving mean of the test score lies more than ``needed_errors`` standard
    errors below its highest so far, a whole window or more after it, while that of the train score has risen since
    then and since the start. Rows whose errors are 0 (one prompt an update) can show nothing.

    Args:
        rows: of metrics.jsonl; those without ``test_score`` are left out.
    """
    rows = [row for row in rows if row.get("test_score") is not None]
    windows = [_Window.ending(rows, end) for end in range(WINDOW, len(rows) + 1)]
    best = 0
    for now, window in enumerate(windows):
        if window.test > windows[best].test:
            best = now
        then = windows[best]
        error = math.hypot(window.error, then.error)
        fell = then.test - window.test > needed_errors(now + 1) * error > 0
        if fell and now - best >= WINDOW and window.train > max(then.train, windows[0].train):
            at = rows[best + WINDOW - 1]
            return Parting(
                update=int(at["step"]),
                seen=int(rows[now + WINDOW - 1]["step"]),
                samples=int(at["samples"]),
                root_kl=math.sqrt(max(then.kl, 0.0)),
                fall=then.test - window.test,
                error=error,
                rise=window.train - then.train,
            )
    return None


@dataclass(frozen=True, slots=True)
class _Window:
    """Means over ``WINDOW`` updates, whose prompts differ; ``error`` is that of ``test``."""

    train: float
    test: float
    error: float
    kl: float

    @classmethod
    def ending(cls, rows: Sequence[Json], end: int) -> "_Window":
        part = rows[end - WINDOW : end]
        train, test, kl = (sum(float(row[key]) for row in part) / WINDOW for key in ("score", "test_score", "kl"))
        variance = sum(float(row["test_score_se"]) ** 2 for row in part)
        return cls(train, test, math.sqrt(variance) / WINDOW, kl)
