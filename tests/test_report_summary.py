import pytest

from concordant.evaluate.report_summary import Tile, clock, notice, tiles

PM = {"accuracy": 0.674, "ci95": [0.61, 0.73], "n": 1300, "collapsed": False, "length_baseline": {"longer_wins": 0.55}}
BOARD = {
    "anchor": "old",
    "n": 40,
    "ratings": [
        {"model": "old", "elo": 0.0, "ci95": [0.0, 0.0]},
        {"model": "new", "elo": -12.4, "ci95": [-80.0, 51.0]},
    ],
}


def test_nothing_known_has_no_tiles() -> None:
    assert tiles(None, None, [], None) == []


def test_accuracy_stands_beside_the_length_baseline() -> None:
    interval = "61.0 to 73.0\u202f%, n\u00a0=\u00a01,300"
    tile = Tile("Preference model, accuracy", "67.4\u202f%", interval, "“longer wins”: 55.0\u202f%")
    assert tiles(PM, None, [], None) == [tile]
    (alarm,) = tiles(PM | {"collapsed": True}, None, [], None)
    assert alarm.beside.startswith("collapsed")


def test_the_trial_on_held_out_prompts_goes_before_the_training_log() -> None:
    policy = {
        "before": {"n": 64, "score": -0.5, "score_se": 0.1, "kl": 0.0},
        "after": {"n": 64, "score": 1.25, "score_se": 0.2, "kl": 9.0},
    }
    score, kl = tiles(None, policy, [], None)
    assert (score.value, score.interval) == ("\u22120.50 → 1.25", "± 0.20 and ± 0.39")
    assert "held-out" in score.beside
    assert (kl.value, kl.beside) == ("9.0 nats", "√KL = 3.00")
    updates = [{"score": 0.0, "kl": -0.1}, {"score": 1.0, "kl": 4.0}]
    assert tiles(None, {"updates": 2}, updates, None)[0].beside == "training replies of the first and the last update"


def test_the_board_shows_the_best_model_that_is_not_the_anchor() -> None:
    (tile,) = tiles(None, None, [], BOARD)
    assert (tile.label, tile.value, tile.beside) == ("new, Elo", "\u221212", "against old")


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ({}, ""),
        ({"person": 3, "unknown": 5}, ""),
        ({"scripted": 1200}, "All 1,200 choices behind this report were made by scripted workers."),
        (
            {"scripted": 2, "simulated": 1, "person": 7},
            "3 of 10 choices behind this report were made by scripted workers and",
        ),
    ],
)
def test_choices_that_machines_made_are_announced(kinds: dict[str, int], says: str) -> None:
    assert notice(kinds).startswith(says)
    assert bool(notice(kinds)) == bool(says)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (3.14, "3.1 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (75.2, "1 min 15 s"),
        (7260.0, "2 h 01 min"),
    ],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert clock(seconds) == text
