import csv

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.frontiers_figure import frontiers_figure
from concordant.runs import Json


def rows(slope: float, start: float = 0.0, updates: int = 9) -> list[Json]:
    """Updates at √KL = 0, 1, 2 …, exactly on a line."""
    return [{"step": x + 1, "score": start + slope * x, "kl": float(x * x)} for x in range(updates)]


def test_each_run_rises_from_its_own_zero() -> None:
    figure = frontiers_figure({"one": rows(0.5, start=3.0), "two": rows(0.25, start=-7.0)})
    assert isinstance(figure, Figure)
    assert figure.title == "Slopes of 2 runs: 0.25 to 0.50 per √nat"
    found = list(csv.DictReader(figure.csv.splitlines()))
    assert len(found) == 18
    at_two = [(row["run"], round(float(row["rise"]), 9)) for row in found if float(row["root_kl"]) == 2.0]
    assert at_two == [("one", 1.0), ("two", 0.5)]
    assert "one" in figure.svg and "two" in figure.svg


def test_many_runs_are_drawn_unnamed_and_in_time() -> None:
    figure = frontiers_figure({f"run-{number:02d}": rows(0.1 * number) for number in range(1, 51)})
    assert isinstance(figure, Figure)
    assert figure.title == "Slopes of 50 runs: 0.10 to 5.00 per √nat"
    assert "run-07" not in figure.svg and "run-07" in figure.csv


def test_one_line_is_no_comparison_and_a_short_run_has_none() -> None:
    for policies in ({}, {"one": rows(0.5)}, {"one": rows(0.5), "short": rows(0.5, updates=2)}):
        assert isinstance(frontiers_figure(policies), Missing)
