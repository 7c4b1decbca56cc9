"""``concordant evaluate ood``: strange requests in a model's activations; ``screen``: a filter of them, applied."""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.asked_prompts import PROMPTS, prompt_rows, read_prompt_files
from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json, plain
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.conversation import Conversation
    from concordant.evaluate.ood import Plan, Side
    from concordant.evaluate.ood_filter import PromptFilter, PromptScreen
    from concordant.models.activations import ActivationStore, Reading
    from concordant.models.named_model import NamedModel
    from concordant.store.conversation_files import PromptRow

WINDOW = 128


def add(verbs: Verbs) -> None:
    """Add the verb ``screen``."""
    screen = verbs.add_parser("screen", help="which prompts a filter declines, as strange to what a model is for")
    screen.add_argument("filter", type=Path, metavar="FILTER", help="a folder written by 'evaluate ood --save-filter'")
    screen.add_argument("file", type=Path, metavar="FILE", help=PROMPTS)
    screen.add_argument("--out", type=Path, metavar="FILE", help="where the verdicts go (default: standard output)")
    add_json(screen)
    screen.set_defaults(run=screen_)


def add_ood(evaluate: Verbs) -> argparse.ArgumentParser:
    """Add ``evaluate ood`` but for where its results go."""
    ood = evaluate.add_parser("ood", help="strange requests found in a model's activations (Fig. 22, 23, 39)")
    ood.add_argument("model", metavar="MODEL", help="a policy run's folder, a model's folder, or a model's name")
    for side, what in (("--inside", "ordinary prompts, such as helpful ones"), ("--outside", "prompts to be found")):
        ood.add_argument(side, type=Path, nargs="+", required=True, metavar="FILE", help=f"{what}: {PROMPTS}")
    ood.add_argument("--limit", type=int, metavar="N", help="at most N prompts a side, drawn with a fixed seed")
    ood.add_argument("--layers", type=int, nargs="+", metavar="L", help="layers to measure, from 1 (default: all)")
    ood.add_argument("--layer", type=int, metavar="L", help="layer of outlier exposure and filter (default: middle)")
    ood.add_argument(
        "--pooling", choices=("last", "mean"), default="last", help="the prompt's last token (default), or their mean"
    )
    ood.add_argument("--max-tokens", type=int, default=1024, metavar="T", help="of a prompt (default 1024)")
    ood.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="S", help="splits (default: 0 1 2)")
    ood.add_argument("--draws", type=int, default=5, metavar="N", help="draws of outliers in each split (default 5)")
    ood.add_argument("--exam-share", type=float, default=0.3, metavar="F", help="of the openings (default 0.3)")
    ood.add_argument("--shrinkage", type=float, metavar="F", help="of the covariance, 0 to 1 (default: estimated)")
    ood.add_argument("--penalty", type=float, metavar="X", help="on the linear layer's weights (default 0.1)")
    ood.add_argument("--save-filter", type=Path, metavar="DIR", help="write a filter for 'screen' and 'serve'")
    ood.add_argument(
        "--method",
        choices=("exposed", "relative", "plain"),
        default="exposed",
        help="the filter's score: a linear layer that saw outside prompts (default), or a Mahalanobis distance",
    )
    ood.add_argument(
        "--false-declines", type=float, default=0.05, metavar="F", help="of ordinary prompts, at most (default 0.05)"
    )
    add_device(ood)
    return ood


def measure_ood(args: argparse.Namespace) -> dict[str, Any]:
    """All that ``evaluate ood`` finds; a filter is written where one is asked for."""
    from concordant.commands.progress import progress
    from concordant.evaluate.ood import evaluate_ood
    from concordant.evaluate.ood_filter import refuse_folder
    from concordant.models.named_model import NamedModel

    _check(args)
    if args.save_filter:
        refuse_folder(args.save_filter)
    prompts, dropped = _prompts(args)
    named = NamedModel.find(args.model, say=lambda line: print(line, file=sys.stderr))
    (inside, outside), plan, record = _activations(args, named, prompts, dropped)
    with progress("measuring layers") as watch:
        result = evaluate_ood(inside, outside, plan, watch)
    result = {**record, "dropped": dict(dropped), **result}
    if args.save_filter:
        made = _filter(args, inside, outside, plan, record)
        made.save(args.save_filter)
        head = {"folder": str(args.save_filter), "method": made.method, "threshold": made.threshold}
        result["filter"] = head | made.record
    return result


def _check(args: argparse.Namespace) -> None:
    """Raise for numbers that cannot be meant, and a device that is not there."""
    device_of(args)
    for option, value in (("--limit", args.limit), ("--draws", args.draws), ("--max-tokens", args.max_tokens)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value} must be at least 1")
    if not 0 < args.exam_share < 1:
        raise UserError(f"--exam-share {args.exam_share:g} must lie between 0 and 1")
    if args.shrinkage is not None and not 0 <= args.shrinkage <= 1:
        raise UserError(f"--shrinkage {args.shrinkage:g} must lie between 0 and 1")
    if args.penalty is not None and not 0 < args.penalty < math.inf:
        raise UserError(f"--penalty {args.penalty:g} must be above 0: a few outliers can always be told apart")
    if not 0 < args.false_declines < 1:
        raise UserError(f"--false-declines {args.false_declines:g} must lie between 0 and 1")
    if len(set(args.seeds)) < len(args.seeds):
        raise UserError(f"--seeds {' '.join(map(str, args.seeds))} names one twice; name each once")


def _prompts(args: argparse.Namespace) -> "tuple[list[list[tuple[Conversation, str]]], Counter[str]]":
    """([inside, outside], what was dropped by reason)."""
    from concordant.evaluate.ood import clean

    inside, unread = read_prompt_files(args.inside)
    outside, unread_too = read_prompt_files(args.outside)
    cleaned = clean(inside, outside, args.limit)
    return [cleaned.inside, cleaned.outside], unread + unread_too + cleaned.dropped


def _activations(
    args: argparse.Namespace,
    named: "NamedModel",
    prompts: "Sequence[Sequence[tuple[Conversation, str]]]",
    dropped: Counter[str],
) -> "tuple[tuple[Side, Side], Plan, dict[str, Any]]":
    """(both sides with their activations, the plan, what names model and reading). What does not fit is counted."""
    from concordant.commands.progress import progress
    from concordant.evaluate.ood import Plan
    from concordant.evaluate.ood_scores import PENALTY
    from concordant.models.activations import (
        ActivationStore,
        Reading,
        cache_folder_of,
        compute,
        layer_count,
        middle_layer,
    )
    from concordant.models.base_models import cache_folder

    model, digest = named.load(device_of(args)), named.digest()
    count = layer_count(model)
    chosen = middle_layer(count) if args.layer is None else args.layer
    wanted = tuple(sorted({*(args.layers or range(1, count + 1)), chosen}))
    if wanted[0] < 1 or wanted[-1] > count:
        raise UserError(f"layer {wanted[0] if wanted[0] < 1 else wanted[-1]} is none of {named.name}'s, 1 to {count}")
    reading = Reading(wanted, args.pooling, args.max_tokens)
    store = ActivationStore.open(cache_folder_of(cache_folder()), digest, reading)
    everything = [prompt for side in prompts for prompt, _ in side]
    with progress("reading activations") as watch:
        keys = compute(model, everything, reading, store, watch)
    border = len(prompts[0])
    sides = [
        _side(side, found, store, dropped) for side, found in zip(prompts, (keys[:border], keys[border:]), strict=True)
    ]
    penalty = PENALTY if args.penalty is None else args.penalty
    plan = Plan(wanted, chosen, tuple(args.seeds), args.draws, args.exam_share, args.shrinkage, penalty)
    return (sides[0], sides[1]), plan, _record(named, digest, reading, count)


def _record(named: "NamedModel", digest: str, reading: "Reading", count: int) -> dict[str, Any]:
    """What a filter must know of its model."""
    return {
        "model": named.name,
        "digest": digest,
        "layers": count,
        "pooling": reading.pooling,
        "max_tokens": reading.max_tokens,
    }


def _side(
    rows: "Sequence[tuple[Conversation, str]]",
    keys: Sequence[str | None],
    store: "ActivationStore",
    dropped: Counter[str],
) -> "Side":
    import numpy as np

    from concordant.evaluate.ood import Side
    from concordant.models.activations import StoredActivations

    kept = [(prompt, source, key) for (prompt, source), key in zip(rows, keys, strict=True) if key is not None]
    if len(kept) < len(rows):
        dropped["longer than the context"] += len(rows) - len(kept)
    openings = np.array([prompt.split_key for prompt, _, _ in kept], dtype=np.str_)
    sources = np.array([source for _, source, _ in kept], dtype=np.str_)
    return Side(openings, sources, StoredActivations(store, tuple(key for _, _, key in kept)))


def _filter(
    args: argparse.Namespace, inside: "Side", outside: "Side", plan: "Plan", record: dict[str, Any]
) -> "PromptFilter":
    """The filter of the first split."""
    from concordant.evaluate.ood import split_sides
    from concordant.evaluate.ood_filter import FilterPlan, make_filter

    split = split_sides(inside, outside, plan.exam_share, plan.seeds[0])
    how = FilterPlan(args.method, plan.layer, args.false_declines, plan.shrinkage, plan.penalty)
    return make_filter(inside, outside, split, how, record)


def ood_text(result: dict[str, Any]) -> str:
    """What a person is told."""
    here, parts = result["at_layer"], result["parts"]
    lines = [
        f"{result['n_inside']:,} inside and {result['n_outside']:,} outside prompts; a split fits on {parts['fit']:,} "
        f"and examines {parts['inside_exam']:,} against {parts['outside_exam']:,}; {len(result['seeds'])} splits",
        f"AUROC at layer {result['layer']} of {result['layers']}, {result['pooling']} token"
        + ("s" if result["pooling"] == "mean" else ""),
        f"  relative Mahalanobis   {_rate(here['relative'])}",
        f"  plain Mahalanobis      {_rate(here['plain'])}",
    ]
    lines += [f"  {row['outliers']:>5,} outliers shown   {_rate(row)}" for row in result["by_outliers"]]
    best = result["best_relative"]
    lines.append(f"best layer by the relative score, chosen on the exam: {best['layer']}, {best['auroc']:.3f}")
    if len(result["by_outside_file"]) > 1:
        lines += [
            f"  {name}, {row['outliers']:,} outliers   {_rate(row)}" for name, row in result["by_outside_file"].items()
        ]
    lines += [f"left out: {count:,} {reason}" for reason, count in sorted(result["dropped"].items())]
    if made := result.get("filter"):
        lines.append(
            f"filter ({made['method']}) in {made['folder']}: of held-out prompts it declines "
            f"{made['declined_inside']:.1%} inside, {made['declined_outside']:.1%} outside"
        )
    return "\n".join(lines)


def _rate(row: dict[str, Any]) -> str:
    spread = "" if row["sd"] is None else f" ± {row['sd']:.3f}"
    return f"{row['auroc']:.3f}{spread}   (exam's standard error {row['se_exam']:.3f})"


def screen_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.evaluate.ood_filter import PromptScreen

    _refuse_out(args)
    total = sum(1 for _ in prompt_rows(args.file))
    screen = PromptScreen.load(args.filter, say=lambda line: print(line, file=sys.stderr))
    kept: list[dict[str, Any]] = []
    counts = Counter[str]()
    with progress("screening") as watch, _sink(args, kept) as put:
        watch(0, total, "")
        for done, row in enumerate(screened(screen, prompt_rows(args.file)), start=1):
            counts[str(row.get("unusable") or ("declined" if row["declined"] else "answered"))] += 1
            put(plain(row))
            watch(done, total, "")
        if not counts["declined"] + counts["answered"]:
            raise UserError(f"{args.file} holds no prompt; give {PROMPTS}")
    declined, read = counts.pop("declined", 0), counts.pop("answered", 0)
    read += declined
    result = {"n": total, "read": read, "declined": declined, "share": declined / read, "left_out": dict(counts)}
    text = f"{declined:,} of {read:,} prompts declined ({declined / read:.1%})"
    text += "".join(f"\n  left out: {count:,} {reason}" for reason, count in sorted(counts.items()))
    if args.json:
        return Outcome("", result | ({"file": str(args.out)} if args.out else {"rows": kept}))
    if args.out:
        return Outcome(f"{text}\n{args.out}")
    print(text, file=sys.stderr, flush=True)
    return Outcome("")


def _refuse_out(args: argparse.Namespace) -> None:
    """Raise where the verdicts could not be written, or would take the place of what is read."""
    if args.out is not None and args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file in it")
    if args.out is not None and args.out.exists() and args.file.exists() and args.out.samefile(args.file):
        raise UserError(f"--out {args.out} is the file that is read; name another one")


@contextmanager
def _sink(args: argparse.Namespace, kept: list[dict[str, Any]]) -> Iterator[Callable[[dict[str, Any]], Any]]:
    """Where verdicts go: a file that appears when it is whole, the one JSON object, or standard output."""
    from concordant.store.whole_file import gzip_text, plain_text, whole_file

    if args.out:
        text = gzip_text if args.out.suffix == ".gz" else plain_text
        with whole_file(args.out) as temporary, text(temporary) as file:
            yield lambda row: file.write(json.dumps(row) + "\n")
    else:
        yield kept.append if args.json else lambda row: sys.stdout.write(json.dumps(row) + "\n")


def screened(screen: "PromptScreen", rows: "Iterator[PromptRow]") -> Iterator[dict[str, Any]]:
    """What goes out for each row: its line, its id if it has one, score and verdict, or why it cannot be read."""
    while window := list(islice(rows, WINDOW)):
        verdicts = iter(screen.judge([row.prompt for row in window if row.prompt is not None]))
        for row in window:
            named = {"line": row.line} | ({} if row.id is None else {"id": row.id})
            if row.prompt is None:
                yield named | {"unusable": row.flaw}
            else:
                verdict = next(verdicts)
                yield named | {"score": verdict.score, "declined": verdict.declined}
