from pathlib import Path

import numpy as np
import pytest

from concordant.evaluate.capability_figures import FEW_SHOT, TAX, ZERO_SHOT, figures_of, task_figure, tax_figure
from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.paired import Measured, table
from concordant.evaluate.report import write_report
from concordant.evaluate.report_sources import Sources
from concordant.evaluate.run_material import gather
from concordant.runs import Run

KEYS = [str(number) for number in range(20)]
BASE = np.array([1.0] * 10 + [0.0] * 10)
POLICY = np.array([1.0] * 13 + [0.0] * 7)


def part(task: str, shots: int = 0) -> Measured:
    return Measured(task, shots, "acc", 0.25, KEYS, KEYS, {"base": BASE, "policy": POLICY})


def test_the_tax_is_the_mean_of_paired_differences() -> None:
    figure = tax_figure(table([part("arc-easy"), part("mmlu")], ["base", "policy"]))
    assert isinstance(figure, Figure)
    assert figure.title.startswith("policy against base: +15.0 points (") and figure.title.endswith("mean of 2 tasks")
    assert "ARC easy (0-shot): policy better on 3, worse on 0 of 20." in figure.caption
    lines = figure.csv.splitlines()
    assert lines[0] == "task,shots,model,difference,ci95_low,ci95_high,better,worse,p,n"
    assert [line.split(",")[0] for line in lines[1:]] == ["arc-easy", "mmlu", "mean"]
    assert float(lines[1].split(",")[3]) == pytest.approx(0.15) and float(lines[1].split(",")[8]) == 0.25


def test_scores_by_task_with_and_without_examples() -> None:
    result = table([part("arc-easy"), part("arc-easy", 5), part("mmlu", 5)], ["base", "policy"])
    zero, few = task_figure(result, ZERO_SHOT), task_figure(result, FEW_SHOT)
    assert isinstance(zero, Figure) and isinstance(few, Figure)
    assert zero.title == "ARC easy: base 50.0\u202f%, policy 65.0\u202f%"
    assert few.title == "Mean of 2 tasks: base 50.0\u202f%, policy 65.0\u202f%"
    assert "5 examples before each question. n: ARC easy 20, MMLU 20." in few.caption
    assert len(few.csv.splitlines()) == 5 and "ARC easy" in few.svg


def test_what_is_missing_is_said() -> None:
    assert [figure.question for figure in figures_of(None)] == [TAX, ZERO_SHOT, FEW_SHOT]
    assert all(isinstance(figure, Missing) for figure in figures_of(None))
    alone = table([part("mmlu")], ["base"])
    found = tax_figure(alone)
    assert isinstance(found, Missing) and "the model before training, and one after it" in found.why
    few = task_figure(alone, FEW_SHOT)
    assert isinstance(few, Missing) and few.why == "Nothing was measured with examples."


def test_a_report_shows_them(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "tax", "capabilities", {}, {})
    run.finish(table([part("arc-easy"), part("mmlu")], ["base", "policy"]))
    material = gather("Report", Sources([run]))
    page = write_report(material, tmp_path / "report").index.read_text()
    assert "policy against base: +15.0 points" in page and "arc-easy, 0-shot" in page
    assert (tmp_path / "report/alignment-tax.csv").exists()
    assert "<h2>Capabilities" not in write_report(gather("Report", Sources()), tmp_path / "other").index.read_text()
