"""One HTML page with every figure of the paper that the data at hand allows, and its SVG and CSV files beside it.

The page needs no script and asks no other machine for anything. It is written whole: a crash leaves the old report or
the new one. A figure that the data cannot support says what is missing.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from concordant.errors import UserError
from concordant.evaluate import figures as words
from concordant.evaluate.best_of_figures import BEST_OF, best_of_figure
from concordant.evaluate.bias_figures import BBQ, OCCUPATIONS, REFUSALS, SENTIMENT, bias_figures, refusal_figure
from concordant.evaluate.board_figures import RED_TEAM_BOARD, board_figure
from concordant.evaluate.capability_figures import figures_of
from concordant.evaluate.figures import Figure, Missing, Question
from concordant.evaluate.frontiers_figure import frontiers_figure
from concordant.evaluate.hhh_figures import category_figure, difference_figure
from concordant.evaluate.likelihood_figure import LIKELIHOOD, likelihood_figure
from concordant.evaluate.ood_figures import BY_LAYER, BY_OUTLIERS, by_layer_figure, by_outliers_figure
from concordant.evaluate.pm_figures import by_threshold_figure, by_turn_figure, calibration_figure, learning_figure
from concordant.evaluate.policy_figures import climb_figure, frontier_figure, parting_figure
from concordant.evaluate.report_summary import clock, notice, tiles, trial_of
from concordant.evaluate.scan_figures import QUESTIONS as SCANS
from concordant.evaluate.scan_figures import scan_figure
from concordant.evaluate.shift_figure import SHIFT, shift_figure
from concordant.evaluate.snapshot_figures import SNAPSHOTS, snapshot_figure
from concordant.evaluate.tension_figure import TENSION, tension_figure
from concordant.evaluate.writers_figure import WRITERS, writers_figure
from concordant.runs import Json, recover_folder, replace_folder, write_whole

MARK = "report.json"
"""The file by which a report's folder is known, so that writing a report never replaces anything else."""

MOST_SAMPLES = 8

NOT_SAMPLED = "Best-of-k was not measured; run 'concordant evaluate best-of' and give its folder."
NOT_PLACED = "The policy was not placed among the data; run 'concordant evaluate tension --out' and give its folder."
NOT_SCREENED = "Strange requests were not looked for; run 'concordant evaluate ood --out' and give its folder."
NOT_SHIFTED = "Tranches were not compared; run 'concordant evaluate shift --out' and give its folder."
NOT_VOTED = "Promises and votes were not compared; run 'concordant evaluate snapshots --out' and give its folder."
NOT_ASKED = "Policies were not asked which reply is likelier; run 'concordant evaluate likelihood' and give its folder."
NOT_WRITTEN = "No writer was compared; run 'concordant evaluate writers --out' and give its folder."
NO_BIAS = "Bias was not measured; run 'concordant evaluate bias' and give its folder."
NO_REFUSALS = "Refusals were not counted; run 'concordant evaluate refusals' and give its folder."
NO_RED_TEAM = "no red-team comparisons between two models were made; collect.red_team_share asks for such work"
NOT_SCANNED = "There is no such scan; run it with 'concordant scan' and give its folder."

BIAS = (OCCUPATIONS, BBQ, SENTIMENT)


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made of; everything but the title may be absent. All values are JSON.

    Where there are several runs of a kind, one is shown at length and all stand in a table.

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
        board: ``EloBoard.json()`` of helpful work.
        no_board: why there is none, where more is known than that.
        red_team_board: the same of red-team work, with ``"objective": "harmless"``.
        capabilities: result of ``evaluate capabilities``.
        bias: result of ``evaluate bias``.
        refusals: result of ``evaluate refusals``.
        likelihood: result of ``evaluate likelihood``.
        stages: ``{"name", "seconds", "detail"}`` in order.
        lineage: ``{"id", "kind", "parents": [id, …], "what"}``, inputs before outputs.
        worker_kinds: comparisons by who made them: ``{"person": 12, "scripted": 300}``.
        shown: name and setting of the runs shown at length: ``{"pm": …, "policy": …}``.
        pms: ``run_table.pm_rows`` of all preference models that were measured.
        policies: ``run_table.policy_row`` of all policy runs.
        updates: policy run → rows of its metrics.jsonl, for all of them.
        scans: table.json of scans.
        best_of: ``{"result", "policies"}``: result of a best-of run, and policy runs that stand on its axes.
        ood: what ``evaluate ood`` measured.
        tension: what ``evaluate tension`` measured.
        shift: what ``evaluate shift`` measured.
        snapshots: what ``evaluate snapshots`` measured.
        writers: what ``evaluate writers`` measured.
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
    red_team_board: Json | None = None
    capabilities: Json | None = None
    bias: Json | None = None
    refusals: Json | None = None
    likelihood: Json | None = None
    stages: Sequence[Json] = ()
    lineage: Sequence[Json] = ()
    worker_kinds: Mapping[str, int] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    pms: Sequence[Json] = ()
    policies: Sequence[Json] = ()
    updates: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    scans: Sequence[Json] = ()
    best_of: Json | None = None
    ood: Json | None = None
    tension: Json | None = None
    shift: Json | None = None
    snapshots: Json | None = None
    writers: Json | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written: its page, and the figures on it."""

    index: Path
    figures: Sequence[Figure | Missing]


def write_report(material: Material, out: Path) -> Report:
    """Write the report's folder. An older report there is replaced.

    Raises:
        UserError: ``out`` is a file, or a folder that holds something else.
    """
    out = out.resolve()
    recover_folder(out)
    _refuse_foreign(out)
    sections = draw_sections(material)
    figures = [figure for _, drawn in sections for figure in drawn]
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for figure in (figure for figure in figures if isinstance(figure, Figure)):
            write_whole(temporary / f"{figure.question.name}.svg", figure.svg)
            write_whole(temporary / f"{figure.question.name}.csv", figure.csv)
        write_whole(temporary / "index.html", render(material, sections))
        write_whole(temporary / MARK, json.dumps(asdict(material), indent=1) + "\n")
        temporary.chmod(0o755)
        replace_folder(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Report(out / "index.html", figures)


def draw_sections(material: Material) -> list[tuple[str, list[Figure | Missing]]]:
    """The figures under the headings of the page, in its order."""
    best_of = material.best_of
    return [
        (
            "Preference model",
            [
                calibration_figure(material.pm),
                by_turn_figure(material.pm),
                by_threshold_figure(material.pm),
                category_figure(material.hhh),
                difference_figure(material.hhh),
                learning_figure(material.pm_metrics),
            ],
        ),
        ("Scans of preference models", _scan_figures(material.scans)),
        (
            "Policy",
            [
                frontier_figure(material.policy_metrics),
                parting_figure(material.policy_metrics),
                climb_figure(material.policy_metrics),
                frontiers_figure(material.updates),
                Missing(BEST_OF, NOT_SAMPLED) if best_of is None else best_of_figure(**best_of),
                _drawn(TENSION, NOT_PLACED, material.tension, tension_figure),
            ],
        ),
        ("Capabilities", figures_of(material.capabilities)),
        (
            "Bias and refusals",
            [
                *([Missing(one, NO_BIAS) for one in BIAS] if material.bias is None else bias_figures(material.bias)),
                _drawn(REFUSALS, NO_REFUSALS, material.refusals, refusal_figure),
            ],
        ),
        (
            "Strange requests",
            [
                _drawn(question, NOT_SCREENED, material.ood, figure)
                for question, figure in ((BY_LAYER, by_layer_figure), (BY_OUTLIERS, by_outliers_figure))
            ],
        ),
        (
            "Online data, and writers",
            [
                _drawn(SHIFT, NOT_SHIFTED, material.shift, shift_figure),
                _drawn(SNAPSHOTS, NOT_VOTED, material.snapshots, snapshot_figure),
                _drawn(LIKELIHOOD, NOT_ASKED, material.likelihood, likelihood_figure),
                _drawn(WRITERS, NOT_WRITTEN, material.writers, writers_figure),
            ],
        ),
        (
            "Elo",
            [
                board_figure(material.board, material.no_board),
                board_figure(material.red_team_board, NO_RED_TEAM, RED_TEAM_BOARD),
            ],
        ),
    ]


def _drawn(
    question: Question, why: str, measured: Json | None, figure: Callable[[Json], Figure | Missing]
) -> Figure | Missing:
    return Missing(question, why) if measured is None else figure(measured)


def _scan_figures(scans: Sequence[Json]) -> list[Figure | Missing]:
    """One figure a scan, and what is missing of the paper's three kinds."""
    drawn: list[Figure | Missing] = []
    keys = [scan["scan"]["key"] for scan in scans]
    for place, scan in enumerate(scans):
        before = keys[:place].count(keys[place])
        suffix = f"-{before + 1}" if before else ""
        drawn.append(scan_figure(scan["scan"]["key"], scan["scan"]["tests"], scan["rows"], suffix)[0])
    return drawn + [Missing(SCANS[key], NOT_SCANNED) for key in SCANS if key not in keys]


def render(material: Material, sections: Sequence[tuple[str, Sequence[Figure | Missing]]]) -> str:
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
    drawn = {title: [one for one in figures if isinstance(one, Figure)] for title, figures in sections}
    page = environment.get_template("report.html.j2").render(
        material=material,
        drawn=drawn,
        missing=[one for _, figures in sections for one in figures if isinstance(one, Missing)],
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
