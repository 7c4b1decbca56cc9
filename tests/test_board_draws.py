import numpy as np
import pytest

from concordant.board_fit import Model, fit
from concordant.bradley_terry import Game
from concordant.errors import UserError
from concordant.evaluate import board_draws
from concordant.evaluate.board_draws import Draws, How, draw, widening
from concordant.evaluate.votes import Votes, count, votes_from_games


def leaning(workers: int = 12, talks: int = 6, named: bool = True) -> Votes:
    """Workers with leans of their own, four votes in each of several conversations."""
    random, made = np.random.default_rng(1), []
    for worker in range(workers):
        chance = 1 / (1 + np.exp(-0.3 - random.normal(0, 0.8)))
        for talk in range(talks):
            for won in random.random(4) < chance:
                names = ("a", "b") if won else ("b", "a")
                made.append(Game(*names, f"w{worker}" if named else None, conversation=f"t{talk}"))
    votes = votes_from_games(made)
    assert votes is not None
    return votes


def drawn(votes: Votes, how: How) -> Draws:
    counted = count(votes)
    model = Model(counted.cells, 1)
    return draw(model, votes, counted, fit(model, counted.votes), how)


def test_drawing_conversations_too_is_wider() -> None:
    votes = leaning()
    workers, both = (drawn(votes, How(what, 800)) for what in ("workers", "both"))
    assert workers.method == "bootstrap over 12 workers, 800 draws"
    assert both.method == "bootstrap over 12 workers and their 72 conversations, 800 draws"
    spread = both.draws[:, 0].std() / workers.draws[:, 0].std()
    assert 1.02 < spread < 1.42
    assert workers.interval(0) != both.interval(0)
    assert both.widen == workers.widen


def test_whole_workers_drawn_by_hand() -> None:
    # each worker decides alone: with worker i drawn k_i times, the gap is the log odds of the drawn wins
    votes = leaning(6, 3)
    made = drawn(votes, How("workers", 50, seed=4))
    random = np.random.default_rng(4)
    for row in made.draws:
        times = np.bincount(random.integers(0, 6, 6), minlength=6)
        weight = times[votes.worker]
        won = (weight * (votes.winner == 0)).sum()
        if 0 < won < weight.sum():
            assert row[0] == pytest.approx(np.log(won / (weight.sum() - won)), abs=1e-8)


def test_without_memory_for_a_table_the_draws_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    votes = leaning()
    usual = drawn(votes, How("both", 60))
    monkeypatch.setattr(board_draws, "_LARGEST", 1)
    assert np.allclose(usual.draws, drawn(votes, How("both", 60)).draws, atol=1e-9)


def test_conversations_stand_in_for_workers_who_are_not_known() -> None:
    made = drawn(leaning(1, 20, named=False), How(replicates=50))
    assert made.method.startswith("bootstrap over 20 conversations, 50 draws, which says nothing about other workers")
    assert "no game says who judged it" in made.method
    four = drawn(leaning(4, 1), How(replicates=50))
    assert four.method.startswith("Fisher information") and "4 workers judged" in four.method
    assert four.draws.shape == (50, 3)
    assert four.draws[:, 0].std() == pytest.approx(four.errors[0] if four.errors is not None else 0, rel=0.35)


def test_conversations_that_nobody_noted_cannot_be_drawn() -> None:
    votes = votes_from_games([Game("a", "b", f"w{i}") for i in range(6)] + [Game("b", "a", "w1")])
    assert votes is not None
    with pytest.raises(UserError, match="no game says which conversation"):
        drawn(votes, How("both"))


def test_few_or_unequal_workers_widen_the_interval() -> None:
    # 10 equal workers: √(10/9) · t(9) / z = 1.054 · 2.262 / 1.960
    assert widening(np.repeat(np.arange(10), 7)) == pytest.approx(1.2166, abs=1e-3)
    # one with 15 of 30 votes and 15 with one each vary like 30² / (15² + 15) = 3.75 equal ones
    unequal = np.concatenate([np.zeros(15, dtype=np.int64), np.arange(1, 16)])
    assert widening(unequal) == pytest.approx((3.75 / 2.75) ** 0.5 * 3.182446 / 1.959964, abs=1e-6)
    assert widening(np.repeat(np.arange(2000), 2)) == pytest.approx(1.0, abs=2e-3)


def test_ranks_count_who_is_clearly_better() -> None:
    random = np.random.default_rng(0)
    estimate = np.array([3.0, 1.0, 0.9, 0.0])
    noise = 0.1 * random.standard_normal((2000, 4))
    noise[:, 3] = 0
    made = Draws(estimate, estimate + noise, None, 1.0, "", np.arange(4))
    assert made.ranks(4) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert made.ranks(1) == [(1, 1)]
