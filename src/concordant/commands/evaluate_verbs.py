"""``concordant evaluate pm | calibration | elo | frontier`` and ``concordant report``: numbers and pictures of them."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from concordant.evaluate.figures import Figure, Missing
    from concordant.evaluate.report import Material
    from concordant.runs import Run


def add(verbs: Verbs) -> None:
    """Add the verbs ``evaluate`` and ``report``."""
    evaluate: Verbs = verbs.add_parser("evaluate", help="measure models against people's choices").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    _add_pm(evaluate.add_parser("pm", help="a preference model's accuracy on comparisons"), evaluate_pm_)
    calibration = evaluate.add_parser("calibration", help="score differences against accuracy (Fig. 9)")
    _add_pm(calibration, evaluate_calibration_)
    calibration.add_argument("--out", type=Path, metavar="DIR", help="folder for the figure: SVG, and CSV beside it")

    elo = evaluate.add_parser("elo", help="ratings from judged pairs, with intervals over workers")
    elo.add_argument(
        "file", type=Path, metavar="FILE.csv", help="model_a,model_b,winner(a|b),worker[,strength][,shown_left]"
    )
    elo.add_argument("--anchor", metavar="MODEL", help="the model at 0 (default: the one with the most games)")
    elo.add_argument("--out", type=Path, metavar="DIR", help="folder for the figure: SVG, and CSV beside it")
    add_json(elo)
    elo.set_defaults(run=evaluate_elo_)

    frontier = evaluate.add_parser("frontier", help="a policy run's score against √KL (Fig. 4, 13)")
    frontier.add_argument("policy_run", type=Path, metavar="RUN", help="a policy run's folder")
    frontier.add_argument("--out", type=Path, metavar="DIR", help="folder for the figure: SVG, and CSV beside it")
    add_json(frontier)
    frontier.set_defaults(run=evaluate_frontier_)
    _add_report(verbs)


def _add_pm(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument("pm", type=Path, metavar="RUN", help="a preference model's run, or its model folder")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="HH .jsonl[.gz] files, or frozen data sets"
    )
    parser.add_argument("--objective", choices=("helpful", "harmless"), help="only comparisons for this objective")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N comparisons, drawn with a fixed seed")
    add_json(parser)
    parser.set_defaults(run=run)


def _add_report(verbs: Verbs) -> None:
    report = verbs.add_parser("report", help="one HTML page with every figure the data allows")
    report.add_argument(
        "runs", type=Path, nargs="*", metavar="RUN", help="a PM run and a policy run (default: the programme's newest)"
    )
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="the report's folder")
    report.add_argument("--games", type=Path, metavar="FILE.csv", help="judged pairs (default: the programme's store)")
    report.add_argument("--anchor", metavar="MODEL", help="the model at Elo 0")
    report.add_argument("--title", help="heading of the page")
    add_programme(report)
    add_json(report)
    report.set_defaults(run=report_)


def evaluate_pm_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import pm_text

    evaluation = _measure(args)
    return Outcome(pm_text(str(args.pm), evaluation), evaluation)


def evaluate_calibration_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import calibration_text
    from concordant.evaluate.pm_figures import calibration_figure

    evaluation = _measure(args)
    figure = calibration_figure(evaluation)
    written = _write(figure, args.out)
    json = {"n": evaluation["n"], "ece": evaluation["ece"], **evaluation["calibration"], "files": written}
    return Outcome("\n".join([calibration_text(evaluation, figure), *written]), json)


def evaluate_elo_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import elo_text
    from concordant.evaluate.board_figures import board_figure
    from concordant.evaluate.elo import board
    from concordant.evaluate.games_csv import read_games

    file = read_games(args.file)
    result = board(file.games, args.anchor, file.dropped).json() | {"ignored_columns": list(file.ignored_columns)}
    written = _write(board_figure(result), args.out) if args.out else []
    return Outcome("\n".join([elo_text(result), *written]), result | ({"files": written} if written else {}))


def evaluate_frontier_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import frontier_text
    from concordant.errors import UserError
    from concordant.evaluate.frontier import fit_frontier
    from concordant.evaluate.policy_figures import frontier_figure
    from concordant.runs import Run

    run = Run.open(args.policy_run)
    if run.head.get("kind") != "policy":
        raise UserError(f"{args.policy_run} is no policy run; give the folder that 'concordant train policy' printed")
    rows = run.metrics()
    result = fit_frontier(rows).json()
    figure = frontier_figure(rows)
    written = _write(figure, args.out) if args.out else []
    return Outcome("\n".join([frontier_text(figure), *written]), result | ({"files": written} if written else {}))


def report_(args: argparse.Namespace) -> Outcome:
    from concordant.evaluate.figures import Figure
    from concordant.evaluate.report import draw_figures, write_report

    material = _material(args)
    index = write_report(material, args.out)
    drawn = draw_figures(material)
    shown = [figure for figure in drawn if isinstance(figure, Figure)]
    lines = [f"  {figure.question.figure:<16} {figure.title}" for figure in shown]
    lines += [f"  {figure.question.figure:<16} not drawn" for figure in drawn if not isinstance(figure, Figure)]
    figures = {figure.question.name: figure.title if isinstance(figure, Figure) else None for figure in drawn}
    return Outcome("\n".join([*lines, str(index)]), {"report": str(index), "figures": figures})


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """Score the files' comparisons and measure; a run's folder keeps the result for its report."""
    import os
    import random

    from concordant.commands.comparison_files import read_comparisons
    from concordant.commands.progress import progress
    from concordant.errors import UserError
    from concordant.evaluate.run_material import save_evaluation
    from concordant.evaluate.scoring import evaluate_pm
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run

    preferences, dropped = read_comparisons(args.data, args.objective)
    if args.limit is not None:
        if args.limit < 1:
            raise UserError(f"--limit {args.limit} must be at least 1")
        preferences = random.Random("limit").sample(preferences, min(args.limit, len(preferences)))
    model = PreferenceModel.load(args.pm)
    with progress("scoring") as watch:
        evaluation = evaluate_pm(model, preferences, watch, dropped).json()
    if (args.pm / "result.json").exists() and os.access(args.pm, os.W_OK):
        save_evaluation(Run.open(args.pm), evaluation)
    return evaluation


def _material(args: argparse.Namespace) -> "Material":
    """What the report is made of: the runs that were named, or the programme's newest, and its games."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from concordant.errors import UserError
    from concordant.evaluate.run_material import gather
    from concordant.runs import Run

    in_programme = (args.dir / "concordant.toml").exists()
    runs = [Run.open(path) for path in args.runs]
    if not runs and in_programme:
        runs = _newest_runs(args.dir)
    if not runs and not args.games and not in_programme:
        raise UserError(f"no RUN was named and {args.dir} is no programme; name a run's folder, or the programme's")
    material = gather(args.title or "Report on " + (", ".join(run.name for run in runs) or "a board"), runs)
    material = _with_board(material, args, in_programme)
    return replace(
        material,
        generated=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
        command=shlex.join(["concordant", *sys.argv[1:]]),
    )


def _newest_runs(folder: Path) -> "list[Run]":
    """The programme's newest finished run of each kind."""
    from concordant.programme import Programme
    from concordant.runs import Run

    newest: dict[str, Run] = {}
    finished = [run for run in map(Run, Programme.open(folder).runs.iterdir()) if run.finished]
    for run in sorted(finished, key=lambda run: (run.path / "result.json").stat().st_mtime):
        newest[str(run.head["kind"])] = run
    return [newest[kind] for kind in ("pm", "policy") if kind in newest]


def _with_board(material: "Material", args: argparse.Namespace, in_programme: bool) -> "Material":
    """The material with a board from the file that was named, or from the programme's store, if they allow one."""
    from dataclasses import replace

    from concordant.errors import UserError
    from concordant.evaluate.elo import board, games_from_preferences
    from concordant.evaluate.games_csv import read_games

    if args.games:
        file = read_games(args.games)
        return replace(material, board=board(file.games, args.anchor, file.dropped).json())
    if not in_programme:
        return material
    from concordant.comparison import Objective
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.preferences import Filter, counts, preferences

    database = Database.open(Programme.open(args.dir).store_url)
    chosen = preferences(database, Filter(objective=Objective.HELPFUL, sources="store"))
    games = games_from_preferences(preference for _, preference in chosen)
    kinds: dict[str, int] = {}
    for group in counts(database):
        kinds[group["worker_kind"]] = kinds.get(group["worker_kind"], 0) + group["n"]
    database.close()
    material = replace(material, worker_kinds=kinds)
    try:
        return replace(material, board=board(games, args.anchor).json())
    except UserError as error:
        return replace(material, no_board=str(error))


def _write(figure: "Figure | Missing", out: Path | None) -> list[str]:
    """Write a drawn figure's two files; returns their paths."""
    from concordant.errors import UserError
    from concordant.evaluate.figures import Missing
    from concordant.runs import write_whole

    if out is None:
        return []
    if isinstance(figure, Missing):
        raise UserError(f"no figure was drawn: {figure.why}")
    if out.is_file():
        raise UserError(f"--out {out} is a file; give a folder")
    files = {out / f"{figure.question.name}.svg": figure.svg, out / f"{figure.question.name}.csv": figure.csv}
    for path, content in files.items():
        write_whole(path, content)
    return [str(path) for path in files]
