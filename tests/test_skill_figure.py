import csv

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.scan_figures import scan_figure
from concordant.runs import Json

TESTS = {"hh": "60@aa", "summary": "60@bb"}


def row(x: int, hh: float, summary: float, model: str = "small", parameters: int = 10, seed: int = 0) -> Json:
    found: Json = {"x": x, "model": model, "parameters": parameters, "seed": seed}
    for name, value in (("hh", hh), ("summary", summary)):
        found |= {f"{name}_n": 60, f"{name}_accuracy": value}
        found |= {f"{name}_ci95_low": value - 0.1, f"{name}_ci95_high": value + 0.1}
    return found


ROWS = [
    row(0, 0.70, 0.50),
    row(1, 0.48, 0.66),
    row(2, 0.69, 0.67),
    row(0, 0.72, 0.51, "large", 90),
    row(0, 0.74, 0.51, "large", 90, seed=1),
    row(1, 0.49, 0.70, "large", 90),
    row(2, 0.745, 0.69, "large", 90),
]


def test_the_cost_is_both_less_alone_of_the_largest_model() -> None:
    figure, points = scan_figure("skill", TESTS, ROWS)
    assert isinstance(figure, Figure)
    # large: hh 74.5 less the mean of 72 and 74; summary 69 less 70
    assert figure.title == "After learning both, large stands +1.5 points on hh and \u22121.0 points on summary"
    found = {
        (r["model"], r["learned"], r["test"]): float(r["accuracy"]) for r in csv.DictReader(figure.csv.splitlines())
    }
    assert len(found) == 12
    assert found["large", "hh", "hh"] == 0.73 and found["small", "both", "summary"] == 0.67
    assert {point["curve"] for point in points} == {"hh", "summary", "mean"}


def test_without_a_model_of_both_nothing_is_drawn() -> None:
    figure, _ = scan_figure("skill", TESTS, ROWS[:2])
    assert isinstance(figure, Missing)


def test_a_base_model_that_is_not_finished_yet_is_left_out() -> None:
    figure, _ = scan_figure("skill", TESTS, [*ROWS[:3], row(0, 0.72, 0.51, "large", 90)])
    assert isinstance(figure, Figure) and "small stands" in figure.title and "large" not in figure.csv
