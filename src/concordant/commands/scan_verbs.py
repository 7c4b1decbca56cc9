"""``concordant scan comparisons | mixture | loss-weight | skill | setting``: many models, one table, one figure."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import add_data, add_test, at_most, checked, data_file, read_pool
from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json, add_overrides
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.scan import Plan, Scan

SHARES = [round(0.1 * tenth, 1) for tenth in range(11)]
"""Of harmless comparisons (Fig. 19)."""

LOSS_WEIGHTS = [1.0, 2.0, 3.0, 4.0, 10.0]
"""λ (Fig. 27)."""


def add(verbs: Verbs) -> None:
    """Add the verb ``scan``."""
    scan: Verbs = verbs.add_parser("scan", help="many preference models, one table and one figure").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    comparisons = _verb(scan, "comparisons", "accuracy by number of comparisons and base model (Fig. 7)", comparisons_)
    comparisons.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        metavar="N",
        help="comparisons of each model (default: 1000, doubled); "
        "multiples of the batch size cost one run together, that of the largest",
    )
    mixture = _verb(scan, "mixture", "accuracy by share of harmless comparisons (Fig. 19, 26)", mixture_)
    mixture.add_argument(
        "--shares", type=float, nargs="+", default=SHARES, metavar="F", help="shares of harmless ones (default: 0 to 1)"
    )
    weight = _verb(scan, "loss-weight", "accuracy by weight of harmless comparisons in the loss (Fig. 27)", setting_)
    _add_values(weight, LOSS_WEIGHTS)
    weight.set_defaults(key="harmless_weight")
    skill = _verb(scan, "skill", "what a second task costs the first, and the first the second (Fig. 20)", skill_)
    skill.add_argument(
        "--skill",
        type=data_file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="comparisons of the second task; with --test-fraction, as many of its openings are kept from training",
    )
    skill.add_argument(
        "--names",
        nargs=2,
        default=["hh", "skill"],
        metavar=("FIRST", "SECOND"),
        help="what the two are called (default: hh skill)",
    )
    setting = _verb(scan, "setting", "accuracy by any setting of 'train pm' that is a number", setting_)
    setting.add_argument("--key", required=True, metavar="KEY", help="the setting, for example learning_rate")
    _add_values(setting, None)


def _verb(scan: Verbs, name: str, help_line: str, run: object) -> argparse.ArgumentParser:
    parser = scan.add_parser(name, help=help_line)
    add_data(parser, "comparisons to learn from")
    add_test(parser)
    parser.add_argument("--models", nargs="+", metavar="M", help="base models (default: the config's)")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="one run each (default: the config's seed)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the scan's folder")
    parser.add_argument(
        "--discard-models", action="store_true", help="keep no weights: each model is deleted once it is measured"
    )
    add_overrides(parser, "learning_rate=1e-5")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)
    return parser


def _add_values(parser: argparse.ArgumentParser, default: list[float] | None) -> None:
    said = f" (default: {' '.join(f'{value:g}' for value in default)})" if default else ""
    parser.add_argument(
        "--values",
        type=float,
        nargs="+",
        default=default,
        required=default is None,
        metavar="X",
        help=f"its values{said}",
    )


def comparisons_(args: argparse.Namespace) -> Outcome:
    from concordant.scan import comparisons_scan

    if args.limit is not None:
        raise UserError("a scan of comparisons takes their numbers from --sizes; leave out --limit")
    for size in args.sizes or []:
        checked(size, "--sizes")
    return _run(args, comparisons_scan(_plan(args), args.sizes or []))


def mixture_(args: argparse.Namespace) -> Outcome:
    from concordant.scan import mixture_scan

    for share in args.shares:
        if not 0 <= share <= 1:
            raise UserError(f"--shares {share:g} must lie between 0 and 1")
    return _run(args, mixture_scan(_plan(args), args.shares, checked(args.limit, "--limit")))


def skill_(args: argparse.Namespace) -> Outcome:
    from concordant.scan import skill_scan

    if args.test or args.test_fraction is None:
        raise UserError("a scan of a skill cuts both tests by --test-fraction; leave out --test")
    if len(set(args.names)) < 2 or not all(name.isidentifier() for name in args.names):
        raise UserError(f"--names {' '.join(args.names)} must be two different words of letters and digits")
    return _run(args, skill_scan(_skill_plan(args), checked(args.limit, "--limit")))


def _skill_plan(args: argparse.Namespace) -> "Plan":
    """Two sources and two tests under the names of the tasks; no opening of a test stands in either source."""
    from dataclasses import replace

    from concordant.mixture import Source

    first = _plan(args)
    second = _plan(argparse.Namespace(**{**vars(args), "data": args.skill}))
    exams = [[row for exam in plan.tests.values() for row in exam] for plan in (first, second)]
    seen = {row.prompt.split_key for exam in exams for row in exam}
    sources = [
        Source(name, [row for source in plan.sources for row in source.rows if row.prompt.split_key not in seen])
        for name, plan in zip(args.names, (first, second), strict=True)
    ]
    record = {**first.record, "skill": second.record["data"]}
    return replace(first, sources=sources, tests=dict(zip(args.names, exams, strict=True)), record=record)


def setting_(args: argparse.Namespace) -> Outcome:
    from concordant.scan import setting_scan

    return _run(args, setting_scan(_plan(args), args.key, args.values, checked(args.limit, "--limit")))


def _plan(args: argparse.Namespace) -> "Plan":
    """What the options say that all scans have."""
    from concordant.comparison import Objective
    from concordant.config import load_config
    from concordant.models.base_models import cache_folder, fetch
    from concordant.scan import Plan
    from concordant.train_config import PreferenceModelConfig

    config = load_config(PreferenceModelConfig, args.config, args.overrides)
    pool = read_pool(args)
    tests = {}
    for objective in Objective:
        found = [row for row in pool.exam if row.objective == objective]
        if found:
            tests[str(objective)] = at_most(args.test_limit, "--test-limit", found, config.seed)
    if not tests:
        raise UserError(
            "a scan measures all its models on the same comparisons; name them by --test or --test-fraction"
        )
    models = args.models or [config.model]
    labels = [Path(model).name for model in models]
    if len(set(labels)) < len(labels):
        raise UserError(f"--models {' '.join(models)}: two are called the same; give their folders different names")
    device = device_of(args)
    folders = {model: fetch(model, cache_folder(), say=_say) for model in models}
    seeds = args.seeds or [config.seed]
    return Plan(args.out, pool.sources, tests, config, folders, seeds, pool.record, not args.discard_models, device)


def _run(args: argparse.Namespace, scan: "Scan") -> Outcome:
    from concordant.commands.progress import progress
    from concordant.scan_run import run_scan

    with progress("scanning") as watch:
        result = run_scan(scan, watch)
    lines = [result.get("title", f"{len(result['rows'])} models"), "", *_table(scan.key, result["points"]), ""]
    return Outcome("\n".join([*lines, *result["files"]]), result)


def _table(key: str, points: list[dict[str, Any]]) -> list[str]:
    """The points in at most 80 columns."""
    lines = [f"  {'base model':<21} {'test':<9} {key:>15} accuracy   95 %          seeds"]
    for point in points:
        model = point["model"] if len(point["model"]) <= 21 else f"{point['model'][:20]}…"
        low, high = point["ci95"]
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        accuracy = f"{100 * point['accuracy']:6.1f} %"
        lines.append(
            f"  {model:<21} {point['curve']:<9} {point['x']:>15,g} {accuracy}   {interval:<13} {len(point['seeds']):>5}"
        )
    return lines


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
