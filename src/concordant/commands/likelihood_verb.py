"""``concordant evaluate likelihood``: which of two replies policies find likelier, along their training (Fig. 34)."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.capability_verbs import add_models, check_limit, finished, measured
from concordant.commands.data_selection import at_most, named_file
from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from concordant.comparison import Preference
    from concordant.evaluate.asked_model import AskedModel
    from concordant.runs import Json, Run, Watch


def add_likelihood(evaluate: Verbs) -> None:
    """Add the verb ``evaluate likelihood``."""
    parser = evaluate.add_parser(
        "likelihood", help="policies' own accuracy on comparisons, by mean log-probability (Fig. 34)"
    )
    add_models(parser)
    parser.add_argument(
        "--data",
        type=named_file,
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="comparisons; files of one name belong together, HH files named harmless are read as such",
    )
    parser.add_argument(
        "--pm", type=Path, nargs="+", default=[], metavar="RUN", help="preference models, to be drawn beside (dashed)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N comparisons of each name, drawn")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="the measurement's folder: answers and the figure; begun before, it goes on with what is there",
    )  # fmt: skip
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=evaluate_likelihood_)


def evaluate_likelihood_(args: argparse.Namespace) -> Outcome:
    from concordant.evaluate.likelihood import measure_likelihood
    from concordant.evaluate.likelihood_figure import likelihood_figure

    check_limit(args.limit)
    files, unread = _files(args)
    samples = [_samples(name) for name in args.models]

    def work(run: "Run", models: "Sequence[AskedModel]", watch: "Watch") -> "Json":
        with run.alone():
            known = {asked.name: number for asked, number in zip(models, samples, strict=True)}
            return measure_likelihood(models, files, known, watch)

    result = measured(args, "likelihood", work)
    result |= {"limit": args.limit, "unread": unread, "ceilings": _ceilings(args, files)}
    return finished(args, "likelihood", result, [likelihood_figure(result)], "\n".join(_text(result)))


def _files(args: argparse.Namespace) -> "tuple[dict[str, list[Preference]], dict[str, dict[str, int]]]":
    from concordant.commands.comparison_files import is_dataset, read_comparisons

    files: dict[str, list[Preference]] = {}
    unread: dict[str, dict[str, int]] = {}
    for name, path in args.data:
        objective = name if name in ("helpful", "harmless") and not is_dataset(path) else None
        rows, dropped = read_comparisons([path], objective)
        files[name] = files.get(name, []) + rows
        if dropped:
            unread[name] = {reason: unread.get(name, {}).get(reason, 0) + count for reason, count in dropped.items()}
    return {name: at_most(args.limit, "--limit", rows, 0) for name, rows in files.items()}, unread


def _samples(name: str) -> int | None:
    """How many replies PPO had sampled when a policy was saved; 0 for what no policy run made, None if not known."""
    from concordant.models.made_model import MadeModel

    path = Path(name)
    made = MadeModel.at(path) if path.is_dir() else None
    if made is None or made.kind != "policy":
        return 0
    if "samples" in made.note:
        return int(made.note["samples"])
    rows = made.run.metrics() if made.run is not None and not made.step else []
    if len(rows) < 2:
        return None
    one = int(rows[1]["samples"]) - int(rows[0]["samples"])
    return int(rows[-1]["samples"]) + one  # a row counts what was sampled before its own update


def _ceilings(args: argparse.Namespace, files: "Mapping[str, Sequence[Preference]]") -> "Json":
    from concordant.commands.progress import progress
    from concordant.evaluate.likelihood import ceiling
    from concordant.models.preference_model import PreferenceModel

    found: dict[str, dict[str, Any]] = {name: {} for name in files}
    for path in args.pm:
        label = path.name if path.name != "model" else path.resolve().parent.name
        if any(label in by for by in found.values()):
            raise UserError(f"--pm {path}: another preference model is called {label} too; rename one folder")
        model = PreferenceModel.load(path, device_of(args))
        with progress(f"scoring by {label}") as watch:
            for name, rows in files.items():
                found[name][label] = ceiling(model, rows, watch)
    return {name: by for name, by in found.items() if by}


def _text(result: "Json") -> list[str]:
    lines = []
    for row in result["tasks"]:
        lines.append(f"{row['task']}, n = {row['n']:,}: the better reply is likelier, by the mean of its tokens")
        for name, score in row["scores"].items():
            low, high = score["ci95"]
            gap = row["differences"].get(name)
            behind = ""
            if gap is not None:
                ends = " to ".join(f"{100 * end:+.1f}" for end in gap["ci95"])
                behind = f"   {100 * gap['value']:+.1f} points ({ends}) against {result['models'][0]}"
            lines.append(f"  {name:<28} {score['value']:.1%} [{low:.1%}, {high:.1%}]{behind}")
        for name, found in result["ceilings"].get(row["task"], {}).items():
            low, high = found["ci95"]
            lines.append(f"  {name + ' (preference model)':<28} {found['value']:.1%} [{low:.1%}, {high:.1%}]")
    dropped = [*result["dropped"].items(), *result["unread"].items()]
    lines += [f"left out of {name}: {count:,} {reason}" for name, by in dropped for reason, count in by.items()]
    return lines
