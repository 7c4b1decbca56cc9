"""``concordant report``: one HTML page with every figure that runs, or a programme, allow."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concordant.bradley_terry import Game
    from concordant.evaluate.report import Material
    from concordant.evaluate.votes import Votes


def add(verbs: Verbs) -> None:
    """Add the verb ``report``."""
    report = verbs.add_parser("report", help="one HTML page with every figure the data allows")
    report.add_argument(
        "folders",
        type=Path,
        nargs="*",
        metavar="FOLDER",
        help="runs, scans, and folders of 'evaluate … --out' (default: all of the programme's, newest "
        "first); the first run of a kind is shown at length",
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
    from concordant.evaluate.report import write_report

    report = write_report(_material(args), args.out)
    drawn = report.figures
    shown = [figure for figure in drawn if isinstance(figure, Figure)]
    lines = [f"  {figure.question.figure:<16} {figure.title}" for figure in shown]
    lines += [f"  {figure.question.figure:<16} not drawn" for figure in drawn if not isinstance(figure, Figure)]
    figures = {figure.question.name: figure.title if isinstance(figure, Figure) else None for figure in drawn}
    return Outcome("\n".join([*lines, str(report.index)]), {"report": str(report.index), "figures": figures})


def _material(args: argparse.Namespace) -> "Material":
    """What the report is made of: the folders that were named, or all of the programme's, and its games."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from concordant.errors import UserError
    from concordant.evaluate.report_sources import programme_sources, read_sources
    from concordant.evaluate.run_material import gather
    from concordant.programme import Programme

    in_programme = (args.dir / "concordant.toml").exists()
    if not args.folders and not args.games and not in_programme:
        raise UserError(f"no FOLDER was named and {args.dir} is no programme; name a run's folder, or the programme's")
    if args.folders or not in_programme:
        sources = read_sources(args.folders)
    else:
        sources = programme_sources(Programme.open(args.dir).runs)
    material = gather(args.title or _title(args, in_programme), sources)
    material = _with_board(material, args, in_programme)
    return replace(
        material,
        generated=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
        command=shlex.join(["concordant", *sys.argv[1:]]),
    )


def _title(args: argparse.Namespace, in_programme: bool) -> str:
    if args.folders:
        return "Report on " + ", ".join(folder.resolve().name for folder in args.folders)
    return f"Report on {args.dir.resolve().name}" if in_programme else "Report on a board"


def _with_board(material: "Material", args: argparse.Namespace, in_programme: bool) -> "Material":
    """The material with boards from the file that was named, or from the programme's store, where they allow some."""
    from concordant.comparison import Objective
    from concordant.evaluate.games_csv import read_games

    if args.games:
        file = read_games(args.games)
        for objective in file.objectives:
            games, dropped = file.board(objective)
            material = _with_games(material, args.anchor, objective, games, dropped)
        return material
    if not in_programme:
        return material
    from dataclasses import replace

    from concordant.evaluate.elo import games_from_preferences
    from concordant.store.preferences import Filter, counts, preferences

    kinds: dict[str, int] = {}
    with opened(args) as (_, database):
        for group in counts(database):
            kinds[group["worker_kind"]] = kinds.get(group["worker_kind"], 0) + group["n"]
        material = replace(material, worker_kinds=kinds)
        for objective in Objective:
            chosen = preferences(database, Filter(objective=objective, sources="store"))
            met = games_from_preferences(preference for _, preference in chosen)
            material = _with_games(material, args.anchor, objective.value, met)
    return material


def _with_games(
    material: "Material",
    anchor: str | None,
    objective: str,
    games: "Sequence[Game] | Votes",
    dropped: "Mapping[str, int] | None" = None,
) -> "Material":
    """The material with one objective's board; comparisons that name no objective count as helpful."""
    from dataclasses import replace

    from concordant.errors import UserError
    from concordant.evaluate.elo import board

    red_team = objective == "harmless"
    try:
        made = board(games, anchor, dropped).json() | {"objective": objective}
    except UserError as error:
        return material if red_team else replace(material, no_board=str(error))
    return replace(material, red_team_board=made) if red_team else replace(material, board=made)
