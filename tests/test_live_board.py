import time

import numpy as np
import pytest

from concordant.bradley_terry import Game
from concordant.evaluate.elo import board
from concordant.live_board import LiveBoard


def stream(number: int, models: int = 4, workers: int = 8, seed: int = 0) -> list[Game]:
    random = np.random.default_rng(seed)
    made = []
    for _ in range(number):
        a, b = (int(index) for index in random.choice(models, 2, replace=False))
        left = bool(random.random() < 0.5)
        won = random.random() < 1 / (1 + np.exp(-0.4 * (a - b) - (0.3 if left else -0.3)))
        names = (f"m{a}", f"m{b}") if won else (f"m{b}", f"m{a}")
        made.append(Game(*names, f"w{random.integers(workers)}", left if won else not left))
    return made


def test_after_the_last_vote_it_is_the_board() -> None:
    games, live = stream(150), LiveBoard("m0")
    for game in games:
        live.vote(game)
    whole = board(games, anchor="m0")
    assert live.is_settled
    assert [rating.model for rating in live.ratings()] == [rating.model for rating in whole.ratings]
    for mine, its in zip(live.ratings(), whole.ratings, strict=True):
        assert mine.elo == pytest.approx(its.elo, abs=1e-6)
        assert mine.games == its.games
        if mine.model != "m0":
            assert mine.error is not None
            # sandwich and bootstrap speak of the same spread
            assert mine.error == pytest.approx(
                np.std([400 / np.log(10) * row[int(its.model[1:])] for row in whole.fitted.sure.draws]), rel=0.35
            )
    assert whole.side_effect is not None
    assert live.side_effect == pytest.approx(whole.side_effect.elo, abs=1e-6)


def test_from_the_first_vote_on_it_says_something() -> None:
    live = LiveBoard("old", ["new"])
    assert [rating.elo for rating in live.ratings()] == [0, 0]
    live.vote(Game("new", "old", "w"))
    assert not live.is_settled
    # 1½ to ½, with the virtual game that is half won
    assert live.ratings()[0].elo == pytest.approx(400 * np.log10(3))
    live.vote(Game("old", "new", "w"))
    assert live.is_settled
    assert [(rating.model, rating.elo, rating.error) for rating in live.ratings()] == [
        ("new", pytest.approx(0, abs=1e-6), None),
        ("old", 0, None),
    ]
    live.vote(Game("third", "new", "w"))
    assert {rating.model for rating in live.ratings()} == {"old", "new", "third"}
    with pytest.raises(ValueError, match="'new' cannot beat itself"):
        live.vote(Game("new", "new"))


def test_a_vote_among_fifty_models_takes_milliseconds() -> None:
    live = LiveBoard("m0", [f"m{index}" for index in range(50)])
    games = stream(200, models=50, workers=5, seed=1)
    took = []
    for game in games:
        began = time.perf_counter()
        live.vote(game)
        took.append(time.perf_counter() - began)
    assert float(np.median(took)) < 0.1
