"""Where train and test score part: on numbers worked out by hand, and how often it is called for nothing."""

import numpy as np
import pytest

from concordant.parting import WINDOW, Json, find_parting, needed_errors


def rows(train: list[float], test: list[float], error: float = 0.1) -> list[Json]:
    return [
        {"step": i + 1, "samples": 32 * (i + 1), "score": a, "test_score": b, "test_score_se": error, "kl": float(i)}
        for i, (a, b) in enumerate(zip(train, test, strict=True))
    ]


RISING = [float(i) for i in range(20)]
PEAKED = [0.0, 1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7]
"""Means of five: 2, 3, 4, 4.6, 4.8, 4.6, 4, 3, … from update 5 on; the highest is that of update 9."""


def test_the_errors_that_are_needed() -> None:
    """0.02 shared out among looks² / 2 pairs: at 20 looks 0.0001, whose normal quantile is 3.719."""
    assert needed_errors(20) == pytest.approx(3.719, abs=1e-3)
    assert needed_errors(200) > needed_errors(100) > needed_errors(20)
    assert needed_errors(1) >= 0


def test_a_parting_by_hand() -> None:
    """Five updates after the best, the mean is that of 3, 2, 1, 0, −1: 1. Fall 3.8, error 0.1 · √(2/5), rise 5."""
    found = find_parting(rows(RISING, PEAKED))
    assert found is not None
    assert (found.update, found.seen, found.samples) == (9, 14, 9 * 32)
    assert found.root_kl == pytest.approx(6**0.5)  # KL 4, 5, 6, 7, 8
    assert found.fall == pytest.approx(3.8)
    assert found.rise == pytest.approx(5.0)
    assert found.error == pytest.approx(0.1 * (2 / 5) ** 0.5)
    assert found.json()["seen"] == 14


def test_it_is_called_when_it_can_be_known_and_not_later_changed() -> None:
    whole = rows(RISING, PEAKED)
    assert find_parting(whole[:13]) is None
    assert [find_parting(whole[:n]) for n in range(14, 21)] == [find_parting(whole)] * 7


def test_a_larger_error_calls_it_later_or_never() -> None:
    """At error 1 the tenth mean must lie 0.63 · 3.35 below the best: 3.8 is. At error 2 the next one's 4.8 is."""
    assert getattr(find_parting(rows(RISING, PEAKED, 1.0)), "seen", None) == 14
    late = find_parting(rows(RISING, PEAKED, 2.0))
    assert late is not None and late.seen == 15 and late.update == 9
    assert find_parting(rows(RISING, PEAKED, 100.0)) is None


def test_where_both_fall_or_both_rise_nothing_parts() -> None:
    assert find_parting(rows(PEAKED, PEAKED)) is None
    assert find_parting(rows(RISING, RISING)) is None


def test_a_train_score_that_is_below_its_start_has_not_risen() -> None:
    train = [50.0, *[0.0] * 8, *RISING[:11]]
    assert find_parting(rows(train, PEAKED)) is None


def test_too_little_shows_nothing() -> None:
    assert find_parting([]) is None
    assert find_parting(rows(RISING[: WINDOW - 1], PEAKED[: WINDOW - 1])) is None
    assert find_parting(rows(RISING, PEAKED, error=0.0)) is None  # one prompt an update: no error is known
    assert find_parting([{"step": 1, "score": 1.0, "kl": 0.0}] * 30) is None  # no test score


def test_a_test_score_that_only_scatters_is_rarely_called() -> None:
    """Of 300 runs of 100 updates, fewer than 5 %; with a fixed three errors it would be about half of them."""
    random = np.random.default_rng(0)
    train = np.linspace(0, 3, 100).tolist()
    called = sum(find_parting(rows(train, random.normal(0, 0.3, 100).tolist(), 0.3)) is not None for _ in range(300))
    assert called < 0.05 * 300


def test_a_test_score_that_turns_is_called_soon() -> None:
    """It rises to update 50 and falls as fast, by a third of an update's error each."""
    random = np.random.default_rng(1)
    turned = [0.1 * min(i, 100 - i) for i in range(100)]
    seen = []
    for _ in range(20):
        found = find_parting(rows([0.1 * i for i in range(100)], random.normal(turned, 0.3).tolist(), 0.3))
        assert found is not None and 40 <= found.update <= 56
        seen.append(found.seen)
    assert max(seen) < 75
