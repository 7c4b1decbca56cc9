"""What work earns: sums by hand, and what holds of every sum."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.config import load_config
from concordant.errors import UserError
from concordant.programme_config import PayConfig, ProgrammeConfig
from concordant.store.pay_rules import Task, Terms, amount_text, earned, hourly, money, parse_amount, short_of_floor

TASKS = Terms("EUR", "task", 150, red_team_extra=50, part=Fraction(1, 2), floor=1200)
HOURS = Terms("EUR", "hour", 1500, red_team_extra=50, part=Fraction(1, 2), floor=1200)


def test_by_task() -> None:
    tasks = [Task(False, 4, 4), Task(True, 4, 4), Task(False, 1, 4), Task(True, 3, 4)]
    # 150 + 200 + 150 · ½ · ¼ (18.75) + 200 · ½ · ¾ (75) = 443.75, rounded up once
    assert earned(TASKS, tasks, 0) == 444
    assert earned(TASKS, [], 3600) == 0
    assert earned(TASKS, [Task(False, 0, 4)], 0) == 0, "a task in which nothing was chosen"


def test_what_a_failure_of_ours_broke_off() -> None:
    broke = Task(False, 1, 4, broke=True)
    assert earned(TASKS, [broke], 0) == 150
    assert earned(Terms("EUR", "task", 150, part=Fraction(1, 2), broken_whole=False), [broke], 0) == 19  # 18.75


def test_by_hour() -> None:
    # 1500 · 1000 / 3600 = 416.67, and 50 for a red-team task
    assert earned(HOURS, [Task(True, 4, 4), Task(False, 1, 4)], 1000) == 467
    assert earned(HOURS, [Task(True, 2, 4)], 3600) == 1513  # 1500 + 50 · ½ · ½ = 12.5


def test_hourly_rate_and_what_would_lift_it_to_the_floor() -> None:
    assert hourly(300, 900) == 1200 and hourly(300, 0) is None
    assert short_of_floor(TASKS, 300, 900) == 0
    assert short_of_floor(TASKS, 300, 901) == 1  # 1200 · 901 / 3600 = 300.33: a whole cent more
    assert short_of_floor(Terms("EUR", "task", 150), 0, 900) == 0, "no floor"


@pytest.mark.parametrize(
    ("units", "currency", "said"),
    [(1240, "EUR", "12.40"), (5, "USD", "0.05"), (0, "USD", "0.00"), (1240, "JPY", "1240"), (1240, "KWD", "1.240")],
)
def test_amounts_are_exact_in_every_currency(units: int, currency: str, said: str) -> None:
    assert amount_text(units, currency) == said
    assert money(units, currency) == f"{said} {currency}"
    if units:
        assert parse_amount(said, currency) == units


@pytest.mark.parametrize("text", ["", "0", "-1", "1.234", "NaN", "Infinity", "1e999999999", "twelve", "1e12"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UserError, match=r"is no amount of EUR; write one such as 2\.50"):
        parse_amount(text, "EUR")


def test_terms_come_from_the_settings_exactly() -> None:
    overrides = ["pay.currency=EUR", "pay.amount=0.29", "pay.red_team_extra='0.10'", "pay.part=0.7", "pay.floor=14"]
    config = load_config(ProgrammeConfig, None, overrides).pay
    assert config.amount == Decimal("0.29")
    assert Terms.of(config) == Terms("EUR", "task", 29, 10, Fraction(7, 10), True, 1400, 600)
    assert not Terms.of(PayConfig()).is_set


@pytest.mark.parametrize("override", ["pay.amount=0.001", "pay.floor=-1", "pay.currency=euro", "pay.part=1.5"])
def test_settings_that_cannot_be(override: str) -> None:
    with pytest.raises(UserError, match="pay"):
        load_config(ProgrammeConfig, None, [override])
    with pytest.raises(UserError, match="more digits than JPY has"):
        load_config(ProgrammeConfig, None, ["pay.currency=JPY", "pay.amount=0.5"])


A_TASK = st.builds(
    lambda red, turns, made, broke: Task(red, min(made, turns), turns, broke),
    st.booleans(),
    st.integers(1, 6),
    st.integers(0, 6),
    st.booleans(),
)
THE_TERMS = st.builds(
    Terms,
    currency=st.just("EUR"),
    mode=st.sampled_from(["task", "hour"]),
    amount=st.integers(0, 10_000),
    red_team_extra=st.integers(0, 500),
    part=st.fractions(0, 1),
    broken_whole=st.booleans(),
    floor=st.integers(0, 3000),
)


@given(THE_TERMS, st.lists(A_TASK, max_size=6), A_TASK, st.integers(0, 20_000))
def test_more_work_never_earns_less_and_nothing_is_negative(
    terms: Terms, tasks: list[Task], more: Task, seconds: int
) -> None:
    before, after = earned(terms, tasks, seconds), earned(terms, [*tasks, more], seconds + 60)
    assert 0 <= before <= after
    assert earned(terms, tasks[::-1], seconds) == before, "the order of tasks is nothing"
    lifted = before + short_of_floor(terms, before, seconds)
    assert short_of_floor(terms, lifted, seconds) == 0
    assert 3600 * lifted >= terms.floor * seconds
