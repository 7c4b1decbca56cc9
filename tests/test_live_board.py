import time
from collections import Counter

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


def votes_of(games: list[Game]) -> Counter[tuple[str, str, int, str | None]]:
    sides = {True: 1, False: -1, None: 0}
    return Counter((game.winner, game.loser, sides[game.winner_left], game.worker) for game in games)


def test_many_votes_at_once_are_the_same_as_one_by_one() -> None:
    games = stream(150)
    one_by_one, at_once = LiveBoard("m0"), LiveBoard("m0")
    for game in games:
        one_by_one.vote(game)
    at_once.count(votes_of(games))
    for mine, its in zip(at_once.ratings(), one_by_one.ratings(), strict=True):
        assert (mine.model, mine.games) == (its.model, its.games)
        assert (mine.elo, mine.error or 0) == pytest.approx((its.elo, its.error or 0), abs=1e-6)


def test_votes_that_are_taken_back_leave_no_trace() -> None:
    games, more = stream(120), stream(30, seed=1)
    board_, changed = LiveBoard("m0"), LiveBoard("m0")
    board_.count(votes_of(games))
    changed.count(votes_of([*games, *more]))
    changed.count({vote: -times for vote, times in votes_of(more).items()})
    assert changed.workers == board_.workers
    for mine, its in zip(changed.ratings(), board_.ratings(), strict=True):
        assert mine.games == its.games and mine.elo == pytest.approx(its.elo, abs=1e-6)
    with pytest.raises(ValueError, match="taken back more often"):
        board_.count({("m0", "m1", 1, "nobody"): -1})
    with pytest.raises(ValueError, match="cannot beat itself"):
        board_.count({("m0", "m0", 1, "nobody"): 1})


def test_two_models_against_each_other() -> None:
    live = LiveBoard("old")
    live.count({("new", "old", 0, f"w{n}"): 3 for n in range(5)} | {("old", "new", 0, f"w{n}"): 1 for n in range(5)})
    meeting = live.meeting("new", "old")
    assert meeting.wins == (15, 5) and meeting.win_rate == pytest.approx(0.75)
    assert meeting.ci95 == pytest.approx((0.75, 0.75)), "all workers say the same"
    live.count({("old", "new", 0, "w0"): 2})
    low, high = live.meeting("new", "old").ci95 or (0, 0)
    # 15 of 22, and five workers' residues: w0 3 − 6·15/22, the others 3 − 4·15/22; sandwich with the factor 5/4
    share, residues = 15 / 22, [3 - 6 * 15 / 22] + [3 - 4 * 15 / 22] * 4
    error = np.sqrt(5 / 4 * sum(one**2 for one in residues)) / (22 * share * (1 - share))
    gap = np.log(share / (1 - share))
    wanted = [1 / (1 + np.exp(-(gap + sign * 1.959964 * error))) for sign in (-1, 1)]
    assert (low, high) == pytest.approx(wanted, abs=1e-5)
    flipped = live.meeting("old", "new")
    assert flipped.ci95 == pytest.approx((1 - high, 1 - low)) and flipped.wins == (7, 15)


def test_models_that_no_game_links_are_told() -> None:
    live = LiveBoard("a")
    live.count({("a", "b", 1, "w"): 2, ("b", "a", -1, "w"): 1, ("c", "d", 1, "w"): 1})
    assert live.groups == [["a", "b"], ["c", "d"]] and not live.is_settled
    assert live.meeting("a", "b").ci95 is None
