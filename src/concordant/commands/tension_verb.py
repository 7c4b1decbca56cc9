"""``concordant evaluate tension``: where a policy's replies lie among the scores of each objective's comparisons."""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import at_most, data_file
from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Verbs
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Preference


def add_tension(evaluate: Verbs) -> argparse.ArgumentParser:
    """Add ``evaluate tension`` but for where its results go."""
    tension = evaluate.add_parser("tension", help="a policy among helpful and harmless scores (Fig. 14)")
    tension.add_argument("pm", type=Path, metavar="RUN", help="a preference model's run, or its model folder")
    tension.add_argument(
        "--data",
        type=data_file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="comparisons of both objectives, as helpful=FILE harmless=FILE; a frozen data set names its own",
    )
    tension.add_argument("--policy", type=Path, metavar="RUN", help="a policy run, whose trial replies are placed")
    tension.add_argument("--limit", type=int, metavar="N", help="at most N comparisons of each objective")
    add_device(tension)
    return tension


def measure_tension_(args: argparse.Namespace) -> dict[str, Any]:
    """Score the data and the policy's replies."""
    from concordant.commands.progress import progress
    from concordant.evaluate.tension import measure_tension
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run

    device = device_of(args)
    preferences, dropped = _comparisons(args)
    samples = []
    if args.policy is not None:
        run = Run.open(args.policy)
        samples = run.samples("trial")
        if run.head.get("kind") != "policy" or not samples:
            raise UserError(f"{args.policy} is no policy run that kept trial replies; give another, or leave it out")
    model = PreferenceModel.load(args.pm, device)
    with progress("scoring") as watch:
        return measure_tension(model, preferences, samples, watch, dropped)


def _comparisons(args: argparse.Namespace) -> "tuple[list[Preference], Counter[str]]":
    """(comparisons of both objectives, at most --limit of each; rows that could not be read by reason)."""
    from concordant.commands.comparison_files import is_dataset, read_comparisons

    found: list[Preference] = []
    dropped: Counter[str] = Counter()
    for file in args.data:
        if file.objective is None and not is_dataset(file.path):
            raise UserError(f"--data {file.path} does not say what is better in it; write helpful= or harmless= first")
        rows, unread = read_comparisons([file.path], file.objective)
        found, dropped = found + rows, dropped + unread
    parts = [[row for row in found if row.objective == objective] for objective in ("helpful", "harmless")]
    return [row for part in parts for row in at_most(args.limit, "--limit", part, 0)], dropped


def tension_text(result: dict[str, Any]) -> str:
    """What a person is told."""
    lines = [f"{result['n']:,} comparisons; scores less their mean of {result['mean']:+.3f}"]
    for name, part in result["objectives"].items():
        lines.append(
            f"{name:<9} data: mean {part['mean']:+.3f} ± {part['se']:.3f}, standard deviation {part['sd']:.3f}; "
            f"chosen {part['chosen_mean']:+.3f}, rejected {part['rejected_mean']:+.3f}"
        )
        for moment in ("before", "after") if part["policy"] else ():
            place = part["policy"][moment]
            lines.append(
                f"  policy {moment:<6} {place['mean']:+.3f} ± {place['se']:.3f}, above {place['above_data']:.1%} "
                f"(± {place['above_data_se']:.1%}) of the data; {place['prompts']:,} prompts"
            )
    lines += [f"left out: {count:,} {reason}" for reason, count in sorted(result["dropped"].items())]
    return "\n".join(lines)
