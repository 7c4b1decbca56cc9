import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from concordant.bradley_terry import Game, elo_from_gap, gap_from_probability
from concordant.comparison import Comparison, Objective, Preference, Side
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.board_draws import How
from concordant.evaluate.elo import Settings, board, fit_board, games_from_preferences
from concordant.evaluate.votes import Votes


def games(*counts: tuple[str, str, int], workers: int = 6) -> list[Game]:
    """``(winner, loser, how often)``, judged by the workers in turn."""
    made = [Game(winner, loser) for winner, loser, count in counts for _ in range(count)]
    return [Game(game.winner, game.loser, f"w{index % workers}") for index, game in enumerate(made)]


def test_three_to_one_is_191_elo() -> None:
    result = board(games(("new", "old", 30), ("old", "new", 10)), anchor="old")
    new, old = result.ratings
    assert (new.model, old.model) == ("new", "old")
    assert new.elo == pytest.approx(400 * math.log10(3))  # 190.8
    assert (old.elo, old.ci95, new.games) == (0.0, (0.0, 0.0), 40)
    assert new.ci95[0] < new.elo < new.ci95[1]
    (pair,) = result.pairs
    assert (pair.model_a, pair.wins_a.value, pair.wins_a.n) == ("new", 0.75, 40)
    assert pair.expected == pytest.approx(0.75)


def test_the_anchor_is_the_model_with_the_most_games_unless_one_is_named() -> None:
    played = games(("a", "b", 3), ("b", "a", 3), ("b", "c", 3), ("c", "b", 3))
    assert board(played).anchor == "b"
    assert board(played, anchor="c").anchor == "c"
    with pytest.raises(UserError, match=r"anchor 'd' is not among the models \(a, b, c\)"):
        board(played, anchor="d")


def test_the_order_of_games_does_not_matter() -> None:
    played = games(("a", "b", 7), ("b", "a", 3), ("b", "c", 5), ("c", "b", 4), ("a", "c", 2))
    assert board(played).json() == board(played[::-1]).json()


def test_known_ratings_are_recovered() -> None:
    random = np.random.default_rng(3)
    truth = {"a": 0.0, "b": 80.0, "c": 150.0, "d": 300.0}
    played = []
    for index in range(12_000):
        first, second = random.choice(list(truth), 2, replace=False)
        chance = 1 / (1 + 10 ** ((truth[second] - truth[first]) / 400))
        won = random.random() < chance
        played.append(Game(str(first if won else second), str(second if won else first), f"w{index % 30}"))
    result = board(played, anchor="a")
    for rating in result.ratings:
        assert rating.elo == pytest.approx(truth[rating.model], abs=25)
        assert rating.ci95[1] - rating.ci95[0] < 60


def columns(won: NDArray[np.bool_], worker: NDArray[np.int64]) -> Votes:
    """Votes between "new" and "old", by numbered workers."""
    nothing, names = np.zeros(len(won), dtype=np.int64), tuple(f"w{index:04}" for index in range(worker.max() + 1))
    return Votes(("new", "old"), np.where(won, 0, 1), np.where(won, 1, 0), nothing, nothing, worker, names)


def test_intervals_know_that_one_worker_judges_many() -> None:
    # Each of 16 workers leans by ±1 unit of score. Over workers, the better model wins the mean of σ(0.5 ± 1).
    random = np.random.default_rng(0)
    wins = (1 / (1 + math.exp(-1.5)) + 1 / (1 + math.exp(0.5))) / 2
    truth = gap_from_probability(wins)
    settings, rounds, by_worker, by_vote = Settings(how=How(replicates=300)), 200, 0, 0
    worker = np.repeat(np.arange(16), 25)
    for _ in range(rounds):
        lean = random.choice([-1.0, 1.0], 16)[worker]
        won = random.random(400) < 1 / (1 + np.exp(-0.5 - lean))
        low, high = fit_board(columns(won, worker), "old", None, settings).sure.interval(0)
        by_worker += low <= truth <= high
        naive = fit_board(columns(won, np.arange(400)), "old", None, settings).sure
        assert naive.method == "bootstrap over 400 workers, 300 draws"
        low, high = naive.interval(0)
        by_vote += low <= truth <= high
    assert 0.91 * rounds <= by_worker <= 0.99 * rounds  # 0.95, and 2.6 standard errors to either side
    assert by_vote <= 0.75 * rounds


def test_ratings_side_and_thresholds_are_recovered_together() -> None:
    random = np.random.default_rng(8)
    truth, side, cuts = {"a": 0.0, "b": 0.5, "c": 1.2}, 0.3, np.array([0.4, 1.0, 2.0])
    played = []
    for index in range(9000):
        left, right = (str(name) for name in random.choice(list(truth), 2, replace=False))
        shown = truth[left] - truth[right] + side + random.logistic()
        names = (left, right) if shown > 0 else (right, left)
        strength = 1 + int((abs(shown) > cuts).sum())
        played.append(Game(*names, f"w{index % 40}", shown > 0, strength))
    result = board(played, "a", settings=Settings(ordinal=True, how=How(replicates=300)))
    elo = {rating.model: rating.elo for rating in result.ratings}
    assert elo == {name: pytest.approx(elo_from_gap(score), abs=12) for name, score in truth.items()}
    assert result.side_effect is not None
    assert result.side_effect.elo == pytest.approx(elo_from_gap(side), abs=12)
    for cut, (level, effect) in zip(cuts, result.thresholds.items(), strict=True):
        assert level == 2 + list(cuts).index(cut)
        assert effect.elo == pytest.approx(elo_from_gap(float(cut)), abs=12)
        assert effect.ci95[0] < effect.elo < effect.ci95[1]


def test_too_few_workers_fall_back_and_say_so() -> None:
    played = games(("a", "b", 30), ("b", "a", 10), workers=4)
    result = board(played, anchor="b")
    assert result.interval_method.startswith("Fisher information")
    assert "4 workers judged" in result.interval_method
    # se = 1 / √(40 · ¾ · ¼) = 0.365; 1.96 of them in Elo
    assert result.ratings[0].ci95[1] - result.ratings[0].elo == pytest.approx(elo_from_gap(1.959964 * 0.3651484))
    nobody = board([Game(game.winner, game.loser) for game in played])
    assert "no game says who judged" in nobody.interval_method
    assert nobody.workers == 0


def test_games_without_a_judge_count_as_one_worker_together() -> None:
    known = games(("a", "b", 30), ("b", "a", 10), workers=5)
    result = board([*known, *(Game("a", "b") for _ in range(10))])
    assert "6 workers" in result.interval_method
    assert result.workers == 5


def test_one_sided_draws_are_counted() -> None:
    # one worker holds all of the weaker model's wins, and is left out of a third of the draws
    played = [Game("b", "a", "w0")] * 3 + [Game("a", "b", f"w{index}") for index in range(8) for _ in range(3)]
    result = board(played)
    assert "one-sided, kept finite" in result.interval_method
    assert all(math.isfinite(limit) for rating in result.ratings for limit in rating.ci95)


def test_one_side_that_won_everything_is_refused_with_what_can_be_said() -> None:
    # Wilson's lower limit of 12 in 12 is 12 / (12 + 3.84) = 75.75 %
    with pytest.raises(UserError, match=r"'new' won all 12 games against 'old'.*at least 76 %.*collect more"):
        board(games(("new", "old", 12)))


def test_models_that_never_met_are_named() -> None:
    with pytest.raises(UserError, match="no game links 'a', 'b' and 'c', 'd'"):
        board(games(("a", "b", 2), ("b", "a", 2), ("c", "d", 2), ("d", "c", 2)))


def test_a_model_that_lost_everything_is_named() -> None:
    with pytest.raises(UserError, match="'a', 'b' won all 5 games against 'c'"):
        board(games(("a", "b", 2), ("b", "a", 2), ("a", "c", 3), ("b", "c", 2)))


def test_no_games_is_an_error() -> None:
    with pytest.raises(UserError, match="no games to rate"):
        board([])


def test_the_left_side_is_watched() -> None:
    played = [Game("a", "b", f"w{i % 5}", winner_left=i % 4 != 0) for i in range(40)]
    result = board([*played, *games(("b", "a", 20))])
    assert result.left_wins is not None
    assert (result.left_wins.value, result.left_wins.n) == (0.75, 40)
    assert board(games(("a", "b", 2), ("b", "a", 2))).left_wins is None


def test_json_is_the_contract() -> None:
    result = board(games(("a", "b", 30), ("b", "a", 10)), dropped={"weakest strength": 2}).json()
    assert result["ratings"][0].keys() == {"model", "elo", "ci95", "games", "rank", "rank95"}
    assert (result["n"], result["dropped"], result["workers"]) == (40, {"weakest strength": 2}, 6)
    assert result["win_rates"][0].keys() == {"model_a", "model_b", "n", "win_rate", "ci95", "expected"}
    json.dumps(result, allow_nan=False)


def stored(preferred: Side, models: tuple[str, str] | None, strength: int | None = 4) -> Preference:
    comparison = Comparison(Conversation().human("hi"), "one", "two")
    return Preference(comparison, preferred, Objective.HELPFUL, strength=strength, worker="w", models=models)


def test_games_come_from_clear_choices_between_two_models() -> None:
    found = games_from_preferences(
        [
            stored("a", ("old", "new")),
            stored("b", ("old", "new")),
            stored("a", ("old", "old")),
            stored("a", None),
            stored("a", ("old", "new"), strength=1),
        ]
    )
    talk = Conversation().human("hi").split_key
    assert found == [Game("old", "new", "w", True, 4, talk), Game("new", "old", "w", False, 4, talk)]


def with_sides(left: int, right: int, workers: int = 8) -> list[Game]:
    """``a`` wins ``left`` of 40 games on the left and ``right`` of 40 on the right, against b."""
    made = []
    for side, wins in ((True, left), (False, right)):
        made += [Game("a", "b", winner_left=side)] * wins + [Game("b", "a", winner_left=not side)] * (40 - wins)
    return [Game(game.winner, game.loser, f"w{i % workers}", game.winner_left) for i, game in enumerate(made)]


def test_the_side_is_a_parameter_with_an_interval() -> None:
    # 3 : 1 on the left, 1 : 3 on the right
    result = board(with_sides(30, 10), anchor="b")
    assert result.ratings[0].elo == pytest.approx(0, abs=1e-6)
    assert result.side_effect is not None
    assert result.side_effect.elo == pytest.approx(elo_from_gap(math.log(3)))
    low, high = result.side_effect.ci95
    assert low < result.side_effect.elo < high
    assert result.json()["side_effect"] == {"elo": result.side_effect.elo, "ci95": [low, high]}


def test_a_side_that_the_votes_do_not_bound_is_left_out() -> None:
    # every game was won on the left: the side could explain all of it
    always = [Game("a", "b", f"w{i}", True) for i in range(8)] + [Game("b", "a", f"w{i}", True) for i in range(6)]
    assert board(always).side_effect is None
    assert board(games(("a", "b", 4), ("b", "a", 3))).side_effect is None


def test_strength_counts_where_it_is_asked_for() -> None:
    made = []
    for winner, loser, strength, times in (("a", "b", 4, 30), ("a", "b", 1, 10), ("b", "a", 4, 10), ("b", "a", 1, 30)):
        made += [Game(winner, loser, strength=strength)] * times
    played = [Game(g.winner, g.loser, f"w{i % 7}", strength=g.strength) for i, g in enumerate(made)]
    weak_left_out = board(played, anchor="b")
    assert (weak_left_out.n, dict(weak_left_out.thresholds)) == (40, {})
    assert weak_left_out.ratings[0].elo == pytest.approx(elo_from_gap(math.log(3)))
    ordinal = board(played, anchor="b", settings=Settings(ordinal=True))
    # as many wins as losses, but a's are strong ones
    assert ordinal.n == 80
    assert 20 < ordinal.ratings[0].elo < 190
    assert list(ordinal.thresholds) == [4]
    low, high = ordinal.thresholds[4].ci95
    assert 0 < low < ordinal.thresholds[4].elo < high
    assert list(ordinal.json()["strength_thresholds"]) == ["4"]
    one_level = [Game(g.winner, g.loser, g.worker, strength=4) for g in played]
    assert board(one_level, settings=Settings(ordinal=True)).thresholds == {}


def test_ranks_are_sure_where_gaps_are_and_open_where_they_are_not() -> None:
    played = games(
        ("top", "x", 90),
        ("x", "top", 10),
        ("top", "y", 90),
        ("y", "top", 10),
        ("x", "y", 50),
        ("y", "x", 50),
        workers=20,
    )
    ranks = {rating.model: (rating.rank, rating.rank95) for rating in board(played).ratings}
    assert ranks["top"] == (1, (1, 1))
    assert {ranks["x"][1], ranks["y"][1]} == {(2, 3)}


def test_a_win_rate_of_two_that_never_met_and_of_two_that_did() -> None:
    played = games(("a", "b", 30), ("b", "a", 10), ("b", "c", 30), ("c", "b", 10))
    result = board(played, anchor="b")
    never = result.win_rate("a", "c")
    # odds 3 · 3
    assert (never["win_rate"], never["games"], never["games_won"]) == (pytest.approx(0.9), 0, None)
    assert 0.5 < never["ci95"][0] < 0.9 < never["ci95"][1] < 1
    met = result.win_rate("b", "a")
    assert (met["win_rate"], met["games"]) == (pytest.approx(0.25), 40)
    assert met["games_won"]["win_rate"] == 0.25
    with pytest.raises(UserError, match=r"model 'd' is not among the models \(a, b, c\)"):
        result.win_rate("a", "d")
    with pytest.raises(UserError, match="'a' cannot be compared with itself"):
        result.win_rate("a", "a")


def test_only_games_of_a_model_with_itself_say_what_was_left_out() -> None:
    with pytest.raises(UserError, match=r"no games to rate .* 3 left out: same model on both sides"):
        board([], dropped={"same model on both sides": 3})
