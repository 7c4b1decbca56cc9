"""The limits on red-team work, worked out by hand and for any history."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.care import Held, NextTask, break_until, limited, wish
from concordant.comparison import Objective
from concordant.programme_config import CareConfig, CollectConfig
from concordant.store.sittings import Stint

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
CARE = CareConfig(red_team_per_session=3, red_team_per_day=5, break_after=2, break_minutes=10)
DARK, LIGHT = Objective.HARMLESS, Objective.HELPFUL


def stint(objective: Objective, began: float, ended: float | None, here: bool = True) -> Stint:
    """Minutes before noon."""
    end = None if ended is None else NOON - timedelta(minutes=ended)
    return Stint(objective, NOON - timedelta(minutes=began), end, here)


@pytest.mark.parametrize(
    ("stints", "held"),
    [
        ([], Held.NOT),
        ([stint(DARK, 5, 1)], Held.NOT),
        ([stint(DARK, 9, 6), stint(DARK, 5, 1)], Held.BREAK),
        ([stint(DARK, 90, 80), stint(DARK, 5, 1)], Held.NOT),  # a pause lay between
        ([stint(DARK, 30, 26), stint(DARK, 25, 10)], Held.NOT),  # the break is just over
        ([stint(DARK, 15, 12), stint(LIGHT, 12, 6), stint(DARK, 5, 1)], Held.BREAK),  # helpful work of 7 minutes
        ([stint(DARK, 99, 90), stint(DARK, 79, 70), stint(DARK, 59, 50)], Held.SESSION),
        ([stint(DARK, 99, 90, False), stint(DARK, 79, 70, False), stint(DARK, 59, 50, False)], Held.NOT),
        ([stint(DARK, 20 * n + 9, 20 * n, False) for n in (5, 4, 3, 2, 1)], Held.DAY),
    ],
)
def test_what_holds_red_team_work_back(stints: list[Stint], held: Held) -> None:
    task = limited(DARK, CARE, False, stints, NOON)
    assert task.held is held
    assert task.objective is (DARK if held is Held.NOT else LIGHT)


def test_a_break_says_when_it_is_over() -> None:
    stints = [stint(DARK, 9, 6), stint(DARK, 5, 1)]
    assert limited(DARK, CARE, False, stints, NOON) == NextTask(LIGHT, Held.BREAK, NOON + timedelta(minutes=9))
    assert break_until(CARE, [stint(DARK, 9, 6), stint(DARK, 5, None)]) is None, "one is still going on"


def test_who_asks_for_everyday_work_gets_it() -> None:
    assert limited(DARK, CARE, True, [], NOON) == NextTask(LIGHT, Held.WISH)
    assert limited(LIGHT, CARE, True, [], NOON) == NextTask(LIGHT)


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("helpful", [LIGHT] * 4), ("red-team", [DARK] * 4), ("alternating", [LIGHT, DARK, LIGHT, DARK])],
)
def test_the_policies(policy: str, wanted: list[Objective]) -> None:
    config = CollectConfig.model_validate({"policy": policy})
    stints = [stint(DARK, 600, 590, here=False)]  # of another sitting
    for expected in wanted:
        assert wish(config, stints, random.Random(0)) is expected
        stints.append(stint(expected, 5, 1))


def test_drawn_follows_the_share() -> None:
    rng, config = random.Random(1), CollectConfig(red_team_share=0.25)
    drawn = sum(wish(config, [], rng) is DARK for _ in range(2000))
    assert 400 < drawn < 600


@given(
    minutes=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), max_size=40),
    care=st.builds(
        CareConfig,
        red_team_per_session=st.integers(0, 6),
        red_team_per_day=st.integers(0, 8),
        break_after=st.integers(1, 4),
        break_minutes=st.integers(0, 20),
    ),
)
def test_nobody_gets_more_than_the_limits_whatever_the_rhythm(minutes: list[tuple[int, int]], care: CareConfig) -> None:
    """A worker takes every red-team task that is offered, with any pauses between."""
    stints: list[Stint] = []
    now, on_end, last = NOON, 0, None
    for pause, length in minutes:
        now += timedelta(minutes=pause)
        task = limited(DARK, care, False, stints, now)
        end = now + timedelta(minutes=length)
        if task.objective is DARK:
            rested = last is None or now - last >= timedelta(minutes=care.break_minutes)
            on_end, last = (1 if rested else on_end + 1), end
        stints.append(Stint(task.objective, now, end, here=True))
        now = end
        assert on_end <= care.break_after
    dark = [one for one in stints if one.objective is DARK]
    assert len(dark) <= care.red_team_per_session
    for one in dark:
        day = [other for other in dark if one.began <= other.began < one.began + timedelta(days=1)]
        assert len(day) <= care.red_team_per_day
