"""One HTML page with every figure of the paper that the data at hand allows, and its SVG and CSV files beside it.

The page needs no script and asks no other machine for anything. It is written whole: a crash leaves the old report or
the new one. A figure that the data cannot support says what is missing.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from concordant.errors import UserError
from concordant.evaluate import figures as words
from concordant.evaluate.board_figures import board_figure
from concordant.evaluate.capability_figures import figures_of
from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.hhh_figures import category_figure, difference_figure
from concordant.evaluate.pm_figures import by_threshold_figure, by_turn_figure, calibration_figure, learning_figure
from concordant.evaluate.policy_figures import climb_figure, frontier_figure, parting_figure
from concordant.evaluate.report_summary import clock, notice, tiles, trial_of
from concordant.runs import Json, recover_folder, replace_folder, write_whole

MARK = "report.json"
"""The file by which a report's folder is known, so that writing a report never replaces anything else."""

MOST_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made of; everything but the title may be absent. All values are JSON.

    Attributes:
        title: heading of the page.
        generated: when, in words ("22 November 2025, 09:50 UTC").
        command: what was typed.
        pm: ``PMEvaluation.json()``.
        hhh: ``HHHEvaluation.json()``.
        pm_metrics: rows of the PM run's metrics.jsonl.
        policy: result of the policy run: ``{"before", "after"}``, each with score, score_se, kl, n on held-out prompts.
        policy_metrics: rows of the policy run's metrics.jsonl.
        samples: ``{"prompt", "before", "after"}`` texts: replies of the first and of the trained policy.
        board: ``EloBoard.json()``.
        no_board: why there is none, where more is known than that.
        capabilities: result of ``evaluate capabilities``.
        stages: ``{"name", "seconds", "detail"}`` in order.
        lineage: ``{"id", "kind", "parents": [id, …], "what"}``, inputs before outputs.
        worker_kinds: comparisons by who made them: ``{"person": 12, "scripted": 300}``.
    """

    title: str
    generated: str = ""
    command: str = ""
    pm: Json | None = None
    hhh: Json | None = None
    pm_metrics: Sequence[Json] = ()
    policy: Json | None = None
    policy_metrics: Sequence[Json] = ()
    samples: Sequence[Json] = ()
    board: Json | None = None
    no_board: str = ""
    capabilities: Json | None = None
    stages: Sequence[Json] = ()
    lineage: Sequence[Json] = ()
    worker_kinds: Mapping[str, int] = field(default_factory=dict)


def write_report(material: Material, out: Path) -> Path:
    """Write the report's folder and return its index.html. An older report there is replaced.

    Raises:
        UserError: ``out`` is a file, or a folder that holds something else.
    """
    out = out.resolve()
    recover_folder(out)
    _refuse_foreign(out)
    drawn = draw_figures(material)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for figure in drawn:
            if isinstance(figure, Figure):
                write_whole(temporary / f"{figure.question.name}.svg", figure.svg)
                write_whole(temporary / f"{figure.question.name}.csv", figure.csv)
        write_whole(temporary / "index.html", render(material, drawn))
        write_whole(temporary / MARK, json.dumps(asdict(material), indent=1) + "\n")
        temporary.chmod(0o755)
        replace_folder(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return out / "index.html"


def draw_figures(material: Material) -> list[Figure | Missing]:
    """Every figure in the order of the page."""
    return [
        calibration_figure(material.pm),
        by_turn_figure(material.pm),
        by_threshold_figure(material.pm),
        category_figure(material.hhh),
        difference_figure(material.hhh),
        learning_figure(material.pm_metrics),
        frontier_figure(material.policy_metrics),
        parting_figure(material.policy_metrics),
        climb_figure(material.policy_metrics),
        board_figure(material.board, material.no_board),
        *(figures_of(material.capabilities) if material.capabilities else ()),
    ]


def render(material: Material, drawn: Sequence[Figure | Missing]) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("concordant.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": words.percent,
        "percent_span": words.percent_span,
        "number": words.number,
        "signed": words.signed,
        "span": words.span,
        "clock": clock,
    }
    by_name = {figure.question.name: figure for figure in drawn}
    page = environment.get_template("report.html.j2").render(
        material=material,
        figures=by_name,
        tiles=tiles(material.pm, material.policy, material.policy_metrics, material.board),
        notice=notice(material.worker_kinds),
        trial=trial_of(material.policy),
        samples=list(material.samples[:MOST_SAMPLES]),
        total=sum(stage["seconds"] for stage in material.stages),
    )
    return page + "\n"


def _refuse_foreign(out: Path) -> None:
    """Raise if writing a report to ``out`` would destroy something."""
    if out == Path.cwd():
        raise UserError(f"{out} is the folder you are in; give the report a folder of its own")
    if out.is_file():
        raise UserError(f"{out} is a file; give the report a folder of its own")
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise UserError(f"{out} holds something other than a report; give the report a folder of its own")
