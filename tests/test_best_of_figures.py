"""The figure of best-of-k: every number in its CSV, policies on the same axes, what its title and caption say."""

import csv
from typing import Any

import numpy as np
import pytest

from concordant.evaluate.best_of import best_of_points
from concordant.evaluate.best_of_figures import best_of_figure
from concordant.evaluate.figures import Figure, Missing

SCORES = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 6.0]])


def result(judged: np.ndarray[Any, Any] | None = None, openings: tuple[str, ...] = ("x", "y", "z")) -> dict[str, Any]:
    points = best_of_points(SCORES, openings, judged)
    return {"prompts": 3, "n": 4, "points": [point.json() for point in points]}


def drawn(figure: Figure | Missing) -> Figure:
    assert isinstance(figure, Figure)
    return figure


def test_numbers_beside_the_picture() -> None:
    figure = drawn(best_of_figure(result()))
    rows = list(csv.DictReader(figure.csv.splitlines()))
    assert list(rows[0]) == ["root_kl", "score", "score_se", "k", "kl", "what"]
    assert [row["k"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[0]["score"]) == pytest.approx(7 / 3) and float(rows[3]["score"]) == pytest.approx(13 / 3)
    assert figure.title.startswith("The best of 4 gains 2.00 ± ") and figure.title.endswith("at 0.80 √nats")
    assert "3 prompts with 4 replies each" in figure.caption and "Diamonds" not in figure.caption


def test_policies_and_a_judge_on_the_same_axes() -> None:
    policy: list[dict[str, Any]] = [{"kl": 4.0, "score": 5.0}, {"kl": -0.1, "score": 2.0}, {"kl": None, "score": 1.0}]
    figure = drawn(best_of_figure(result(judged=SCORES / 2), {"policy-1": policy}))
    rows = list(csv.DictReader(figure.csv.splitlines()))
    assert [(row["root_kl"], row["score"], row["what"]) for row in rows[4:]] == [
        ("2.0", "5.0", "policy-1"),
        ("0.0", "2.0", "policy-1"),
    ]
    assert float(rows[3]["test_score"]) == pytest.approx(13 / 6)
    assert "updates of policy-1" in figure.caption and "another preference model" in figure.caption
    assert "◆ policy" in figure.svg and "another model" in figure.svg


def test_an_unknown_error_is_not_written_as_none() -> None:
    assert drawn(best_of_figure(result(openings=("x", "x", "x")))).title == "The best of 4 gains 2.00 at 0.80 √nats"


def test_one_reply_has_no_best() -> None:
    one = {"prompts": 1, "n": 1, "points": [best_of_points(np.array([[1.0]]), ["x"])[0].json()]}
    assert isinstance(best_of_figure(one), Missing)
