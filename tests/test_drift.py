import math
import random
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.drift import (
    LEVEL,
    LOOKS,
    Moment,
    Work,
    binomial_p,
    fisher_p,
    signs,
    verdict_mean,
    weeks,
    within_spread,
)
from readings import NOON


def test_exact_probabilities_by_hand() -> None:
    assert binomial_p(0, 5) == pytest.approx(2 / 32)
    assert binomial_p(8, 10) == pytest.approx(2 * (45 + 10 + 1) / 1024)
    assert binomial_p(5, 10) == pytest.approx(1.0)
    assert fisher_p(4, 4, 0, 4) == pytest.approx(2 / 70)
    assert fisher_p(3, 4, 1, 4) == pytest.approx(34 / 70), "1 + 16 + 16 + 1 of the 70 tables"


@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_which_part_is_called_new_does_not_matter(n: int, m: int, data: st.DataObject) -> None:
    a, b = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    p = fisher_p(a, n, b, m)
    assert 0 < p <= 1
    assert fisher_p(b, m, a, n) == pytest.approx(p)
    assert fisher_p(n - a, n, m - b, m) == pytest.approx(p)


def row(values: Sequence[int | float]) -> list[Moment]:
    return [Moment(NOON + timedelta(hours=place), float(value)) for place, value in enumerate(values)]


def test_a_worker_who_turns_to_one_side_is_flagged_and_a_steady_one_is_not() -> None:
    steady = Work(buttons=row([2, 7] * 100), seconds=row([30.0, 40.0] * 50), lengths=row([80.0, 90.0] * 50))
    assert [sign.name for sign in signs(steady)] == ["side", "strongest", "weakest", "pace", "length"]
    assert [sign.name for sign in signs(steady) if sign.flagged] == []
    turned = Work(buttons=row([2, 7] * 50 + [2] * 80 + [7] * 20))
    (side,) = [sign for sign in signs(turned) if sign.flagged]
    assert (side.name, side.newer, side.n_newer, side.older) == ("side", 0.8, 100, 0.5)
    assert side.p == pytest.approx(binomial_p(80, 100)) and side.p < LEVEL / LOOKS


def test_pace_and_verdicts_that_change_are_flagged_with_both_numbers() -> None:
    work = Work(seconds=row([40.0] * 60 + [8.0] * 30), verdicts=row([1.0] * 20 + [4.0] * 10))
    found = {sign.name: sign for sign in signs(work)}
    assert found["pace"].flagged and (found["pace"].newer, found["pace"].older) == (8.0, 40.0)
    assert found["verdicts"].flagged and (found["verdicts"].newer, found["verdicts"].older) == (1.0, 0.0)


def test_too_little_work_is_not_looked_at() -> None:
    assert signs(Work(buttons=row([1] * 39), verdicts=row([5.0] * 19))) == []


def test_steady_workers_are_hardly_ever_flagged() -> None:
    rng = random.Random(1)
    flagged = 0
    for _ in range(200):
        work = Work(
            buttons=row([float(rng.randint(1, 8)) for _ in range(150)]),
            seconds=row([rng.expovariate(1 / 30) for _ in range(150)]),
            verdicts=row([float(rng.randint(1, 4)) for _ in range(30)]),
        )
        flagged += any(sign.flagged for sign in signs(work))
    assert flagged <= 6, "about LEVEL of 200, which is 2; more than 6 has a chance of 0.5 %"


def test_a_mean_verdict_by_hand() -> None:
    """2, 2, 3, 1: own variance ½, mixed with 1 as heavy as four: (4 · ½ + 4) / 7; Student's t with 7 degrees."""
    found = verdict_mean([2.0, 2.0, 3.0, 1.0], [1.0] * 4, spread=1.0)
    half = 2.3646 * math.sqrt(6 / 7 / 4)
    assert found.value == 2.0 and found.ci95 == pytest.approx((1.0, 2 + half), abs=0.01)


def test_a_verdict_counts_for_the_conversations_that_were_not_read() -> None:
    assert verdict_mean([1.0, 3.0], [1.0, 3.0]).value == 2.5
    few, many = verdict_mean([2.0] * 3, [1.0] * 3).ci95, verdict_mean([2.0] * 30, [1.0] * 30).ci95
    assert few is not None and many is not None
    assert few[1] - few[0] > many[1] - many[0] > 0, "equal verdicts do not look certain"
    assert verdict_mean([], []).value is None


def test_spread_within_workers_by_hand() -> None:
    assert within_spread([[1.0, 3.0], [2.0], [4.0, 4.0]]) == pytest.approx(1.0), "√(2 / 2)"
    assert within_spread([[2.0]]) == 1.0


def test_weeks_begin_on_monday_and_hold_their_own_work() -> None:
    sunday = NOON + timedelta(days=6, hours=11)
    work = Work(
        verdicts=[Moment(NOON, 1.0), Moment(sunday + timedelta(hours=2), 3.0)],
        weights=[1.0, 1.0],
        seconds=[Moment(NOON, 10.0), Moment(sunday, 30.0)],
        buttons=[Moment(NOON, 1.0), Moment(NOON, 5.0), Moment(sunday, 8.0)],
        agreed=[Moment(NOON, 1.0)],
    )
    first, second = weeks(work)
    assert str(first.monday) == "2026-03-02" and str(second.monday) == "2026-03-09"
    assert (first.pace.value, first.pace.n) == (20.0, 2)
    assert first.left.value == pytest.approx(1 / 3) and first.strongest.value == pytest.approx(2 / 3)
    assert first.weakest.value == pytest.approx(1 / 3) and first.agreed.n == 1
    assert (first.verdict.value, second.verdict.value) == (1.0, 3.0) and second.left.n == 0
