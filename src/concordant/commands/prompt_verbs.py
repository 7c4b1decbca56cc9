"""``concordant prompts human | write | mix``: what policies are asked in training, as files for ``train policy``."""

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import OBJECTIVES, add_data, data_file
from concordant.commands.device_option import add_device, device_of
from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Preference
    from concordant.prompts import Prompt


def add(verbs: Verbs) -> None:
    """Add the verb ``prompts``."""
    prompts: Verbs = verbs.add_parser("prompts", help="what policies are asked in training").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    _add_human(prompts)
    _add_write(prompts)
    _add_mix(prompts)


def _add_human(prompts: Verbs) -> None:
    parser = prompts.add_parser("human", help="people's prompts: comparisons or a programme's talks, without replies")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file; compressed if it ends in .gz")
    add_data(parser, "comparisons whose prompts are taken", required=False)
    parser.add_argument("--dir", type=Path, metavar="D", help="instead of --data: all that a programme's store holds")
    parser.add_argument(
        "--leave-out",
        type=data_file,
        nargs="+",
        metavar="FILE",
        help="prompts or comparisons whose openings must not be trained on, such as test files",
    )
    _add_near(parser)
    _finish(parser, human_)


def _add_write(prompts: Verbs) -> None:
    parser = prompts.add_parser("write", help="prompts that a language model writes, shown some good ones by people")
    parser.add_argument("out", type=Path, metavar="DIR", help="the run's folder; prompts.jsonl in it is the file")
    parser.add_argument(
        "--examples",
        type=data_file,
        nargs="+",
        required=True,
        metavar="FILE",
        help="prompts or comparisons to draw examples from, each as [helpful=|harmless=]FILE",
    )
    parser.add_argument("--model", default="smollm2-135m", metavar="M", help="who writes: name, folder or policy run")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="replies to ask for, for each objective")
    parser.add_argument("--objective", choices=OBJECTIVES, help="only for this one (default: all in the examples)")
    parser.add_argument("--pool", type=int, default=10, metavar="P", help="examples for each objective (default 10)")
    parser.add_argument("--shots", type=int, default=6, metavar="S", help="of them shown each time (default 6)")
    parser.add_argument("--max-new-tokens", type=int, default=96, metavar="T", help="limit of a prompt (default 96)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1; no top-p")
    add_device(parser)
    _finish(parser, write_)


def _add_mix(prompts: Verbs) -> None:
    parser = prompts.add_parser("mix", help="one file out of several, with exact shares")
    parser.add_argument("out", type=Path, metavar="OUT", help="the file; compressed if it ends in .gz")
    parser.add_argument(
        "files", type=data_file, nargs="+", metavar="FILE", help="prompts; of duplicates the first one is kept"
    )
    parser.add_argument("--total", type=int, metavar="N", help="how many (default: as many as the shares allow)")
    parser.add_argument(
        "--model-share", type=float, metavar="S", help="share that a model wrote (default: as it comes)"
    )
    parser.add_argument("--harmless-share", type=float, metavar="S", help="share of harmless ones (as it comes)")
    _add_near(parser)
    _finish(parser, mix_)


def _add_near(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--near",
        type=float,
        default=0.7,
        metavar="J",
        help="drop prompts that share this part of their pairs of neighbouring words with another (default 0.7)",
    )


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw (default 0)")
    add_json(parser)
    parser.set_defaults(run=run)


def human_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.prompt_sources import prompts_in
    from concordant.prompts import distinct
    from concordant.store.prompt_files import prompts_of

    rows, dropped = _comparisons(args)
    banned = {prompt.conversation.split_key for prompt in prompts_in(args.leave_out or [])[0]}
    found = [prompt for prompt in prompts_of(rows) if prompt.conversation.split_key not in banned]
    dropped["opening that is left out"] += len(rows) - len(found)
    kept, repeated = distinct(found, _near(args))
    return _written(args.out, kept, +dropped + repeated)


def _comparisons(args: argparse.Namespace) -> "tuple[list[Preference], Counter[str]]":
    from concordant.commands.data_selection import select

    if (args.dir is None) == (args.data is None):
        raise UserError("prompts come from comparisons (--data FILE) or from a programme (--dir D); give one of them")
    if args.dir is None:
        selection = select(args, args.seed)
        return selection.lessons, Counter(selection.dropped)
    if args.limit is not None or args.split is not None or args.part is not None:
        raise UserError("--limit, --split and --part go with --data; freeze the programme's data and give that file")
    from concordant.comparison import Objective
    from concordant.store.preferences import Filter, preferences

    wanted = Filter(objective=Objective(args.objective) if args.objective else None, keep_weakest=True)
    with opened(args) as (_, database):
        return [row for _, row in preferences(database, wanted, with_erased=False)], Counter()


def write_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.model_verbs import sampler_of
    from concordant.commands.progress import progress
    from concordant.commands.prompt_sources import in_words, named_files, prompts_in
    from concordant.comparison import Objective
    from concordant.models.made_model import model_id
    from concordant.prompt_writing import WritingPlan, good_examples, write_all
    from concordant.runs import Run
    from concordant.store.prompt_files import write_prompts

    device_of(args)
    plan = WritingPlan(args.count, args.shots, seed=args.seed)
    if min(args.count, args.shots, args.pool, args.max_new_tokens) < 1 or not 0 < args.temperature < math.inf:
        raise UserError("--count, --shots, --pool, --max-new-tokens and --temperature must be above 0")
    shown, _ = prompts_in(args.examples)
    wanted = [args.objective] if args.objective else sorted({prompt.objective.value for prompt in shown})
    examples = {Objective(name): good_examples(shown, Objective(name), args.pool, plan) for name in wanted}
    asked = {name: getattr(args, name) for name in ("count", "pool", "shots", "max_new_tokens", "temperature", "seed")}
    parents = {"examples": named_files(args.examples), "model": model_id(args.model)}
    run = Run.begin(args.out, "prompts", {**asked, "objectives": wanted}, parents)
    if not run.finished:
        with progress("writing") as watch:
            kept, dropped = write_all(run, sampler_of(args), examples, plan, watch)
        if not kept:
            raise UserError(f"none of the {sum(dropped.values())} replies is a prompt ({in_words(dropped)})")
        write_prompts(run.path / "prompts.jsonl", kept)
        shot = {objective.value: texts for objective, texts in examples.items()}
        run.finish({**_counts(kept, dropped), "examples": shot})
    file = run.path / "prompts.jsonl"
    result = run.result
    return Outcome(_text(file, result), {"run": str(run.path), "path": str(file), **result})


def mix_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.prompt_sources import prompts_in
    from concordant.prompts import Shares, blend, distinct

    if args.total is not None and args.total < 1:
        raise UserError(f"--total {args.total} must be at least 1")
    shares = Shares(args.model_share, args.harmless_share)
    found, dropped = prompts_in(args.files)
    kept, repeated = distinct(found, _near(args))
    return _written(args.out, blend(kept, shares, args.total, args.seed), dropped + repeated)


def _near(args: argparse.Namespace) -> float:
    near: float = args.near
    if not 0 < near <= 1:
        raise UserError(f"--near {near} must be above 0 and at most 1")
    return near


def _written(out: Path, prompts: "list[Prompt]", dropped: Counter[str]) -> Outcome:
    from concordant.commands.prompt_sources import digest, in_words
    from concordant.store.prompt_files import write_prompts

    if not prompts:
        raise UserError(f"no prompt is left to write to {out} ({in_words(dropped) or 'there was none'})")
    write_prompts(out, prompts)
    result = _counts(prompts, dropped)
    return Outcome(_text(out, result), {"path": str(out), "digest": digest(out), **result})


def _counts(prompts: "list[Prompt]", dropped: Counter[str]) -> dict[str, Any]:
    groups = Counter((prompt.objective.value, prompt.origin.value) for prompt in prompts)
    return {
        "prompts": len(prompts),
        "groups": [
            {"objective": objective, "origin": origin, "n": number}
            for (objective, origin), number in sorted(groups.items())
        ],
        "dropped": dict(sorted(dropped.items())),
    }


def _text(path: Path, result: dict[str, Any]) -> str:
    from concordant.commands.prompt_sources import in_words

    lines = [f"{result['prompts']:,} prompts"]
    for group in result["groups"]:
        lines.append(f"  {group['objective']:<9} written by {_WHO[group['origin']]:<8} {group['n']:>8,}")
    lines += [f"left out: {in_words(Counter(result['dropped']))}"] if result["dropped"] else []
    return "\n".join([*lines, str(path)])


_WHO = {"human": "people", "model": "a model"}
