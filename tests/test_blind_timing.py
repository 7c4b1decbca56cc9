"""Times say nothing of who writes which side, where replies are shown together; and the check would see it if they did.

A classifier gets every time that a client can clock over 96 comparisons between a fast and a slow model, six times as
slow. It sounds the alarm at 67 right, to which tossing a coin comes once in 10,000 runs; a leak by which it is right in
80 of 100 comparisons is missed six times in 1,000. More, in all three modes: ``benchmarks/blind_timing.py``.
"""

from collections.abc import Iterator
from math import comb
from pathlib import Path

import numpy as np
import pytest

from concordant.collect import generator, replies_watch
from concordant.collect.reply_text import Show
from concordant.collect.room import Room
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from timing_guess import Clocked, Guesses, deploy_fast_and_slow, features, guess, guess_sides
from visitors import fresh_store

WORKERS, TURNS = 24, 4
PACE = (0.002, 0.012)
ALARM = 1e-4


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture(autouse=True)
def fine_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages look and write twice as often as they do in use, so that times are told more finely."""
    monkeypatch.setattr(replies_watch, "POLL_SECONDS", 0.1)
    for name in ("FLUSH_SECONDS", "IDLE_SECONDS", "GATHER_SECONDS", "MOST_GATHERING"):
        monkeypatch.setattr(generator, name, 0.1)


def guesses(store: Database, show: Show) -> Guesses:
    fast, _ = deploy_fast_and_slow(store)
    room = Room(store, CollectConfig(show=show, cross_model_share=1.0), seed=f"blind {show}")
    return guess_sides(room, fast, PACE, (WORKERS, TURNS))


@pytest.mark.slow
def test_together_the_sides_cannot_be_told_by_their_times(store: Database) -> None:
    found = guesses(store, "together")
    assert found.of == WORKERS * TURNS
    assert found.chance > ALARM, f"{found.right} of {found.of} guessed right"


@pytest.mark.slow
def test_the_same_check_tells_them_where_each_reply_is_shown_as_it_is_written(store: Database) -> None:
    found = guesses(store, "free")
    assert found.share > 0.75 and found.chance < 1e-5, f"only {found.right} of {found.of}, so the check sees too little"


def test_how_much_of_a_leak_the_check_sees() -> None:
    """The bound in the words above, worked out from the binomial distribution."""
    number = WORKERS * TURNS
    bound = next(right for right in range(number) if Guesses(right, number).chance <= ALARM)
    assert bound == 67
    missed = sum(comb(number, k) * 0.8**k * 0.2 ** (number - k) for k in range(bound))
    assert missed == pytest.approx(6.04e-3, rel=0.01)


def test_a_planted_difference_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(192) < 0.5
    noise = rng.normal(size=(192, 20))
    assert guess(noise.tolist(), truth.tolist()).chance > 0.01
    noise[:, 7] += truth * 2.0
    assert guess(noise.tolist(), truth.tolist()).chance < 1e-6


def test_a_side_is_described_by_its_first_and_last_growth() -> None:
    clocked = Clocked("c", [0.0, 0.1, 0.2, 2.0, 2.1, 2.2], [(0.5, 0, 0), (1.0, 10, 0), (1.5, 30, 0), (1.8, 30, 8)])
    found = features(clocked)
    assert found[:5] == pytest.approx([0.1, 0.1, 1.8, 0.1, 0.1])
    assert found[9:14] == pytest.approx([1.0 - 1.8, 1.5 - 1.8, 0.5 - 0.0, 2 - 1, 40.0 - 0.0])
