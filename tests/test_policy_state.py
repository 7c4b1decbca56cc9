"""The rate of each update, by hand. Saving and going on: ``tests/pipeline``."""

from typing import Any

import pytest

from concordant.train.policy_state import policy_rate
from concordant.train_config import PolicyConfig


def rates(count: int, **settings: Any) -> list[float]:
    config = PolicyConfig(prompts_per_update=5, replies_per_prompt=2, learning_rate=0.8, **settings)
    return [policy_rate(config, step) for step in range(count)]


def test_without_a_schedule_the_rate_is_constant() -> None:
    assert rates(5) == [0.8] * 5


def test_the_rate_rises_over_the_first_samples() -> None:
    """Ten samples an update, forty to rise over: a quarter each, and no update at 0."""
    assert rates(6, warmup_samples=40) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates(2, warmup_samples=15) == pytest.approx([0.8 * 10 / 15, 0.8])


def test_the_rate_halves_again_and_again() -> None:
    """After 20 samples and after 40; an update in which they are reached still has the old one."""
    assert rates(6, halving_samples=20) == [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    assert rates(4, halving_samples=25) == [0.8, 0.8, 0.8, 0.4]


def test_both_at_once() -> None:
    assert rates(4, warmup_samples=20, halving_samples=30) == pytest.approx([0.4, 0.8, 0.8, 0.4])
