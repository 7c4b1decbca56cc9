import math

import numpy as np
import pytest

from concordant.evaluate.calibration import calibrate
from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.intervals import wilson
from concordant.evaluate.pm_figures import by_threshold_figure, by_turn_figure, calibration_figure, learning_figure
from concordant.runs import Json


def evaluation(stretch: float = 1.0, collapsed: bool = False) -> Json:
    """2,000 comparisons of a model whose true gaps are its scores divided by ``stretch``."""
    random = np.random.default_rng(0)
    gap = np.abs(random.normal(0, 1, 2000))
    right = random.random(2000) < 1 / (1 + np.exp(-gap))
    result = calibrate(np.where(right, gap, -gap) * stretch, right.astype(float), np.arange(2000))
    return {
        "n": 2000,
        "accuracy": 0.68,
        "ci95": [0.66, 0.70],
        "ece": result.ece,
        "collapsed": collapsed,
        "calibration": result.json(),
    }


def turns(*parts: tuple[int, float]) -> Json:
    """``(n, accuracy)`` of turns 1, 2, …"""
    by_turn = {
        str(turn): {"n": n, "accuracy": accuracy, "ci95": list(wilson(accuracy, float(n)))}
        for turn, (n, accuracy) in enumerate(parts, start=1)
    }
    total = sum(n for n, _ in parts)
    return {"n": total, "accuracy": 0.6, "ci95": [0.5, 0.7], "by_turn": by_turn, "collapsed": False}


def thresholds(accuracy: float, *parts: tuple[int, float]) -> Json:
    """``(n, accuracy)`` above −1, −½, … standard deviations of 2, the first being all comparisons."""
    points = [
        {"sds": place / 2 - 1, "score": place - 2.0, "n": n, "accuracy": value, "ci95": list(wilson(value, float(n)))}
        for place, (n, value) in enumerate(parts)
    ]
    return {
        "n": parts[0][0],
        "accuracy": accuracy,
        "by_threshold": {"mean": -0.3, "sd": 2.0, "points": points},
        "collapsed": False,
    }


@pytest.mark.parametrize(
    ("stretch", "says"), [(1.0, "Calibrated as far as 2,000"), (3.0, "Over-confident"), (0.3, "Under-confident")]
)
def test_the_title_says_how_the_model_is_calibrated(stretch: float, says: str) -> None:
    figure = calibration_figure(evaluation(stretch))
    assert isinstance(figure, Figure)
    assert figure.title.startswith(says)
    assert "n = 2,000 comparisons in 10 bins" in figure.caption
    rows = figure.csv.splitlines()
    assert rows[0] == "score_difference,predicted,observed,ci95_low,ci95_high,n"
    assert len(rows) == 11


def test_without_a_measurement_or_with_a_collapsed_model_it_says_what_is_missing() -> None:
    for figure in (calibration_figure(None), by_turn_figure(None), by_threshold_figure(None)):
        assert isinstance(figure, Missing)
        assert "evaluate pm" in figure.why
    collapsed = calibration_figure(evaluation(collapsed=True))
    assert isinstance(collapsed, Missing)
    assert "same score" in collapsed.why


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([(400, 0.75), (400, 0.60)], "Later turns are harder to judge: 75\u202f% on turn 1, 60\u202f% later"),
        (
            [(400, 0.60), (200, 0.75), (200, 0.77)],
            "Later turns are easier to judge: 60\u202f% on turn 1, 76\u202f% later",
        ),
        ([(40, 0.65), (40, 0.60)], "No clear change with the turn: 65\u202f% on turn 1, 60\u202f% later"),
    ],
)
def test_the_title_compares_the_first_turn_with_the_later_ones(parts: list[tuple[int, float]], says: str) -> None:
    figure = by_turn_figure(turns(*parts))
    assert isinstance(figure, Figure)
    assert figure.title == says


def test_rare_turns_are_named_and_not_drawn_but_stand_in_the_table() -> None:
    figure = by_turn_figure(turns((40, 0.6), (40, 0.6), (3, 1.0)))
    assert isinstance(figure, Figure)
    assert "fewer than 10 comparisons: turn 3" in figure.caption
    assert len(figure.csv.splitlines()) == 4
    alone = by_turn_figure(turns((40, 0.6), (3, 1.0)))
    assert isinstance(alone, Missing)


def test_a_collapsed_model_raises_the_alarm_in_the_caption() -> None:
    parts = turns((40, 0.5), (40, 0.5))
    for collapsed in (False, True):
        figure = by_turn_figure(parts | {"collapsed": collapsed})
        assert isinstance(figure, Figure)
        assert ("ALARM" in figure.caption) is collapsed


@pytest.mark.parametrize(
    ("above", "says"),
    [
        # all others: (2000 · 0.7 − 800 · 0.55) / 1200 = 0.8
        ((800, 0.55), "Less often right where both replies score high: 55\u202f%, elsewhere 80\u202f%"),
        ((800, 0.85), "More often right where both replies score high: 85\u202f%, elsewhere 60\u202f%"),
        ((800, 0.69), "No clear change where both replies score high: 69\u202f%, elsewhere 71\u202f%"),
    ],
)
def test_the_title_compares_high_scores_with_the_rest(above: tuple[int, float], says: str) -> None:
    figure = by_threshold_figure(thresholds(0.7, (2000, 0.7), (1500, 0.7), above, (19, 1.0)))
    assert isinstance(figure, Figure)
    assert figure.title == says
    assert "n = 2,000 comparisons at the left end, 800 at the right" in figure.caption
    assert "(\u22120.30) taken off; steps of half a standard deviation (2.00)" in figure.caption
    rows = figure.csv.splitlines()
    assert rows[0] == "threshold,standard_deviations,accuracy,ci95_low,ci95_high,n"
    assert len(rows) == 5


def test_thresholds_that_leave_too_few_are_not_drawn() -> None:
    few = by_threshold_figure(thresholds(0.7, (19, 0.7), (18, 0.7)))
    assert isinstance(few, Missing)
    assert "they need 20 comparisons each" in few.why
    collapsed = by_threshold_figure(thresholds(0.7, (200, 0.7), (100, 0.7)) | {"collapsed": True})
    assert isinstance(collapsed, Missing)
    assert "all alike" in collapsed.why
    older = {key: value for key, value in thresholds(0.7, (200, 0.7)).items() if key != "by_threshold"}
    assert isinstance(by_threshold_figure(older), Missing)
    everything = by_threshold_figure(thresholds(0.7, (200, 0.7), (200, 0.7)))
    assert isinstance(everything, Figure)
    assert everything.title == "Every comparison lies above every threshold: 70\u202f%"


def test_the_learning_curve_compares_its_ends() -> None:
    rows = [{"step": i, "comparisons": 16 * (i + 1), "loss": 0.7 - 0.002 * i} for i in range(40)]
    figure = learning_figure(rows)
    assert isinstance(figure, Figure)
    # means of the first and the last four steps: 0.7 − 0.003 and 0.7 − 0.075
    assert figure.title == "The loss fell from 0.697 to 0.625 in 640 comparisons"
    assert figure.csv.splitlines()[1] == "16.0,0.7"
    rising = learning_figure([row | {"loss": 1 - row["loss"]} for row in rows])
    assert isinstance(rising, Figure)
    assert rising.title.startswith("The loss did not fall")


def test_a_short_run_has_no_curve() -> None:
    figure = learning_figure([{"step": 1, "comparisons": 16, "loss": math.log(2)}] * 9)
    assert isinstance(figure, Missing)
    assert "this run logged 9" in figure.why
