"""``concordant data import | export | freeze``: preferences into the store, out of it, and into immutable data sets."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from concordant.store.imports import FileReport
    from concordant.store.preferences import Filter
    from concordant.store.tally import Json

OBJECTIVES = ("helpful", "harmless")
TRANCHES = ("base", "rs", "online")


def add(verbs: Verbs) -> None:
    """Add the verb ``data``."""
    data: Verbs = verbs.add_parser("data", help="preferences in, out, and frozen").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    _add_import(data)
    _add_export(data)
    _add_freeze(data)


def _add_import(data: Verbs) -> None:
    parser = data.add_parser("import", help="HH-format .jsonl[.gz] files into the store")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="rows of chosen and rejected transcripts")
    parser.add_argument("--objective", choices=OBJECTIVES, required=True, help="what 'chosen' means in these files")
    parser.add_argument("--tranche", choices=TRANCHES, required=True, help="which kind of model wrote the replies")
    _finish(parser, import_)


def _add_export(data: Verbs) -> None:
    parser = data.add_parser("export", help="preferences into one file, with a data card beside it")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file; an HH file is compressed if it ends in .gz")
    parser.add_argument("--format", choices=("hh", "parquet"), required=True, help="hh leaves the weakest answers out")
    _add_filters(parser)
    _finish(parser, export_)


def _add_freeze(data: Verbs) -> None:
    parser = data.add_parser("freeze", help="an immutable data set with a content hash")
    parser.add_argument("name", metavar="NAME", help="of the data set")
    parser.add_argument("--keep-weakest", action="store_true", help="also answers of the weakest strength")
    _add_filters(parser)
    _finish(parser, freeze_)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--objective", choices=OBJECTIVES, help="only this one")
    parser.add_argument("--tranche", choices=TRANCHES, help="only this one")
    parser.add_argument("--study", metavar="S", help="only what was collected for this study")
    parser.add_argument(
        "--model", action="append", metavar="LABEL", help="only replies by these snapshots (repeatable)"
    )
    parser.add_argument(
        "--worker-kind", choices=("person", "scripted", "simulated"), help="only choices by such workers"
    )
    parser.add_argument("--source", choices=("store", "imported"), help="only what was collected here, or imported")
    parser.add_argument(
        "--workers",
        choices=("admitted", "select", "all"),
        default="admitted",
        help="whose choices: all but excluded workers' (default), the select list's alone, or everyone's",
    )


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    add_programme(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def import_(args: argparse.Namespace) -> Outcome:
    from concordant.comparison import Objective, Tranche
    from concordant.store.imports import import_files

    with opened(args) as (_, database):
        report = import_files(database, args.files, Objective(args.objective), Tranche(args.tranche))
    lines = [_file_line(file) for file in report.files]
    return Outcome(
        "\n".join([*lines, f"{report.added:,} preferences added"]),
        {
            "added": report.added,
            "dropped": dict(sorted(report.dropped.items())),
            "files": [
                {
                    "name": file.name,
                    "rows": file.rows,
                    "taken": file.taken,
                    "dropped": dict(sorted(file.dropped.items())),
                    "already": file.already,
                }
                for file in report.files
            ],
        },
    )


def export_(args: argparse.Namespace) -> Outcome:
    from concordant.store.exports import export

    with opened(args) as (_, database):
        done = export(database, args.out, args.format, _filter(args))
    counts = done.tally.to_json()
    return Outcome(
        f"{done.path}: {_summary(counts)}\n{done.card}: its data card",
        {"path": str(done.path), "card": str(done.card)} | counts,
    )


def freeze_(args: argparse.Namespace) -> Outcome:
    from concordant.store.datasets import freeze

    with opened(args) as (programme, database):
        frozen = freeze(database, args.name, _filter(args), programme.datasets)
    counts = frozen.counts
    return Outcome(
        f"{frozen.name}: {_summary(counts)}\nsha256 {frozen.digest}\n{frozen.path}",
        {"name": frozen.name, "digest": frozen.digest, "path": str(frozen.path)} | counts,
    )


def _filter(args: argparse.Namespace) -> "Filter":
    from concordant.comparison import Objective, Tranche
    from concordant.store.people import WorkerKind
    from concordant.store.preferences import Filter

    return Filter(
        objective=None if args.objective is None else Objective(args.objective),
        tranche=None if args.tranche is None else Tranche(args.tranche),
        study=args.study,
        models=None if args.model is None else tuple(args.model),
        keep_weakest=getattr(args, "keep_weakest", True),
        sources=args.source,
        workers=args.workers,
        worker_kind=None if args.worker_kind is None else WorkerKind(args.worker_kind),
    )


def _file_line(file: "FileReport") -> str:
    if file.already:
        return f"{file.name}: imported before; nothing added"
    return f"{file.name}: {file.taken:,} of {file.rows:,} rows taken{_dropped(file.dropped)}"


def _summary(counts: "Json") -> str:
    """``12 preferences (3 person, 9 scripted); left out: 2 equal replies``, from ``Tally.to_json``."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in counts["worker_kinds"].items())
    return f"{counts['taken']:,} preferences ({kinds}){_dropped(counts['dropped'])}"


def _dropped(reasons: dict[str, int]) -> str:
    """``; left out: 2 equal replies, 1 not JSON``."""
    if not reasons:
        return ""
    return "; left out: " + ", ".join(f"{number:,} {reason}" for reason, number in sorted(reasons.items()))
