"""``concordant evaluate shift | snapshots | writers``: data, snapshots and people's replies to a preference model."""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import at_most, named_file
from concordant.commands.device_option import add_device, device_of
from concordant.commands.figure_files import add_out, outcome_with, refuse_out, write_figures, write_measurement
from concordant.commands.outcome import Outcome, Verbs
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Preference
    from concordant.conversation import Conversation
    from concordant.runs import Run


def add_online(evaluate: Verbs) -> None:
    """Add ``evaluate shift``, ``evaluate snapshots`` and ``evaluate writers``."""
    shift = evaluate.add_parser("shift", help="scores of the replies tranche by tranche (Fig. 15 left)")
    _add_pm(shift)
    shift.add_argument(
        "--data",
        type=named_file,
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="comparisons of each tranche, oldest first; files of one name belong together",
    )
    shift.add_argument("--limit", type=int, metavar="N", help="at most N comparisons of each tranche, drawn")
    add_out(shift)
    shift.set_defaults(run=shift_)

    snapshots = evaluate.add_parser(
        "snapshots", help="what the preference model promised of snapshots, and people's votes (Fig. 15 right, 35)"
    )
    _add_pm(snapshots)
    snapshots.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="frozen data sets with votes on snapshots"
    )
    snapshots.add_argument("--anchor", required=True, metavar="MODEL", help="label of the snapshot at Elo 0")
    snapshots.add_argument("--objective", choices=("helpful", "harmless"), default="helpful", help="default: helpful")
    snapshots.add_argument(
        "--policy",
        type=named_file,
        nargs="+",
        default=[],
        metavar="MODEL=RUN",
        help="policy runs of snapshots, trained from the anchor against RUN: for the promise on held-out prompts",
    )
    add_out(snapshots)
    snapshots.set_defaults(run=snapshots_)

    writers = evaluate.add_parser("writers", help="human writers against a model's median reply (Fig. 24)")
    _add_pm(writers)
    writers.add_argument(
        "--written", type=Path, required=True, metavar="FILE", help='JSON lines of {"prompt", "replies": [a person\'s]}'
    )
    writers.add_argument(
        "--best-of",
        type=Path,
        required=True,
        metavar="DIR",
        help="the model's replies to the same prompts: folder of 'evaluate best-of FILE --pm RUN --n 17'",
    )
    add_out(writers)
    writers.set_defaults(run=writers_)


def _add_pm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pm", type=Path, metavar="RUN", help="a preference model's run, or its model folder")
    add_device(parser)


def shift_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.comparison_files import read_comparisons
    from concordant.commands.progress import progress
    from concordant.evaluate.shift import measure_shift
    from concordant.evaluate.shift_figure import shift_figure
    from concordant.models.preference_model import PreferenceModel

    refuse_out(args.out)
    tranches: dict[str, list[Preference]] = {}
    dropped: Counter[str] = Counter()
    for name, path in args.data:
        rows, unread = read_comparisons([path])
        tranches[name] = tranches.get(name, []) + rows
        dropped += unread
    drawn = {name: at_most(args.limit, "--limit", rows, 0) for name, rows in tranches.items()}
    model = PreferenceModel.load(args.pm, device_of(args))
    with progress("scoring") as watch:
        result = measure_shift(model, drawn, watch, dropped)
    written = [*write_figures([shift_figure(result)], args.out), *write_measurement("shift", result, args.out)]
    return outcome_with(_shift_text(result), result, written)


def _shift_text(result: dict[str, Any]) -> str:
    lines = [f"{result['n']:,} comparisons; scores less the mean of {result['tranches'][0]['name']}"]
    for row in result["tranches"]:
        line = f"{row['name']:<12} {row['comparisons']:>7,} comparisons  mean {row['mean']:+.3f}  sd {row['sd']:.3f}"
        if "moved" in row:
            line += f"  moved {row['moved']:+.3f} ± {row['moved_se']:.3f}  above the first {row['above_first']:.1%}"
        lines.append(line)
    lines += [f"left out: {count:,} {reason}" for reason, count in sorted(result["dropped"].items())]
    return "\n".join(lines)


def snapshots_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.comparison_files import is_dataset, read_comparisons
    from concordant.commands.progress import progress
    from concordant.evaluate.snapshot_figures import snapshot_figure
    from concordant.evaluate.snapshots import measure_snapshots
    from concordant.models.preference_model import PreferenceModel

    refuse_out(args.out)
    for path in args.data:
        if path.exists() and not is_dataset(path):
            raise UserError(
                f"--data {path} does not say which snapshots wrote its replies; freeze a data set of the store"
            )
    preferences, _ = read_comparisons(args.data, args.objective)
    promised = {name: _promise(path, args.pm) for name, path in args.policy}
    model = PreferenceModel.load(args.pm, device_of(args))
    with progress("scoring") as watch:
        result = measure_snapshots(model, preferences, args.anchor, promised, watch)
    written = [*write_figures([snapshot_figure(result)], args.out), *write_measurement("snapshots", result, args.out)]
    return outcome_with(_snapshots_text(result), result, written)


def writers_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.evaluate.writers import measure_writers
    from concordant.evaluate.writers_figure import writers_figure
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run, write_whole
    from concordant.store.conversation_files import read_replies

    refuse_out(args.out)
    run = Run.open(args.best_of)
    if run.head.get("kind") != "best-of" or not run.finished:
        raise UserError(f"{args.best_of} is no finished best-of run; give the folder of 'concordant evaluate best-of'")
    _same_pm(run, args.pm, "scored by")
    rows = [row for row in read_replies(args.written) if row.items]
    if not rows:
        raise UserError(f"{args.written} holds no prompt with a reply; give rows with prompt and replies")
    written = [(row.items[0][0], row.items[0][1][0]) for row in rows]
    model = PreferenceModel.load(args.pm, device_of(args))
    with progress("scoring") as watch:
        result, met = measure_writers(model, written, run.metrics(), watch)
    files = [*write_figures([writers_figure(result)], args.out), *write_measurement("writers", result, args.out)]
    if args.out is not None:
        lines = [{"prompt": _messages(one.prompt), "replies": [one.writer, one.median]} for one in met]
        write_whole(args.out / "pairs.jsonl", "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
        files.append(str(args.out / "pairs.jsonl"))
    return outcome_with(_writers_text(result), result, files)


def _messages(prompt: "Conversation") -> list[dict[str, str]]:
    return [{"role": turn.speaker.value, "content": turn.text} for turn in prompt.turns]


def _writers_text(result: dict[str, Any]) -> str:
    low, high = result["ci95"]
    lines = [
        f"{result['n']:,} prompts, {result['replies']} replies of the model to each",
        f"the median reply scores above the writer's in {result['model_wins']:.1%} [{low:.1%}, {high:.1%}], "
        f"by {result['gap']:+.3f} ± {result['gap_se']:.3f} in the mean",
    ]
    lines += [f"left out: {count:,} {reason}" for reason, count in sorted(result["dropped"].items())]
    return "\n".join(lines)


def _same_pm(run: "Run", pm: Path, how: str) -> None:
    """Raise if another preference model stands behind a run: scores of two have no common zero and no common unit."""
    from concordant.models.made_model import model_id, same_model

    behind = str(run.head["parents"].get("pm"))
    if " of " in behind or not same_model(behind, model_id(pm)):
        raise UserError(f"{run.path} was {how} {behind}, and RUN is {model_id(pm)}; give that preference model")


def _promise(path: Path, pm: Path) -> tuple[float, float]:
    """(rise of the mean score on held-out prompts, standard error) of a policy run."""
    from concordant.evaluate.report_summary import trial_of
    from concordant.runs import Run

    run = Run.open(path)
    trial = trial_of(run.result) if run.head.get("kind") == "policy" and run.finished else None
    if trial is None:
        raise UserError(f"{path} is no finished policy run with held-out prompts; leave it out")
    _same_pm(run, pm, "trained against")
    before, after = trial
    return after["score"] - before["score"], (before["score_se"] ** 2 + after["score_se"] ** 2) ** 0.5


def _snapshots_text(result: dict[str, Any]) -> str:
    names = ("people", "ranking", "score", "naive")
    lines = [f"{result['n']:,} comparisons between snapshots; Elo above {result['anchor']}"]
    lines.append(f"{'':<20}" + "".join(f"{name:>24}" for name in names))
    for row in result["snapshots"]:
        lines.append(f"{row['model']:<20}" + "".join(f"{_cell(row[name]):>24}" for name in names))
    lines += [f"left out: {count:,} {reason}" for reason, count in sorted(result["dropped"].items())]
    return "\n".join(lines)


def _cell(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return "–"
    low, high = measured["ci95"]
    return f"{measured['elo']:+.0f} [{low:.0f}, {high:.0f}]"
