from collections.abc import Sequence

import numpy as np

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.hhh_figures import category_figure, difference_figure
from concordant.runs import Json


def result(differences: Sequence[float], collapsed: bool = False) -> Json:
    """An evaluation with these differences; the categories' numbers are given, not measured."""
    worst = sorted(differences)[:3]
    return {
        "n": len(differences),
        "accuracy": 0.66,
        "ci95": [0.6, 0.72],
        "openings": 102,
        "macro_mean": 0.65,
        "collapsed": collapsed,
        "length_baseline": {"longer_wins": 0.55, "ci95": [0.5, 0.6], "n": len(differences)},
        "by_category": {
            "helpful": {"n": 59, "accuracy": 0.8, "ci95": [0.7, 0.9]},
            "honest": {"n": 61, "accuracy": 0.5, "ci95": [0.4, 0.6]},
        },
        "worst": [
            {"item": place, "category": "honest", "difference": value, "asked": "Who won <it>? " * 9}
            for place, value in enumerate(worst)
            if value < 0
        ],
        "items": [{"item": place, "category": "x", "difference": value} for place, value in enumerate(differences)],
        "paper": {"preference_model_52b": 0.86, "people": 0.75},
    }


def test_categories_stand_beside_the_papers_numbers() -> None:
    figure = category_figure(result([1.0, -1.0]))
    assert isinstance(figure, Figure)
    assert figure.title == "Right on 66\u202f% of 2 items, from 50\u202f% (honest) to 80\u202f% (helpful)"
    assert "mean of the categories: 65.0\u202f%" in figure.caption
    assert figure.csv.splitlines() == [
        "category,accuracy,ci95_low,ci95_high,n",
        "helpful,0.8,0.7,0.9,59",
        "honest,0.5,0.4,0.6,61",
        "all,0.66,0.6,0.72,2",
    ]
    assert "paper's 52B" in figure.svg and "people" in figure.svg


def test_the_worst_are_named_below_the_histogram() -> None:
    figure = difference_figure(result([2.0, -3.25, 1.0, 0.5, -0.5, 0.0]))
    assert isinstance(figure, Figure)
    assert figure.title == "The correct reply scores higher in 3 of 6 items; the worst miss is \u22123.25"
    assert "\u22123.25 (honest, item 0: “Who won <it>?" in figure.caption
    assert "Median 0.25" in figure.caption
    assert "<it>" not in figure.svg
    assert len(figure.csv.splitlines()) == 7


def test_differences_on_one_side_of_zero_or_all_equal_are_drawn_too() -> None:
    for differences in ([0.5], [0.5, 0.5], [3.0, 4.0], list(np.linspace(-2, -1, 30))):
        assert isinstance(difference_figure(result(differences)), Figure)
    figure = difference_figure(result([1.0]))
    assert isinstance(figure, Figure)
    assert "None is wrong." in figure.caption


def test_without_a_measurement_it_says_how_to_get_one_and_a_collapsed_model_raises_the_alarm() -> None:
    for missing in (category_figure(None), difference_figure(None)):
        assert isinstance(missing, Missing)
        assert "concordant evaluate hhh RUN FILE" in missing.why
    figure = category_figure(result([0.0], collapsed=True))
    assert isinstance(figure, Figure)
    assert "ALARM" in figure.caption
    assert isinstance(difference_figure(result([0.0], collapsed=True)), Missing)
