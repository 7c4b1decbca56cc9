"""Scans drawn: means over seeds, intervals of the tests, the paper's fit where it speaks of the data."""

import csv
import io

import pytest

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.scan_figures import papers_fit, scan_figure, scan_points
from concordant.runs import Json


def row(
    x: float, helpful: float, harmless: float | None = None, seed: int = 0, model: str = "m", **more: object
) -> Json:
    found: Json = {"x": x, "model": model, "seed": seed, "parameters": 12_600_000, "drawn": 100, "drawn_helpful": 100}
    for name, value in (("helpful", helpful), ("harmless", harmless)):
        if value is not None:
            found |= {f"{name}_n": 1200, f"{name}_accuracy": value}
            found |= {f"{name}_ci95_low": value - 0.03, f"{name}_ci95_high": value + 0.04}
    return found | more


def test_the_papers_fit_is_its_table() -> None:
    """paper A.1 and Fig. 25: 13M and 197M with 1,000, 10,000 and 80,000 comparisons, 52B with all."""
    for parameters, comparisons, expected in (
        (1.26e7, 1e3, 0.591),
        (1.26e7, 8e4, 0.657),
        (1.97e8, 1e4, 0.645),
        (5.15e10, 8e4, 0.715),
    ):
        assert papers_fit(parameters, comparisons) == pytest.approx(expected, abs=6e-4)


def test_points_by_hand() -> None:
    rows = [row(1, 0.60, 0.50, seed=0), row(1, 0.64, 0.50, seed=1), row(2, 0.70, 0.60)]
    points = {(point.curve, point.x): point for point in scan_points(["helpful", "harmless"], rows)}
    assert len(points) == 6
    helpful = points["helpful", 1]
    assert helpful.seeds == (0.60, 0.64) and helpful.accuracy == pytest.approx(0.62)
    assert helpful.ci95 == pytest.approx((0.59, 0.66))
    mean = points["mean", 1]
    assert mean.seeds == pytest.approx((0.55, 0.57))
    # Two independent tests, half each: ½ √(0.03² + 0.03²) below, ½ √(0.04² + 0.04²) above.
    assert mean.ci95 == pytest.approx((0.56 - 0.03 / 2**0.5, 0.56 + 0.04 / 2**0.5))
    assert [point.curve for point in scan_points(["helpful"], [row(1, 0.6)])] == ["helpful"]


def test_a_learning_curve_with_the_papers_fit() -> None:
    rows = [row(1000, 0.60), row(2000, 0.61), row(4000, 0.62), row(4000, 0.64, seed=1)]
    figure, points = scan_figure("comparisons", {"helpful": ""}, rows)
    assert isinstance(figure, Figure)
    assert figure.title == "Helpful accuracy: 60.0\u202f% with 1,000 comparisons, 63.0\u202f% with 4,000"
    # Least squares on ln D of 60, 61, 63: (63 − 60) / (2 ln 2).
    assert "m, helpful: +2.16 points per e-fold" in figure.caption
    assert "1 to 2 seeds a point" in figure.caption and "1,200 helpful comparisons" in figure.caption
    assert "the paper&#x27;s fit, P = 12.6M" in figure.svg or "the paper's fit, P = 12.6M" in figure.svg
    assert "Grey: chance" in figure.caption
    table = list(csv.DictReader(io.StringIO(figure.csv)))
    assert [(line["comparisons"], line["seeds"]) for line in table][-1] == ("4000", "0.620000 0.640000")
    assert [point["x"] for point in points] == [1000, 2000, 4000]


def test_the_fit_is_not_drawn_where_it_does_not_speak_of_the_data() -> None:
    mixed = [row(x, 0.6, 0.6, drawn_helpful=50) for x in (1000, 2000)]
    figure, _ = scan_figure("comparisons", {"helpful": "", "harmless": ""}, mixed)
    assert isinstance(figure, Figure) and "fit" not in figure.svg
    other, _ = scan_figure("learning_rate", {"helpful": ""}, [row(x, 0.6) for x in (1e-5, 2e-5)])
    assert isinstance(other, Figure) and "fit" not in other.svg
    assert (other.question.name, other.question.figure) == ("scan-learning_rate", "—")


def test_mixture_and_loss_weight() -> None:
    rows = [row(0, 0.70, 0.35, model=model) for model in ("m", "n")]
    rows += [row(0.5, 0.66, 0.65, model=model) for model in ("m", "n")]
    rows += [row(1, 0.36, 0.70, model=model) for model in ("m", "n")]
    figure, _ = scan_figure("harmless_share", {"helpful": "", "harmless": ""}, rows)
    assert isinstance(figure, Figure)
    assert figure.title == "Highest mean accuracy, 65.5\u202f%, at 50\u202f% harmless; lowest 52.5\u202f%"
    assert "35 to 38" in figure.caption and figure.svg.count(">harmless<") == 1
    weighed, _ = scan_figure("harmless_weight", {"helpful": "", "harmless": ""}, [row(x, 0.6, 0.6) for x in (1, 2, 10)])
    assert isinstance(weighed, Figure)
    assert weighed.question.figure == "Fig. 27" and "loss weight λ" in weighed.svg


def test_one_value_is_no_curve() -> None:
    figure, points = scan_figure("harmless_weight", {"helpful": ""}, [row(1, 0.6), row(1, 0.7, seed=1)])
    assert isinstance(figure, Missing) and "two values" in figure.why and len(points) == 1
    empty, points = scan_figure("harmless_weight", {"helpful": ""}, [])
    assert isinstance(empty, Missing) and points == []
