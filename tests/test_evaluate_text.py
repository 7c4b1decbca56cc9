import re

from concordant.bradley_terry import Game
from concordant.commands.evaluate_text import (
    calibration_text,
    elo_text,
    frontier_text,
    hhh_text,
    lead_sentence,
    pair_sentence,
    pm_text,
)
from concordant.evaluate.elo import board
from concordant.evaluate.pm_figures import calibration_figure
from concordant.evaluate.policy_figures import frontier_figure
from concordant.runs import Json

PART = {"n": 12345, "accuracy": 0.654, "ci95": [0.5, 0.8]}
RESULT: Json = {
    **PART,
    "ties": 0.011,
    "nll": 0.62,
    "ece": 0.05,
    "length_baseline": {"longer_wins": 0.55, "ci95": [0.4, 0.7], "n": 12345},
    "by_turn": {"1": PART, "12": PART},
    "by_file": {"helpful-base.jsonl.gz": PART, "a-file-with-a-name-that-goes-on-and-on-for-ever.jsonl.gz": PART},
    "by_objective": {"helpful": PART},
    "by_threshold": {
        "mean": -0.4,
        "sd": 1.3,
        "points": [{"sds": -3.0, "score": -3.9, **PART}, {"sds": 0.5, "score": 0.65, **PART, "n": 77}],
    },
    "words_baseline": None,
    "collapsed": False,
    "dropped": {"equal replies": 4, "'rejected' does not end on a reply": 2, "longer than the context": 1000},
    "openings": 9000,
    "calibration": {
        "bins": [
            {"low": 0.0, "high": 2.0, "gap": 1.0, "predicted": 0.7, "observed": 0.65, "ci95": [0.5, 0.8], "n": 12345}
        ],
        "excess": -0.051,
        "excess_ci95": [-0.1, -0.02],
    },
}


def fits(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


def test_a_measurement_says_what_matters_in_80_columns() -> None:
    text = pm_text("/a/very/long/path/to/the/folder/of/the/run/called/preference-model-1", RESULT)
    assert fits(text)
    assert re.search(r"accuracy +65\.4 % +95 %: 50\.0 to 80\.0", text)
    assert re.search(r"the longer wins +55\.0 %", text)
    assert "-5.1 points (-10.0 to -2.0)" in text
    assert "Left out: 4 equal replies, 2" in text
    assert "ALARM" not in text
    assert "ALARM" in pm_text("pm", RESULT | {"collapsed": True})


def test_what_stands_beside_an_accuracy_is_said_where_it_is_there() -> None:
    text = pm_text("pm", RESULT)
    assert "bag of words" not in text and "objective" not in text
    assert re.search(r"\+0\.65 \(\+0\.5 sd\) +77 +65\.4 %", text)
    words = {**PART, "lead": 0.034, "lead_ci95": [-0.01, 0.08], "trained_on": 7072}
    more = RESULT | {"words_baseline": words, "by_objective": {"helpful": PART, "harmless": PART}}
    text = pm_text("pm", more)
    assert fits(text)
    assert re.search(r"bag of words +65\.4 % +95 %: 50\.0 to 80\.0, fitted on 7,072", text)
    assert re.search(r"ahead of words +\+3\.4 points \(-1\.0 to \+8\.0\)", text)
    assert re.search(r"harmless +12,345 +65\.4 %", text)


def test_the_hhh_evaluation_names_its_categories_and_its_worst() -> None:
    result: Json = {
        **PART,
        "ties": 0.0,
        "macro_mean": 0.641,
        "by_category": {"helpful": PART, "honest": PART},
        "length_baseline": {"longer_wins": 0.55, "ci95": [0.4, 0.7], "n": 12345},
        "worst": [{"item": 118, "category": "honest", "difference": -2.5, "asked": "Who won\nthe election? " * 9}],
        "collapsed": False,
        "dropped": {"longer than the context": 2},
        "paper": {"preference_model_52b": 0.86, "people": 0.75},
    }
    text = hhh_text("/a/very/long/path/to/the/folder/of/the/run/called/preference-model-1", result)
    assert fits(text)
    assert re.search(r"honest +12,345 +65\.4 % +50\.0 to 80\.0", text)
    assert re.search(r"all items +12,345 +65\.4 %", text)
    assert re.search(r"mean of the categories +64\.1 %", text)
    assert re.search(r"the longer is the correct one +12,345 +55\.0 %", text)
    assert "52B preference model has 86 %, people 75 %" in " ".join(text.split())
    assert re.search(r"-2\.50 +honest +118 +Who won the", text)
    assert "Left out: 2 longer than the context." in text
    assert "ALARM" not in text
    assert "ALARM" in hhh_text("pm", result | {"collapsed": True, "worst": [], "dropped": {}})


def test_bins_are_a_table() -> None:
    text = calibration_text(RESULT, calibration_figure(RESULT))
    assert fits(text)
    assert text.startswith("Over-confident")
    assert re.search(r"1\.00 +70\.0 % +65\.0 % +50\.0 to 80\.0 +12,345", text)


def test_a_board_fits_with_the_longest_names() -> None:
    names = ["the-newest-policy-of-the-fourth-iteration-with-a-long-name", "smollm2-135m-instruct-from-the-hub-at-home"]
    games = [
        Game(names[0 if i % 3 else 1], names[1 if i % 3 else 0], f"w{i % 7}", winner_left=bool(i % 2))
        for i in range(90)
    ]
    text = elo_text(
        board(games, anchor=names[1], dropped={"weakest strength": 12}).json() | {"ignored_columns": ["when"]}
    )
    assert fits(text)
    for said in (
        "120",
        "anchor",
        "66.7 %",
        "bootstrap over 7 workers",
        "12 weakest strength",
        "Columns not read: when",
    ):
        assert said in text


def test_a_board_says_what_would_turn_the_lead_round() -> None:
    lead = {"leader": "a", "runner_up": "b", "elo": 31.4, "votes_to_add": 12, "votes_to_drop": 7, "workers_to_drop": 1}
    ways = "by 12 more wins of b in a row, or by the loss of 7 votes, or by the loss of 1 worker"
    assert lead_sentence(lead) == f"a leads b by 31 Elo. Turned round {ways}."
    alone = lead | {"votes_to_add": 1, "votes_to_drop": None, "workers_to_drop": None}
    assert lead_sentence(alone) == "a leads b by 31 Elo. Turned round by 1 more win of b in a row."
    assert lead_sentence(lead | {"elo": 0.0}) == "a and b are level: any vote decides which of them leads."


def test_two_that_never_met_are_compared_by_their_ratings() -> None:
    pair: Json = {
        "model_a": "a",
        "model_b": "c",
        "elo_difference": -100.0,
        "elo_ci95": [-180.0, 20.0],
        "win_rate": 0.36,
        "ci95": [0.26, 0.53],
        "games": 0,
        "games_won": None,
    }
    told = pair_sentence(pair)
    assert told == "a beats c in 36.0 % (95 %: 26.0 to 53.0) by the ratings, -100 Elo (-180 to 20). They never met."
    met = pair_sentence(pair | {"games": 8, "games_won": {"win_rate": 0.25, "ci95": [0.1, 0.5]}})
    assert met.endswith("It won 25.0 % (10.0 to 50.0) of their 8 games.")


def test_many_pairs_are_cut_and_counted() -> None:
    names = [f"m{index}" for index in range(9)]
    games = [Game(a, b, f"w{i % 7}") for i, a in enumerate(names) for b in names if a != b]
    text = elo_text(board(games).json())
    assert fits(text)
    assert "… and 6 pairs more, with --json" in text


def test_a_line_is_told_in_words_and_its_absence_too() -> None:
    rows = [{"step": i, "samples": i, "score": 0.5 * i, "kl": float(i * i)} for i in range(8)]
    text = frontier_text(frontier_figure(rows))
    assert fits(text)
    assert "0.50 per √nat" in text
    assert "cannot show a line" in frontier_text(frontier_figure(rows[:2]))
