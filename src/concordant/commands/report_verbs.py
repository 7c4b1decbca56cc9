"""``concordant report``: one HTML page with every figure that runs, or a programme, allow."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from concordant.evaluate.report import Material
    from concordant.runs import Run


def add(verbs: Verbs) -> None:
    """Add the verb ``report``."""
    report = verbs.add_parser("report", help="one HTML page with every figure the data allows")
    report.add_argument(
        "runs",
        type=Path,
        nargs="*",
        metavar="RUN",
        help="a PM run, a policy run, a folder of 'evaluate capabilities' (default: the programme's newest runs)",
    )
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="the report's folder")
    report.add_argument("--games", type=Path, metavar="FILE.csv", help="judged pairs (default: the programme's store)")
    report.add_argument("--anchor", metavar="MODEL", help="the model at Elo 0")
    report.add_argument("--title", help="heading of the page")
    add_programme(report)
    add_json(report)
    report.set_defaults(run=report_)


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
        games, dropped = file.board(file.objectives[0])
        return replace(material, board=board(games, args.anchor, dropped).json())
    if not in_programme:
        return material
    from concordant.comparison import Objective
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.preferences import Filter, counts, preferences

    database = Database.open(Programme.open(args.dir).store_url)
    chosen = preferences(database, Filter(objective=Objective.HELPFUL, sources="store"))
    met = games_from_preferences(preference for _, preference in chosen)
    kinds: dict[str, int] = {}
    for group in counts(database):
        kinds[group["worker_kind"]] = kinds.get(group["worker_kind"], 0) + group["n"]
    database.close()
    material = replace(material, worker_kinds=kinds)
    try:
        return replace(material, board=board(met, args.anchor).json())
    except UserError as error:
        return replace(material, no_board=str(error))
