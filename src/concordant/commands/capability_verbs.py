"""``concordant evaluate capabilities``: what models can do, before and after training, and what training cost."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.evaluate.asked_model import AskedModel, Writing
    from concordant.evaluate.capabilities import CapabilityPlan
    from concordant.evaluate.capability_tasks import Material, Task
    from concordant.evaluate.figures import Figure, Missing
    from concordant.runs import Json, Run, Watch

_TASKS = "mmlu lambada hellaswag openbookqa arc-easy arc-challenge triviaqa truthfulqa hhh humaneval"
_LONGEST = 28
"""Characters of a model's name in tables."""


def add_capabilities(evaluate: Verbs) -> None:
    """Add the verb ``evaluate capabilities``."""
    parser = evaluate.add_parser(
        "capabilities", help="what models can do on NLP benchmarks, and the tax of training (Fig. 3, 5, 28, 29)"
    )
    add_models(parser)
    parser.add_argument(
        "--tasks", nargs="+", metavar="T", help=f"of {_TASKS.replace(' ', ', ')} (default: all with data but humaneval)"
    )
    parser.add_argument(
        "--shots", default="0", metavar="K,…", help="examples before each question: 0, or 0,5 (default 0)"
    )
    parser.add_argument(
        "--wording", choices=("paper", "harness"), default="paper",
        help="how questions are put: with lettered choices as in the paper, or as lm-eval does (default paper)",
    )  # fmt: skip
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="programs for each problem (default 1)")
    parser.add_argument(
        "--temperature", type=float, metavar="T", help="of programs (default: 0 for one sample, 0.8 for several)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=300, metavar="T", help="of a program (default 300)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the programs (default 0)")
    add_folder(parser, "the benchmark files (default: each task's data set from the hub)")
    parser.set_defaults(run=evaluate_capabilities_)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add the models that are measured."""
    parser.add_argument(
        "models", nargs="+", metavar="MODEL",
        help="policy runs, model folders or names; the first is what the others are compared with",
    )  # fmt: skip


def add_folder(parser: argparse.ArgumentParser, data: str) -> None:
    """Add ``--limit``, ``--data``, ``--out``, ``--device`` and ``--json``."""
    parser.add_argument("--limit", type=int, metavar="N", help="at most N items of a task, always the same ones")
    parser.add_argument("--data", type=Path, nargs="+", default=[], metavar="DIR", help=f"folders with {data}")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="the measurement's folder: answers, items, figures; begun before, it goes on with what is there",
    )  # fmt: skip
    add_device(parser)
    add_json(parser)


def evaluate_capabilities_(args: argparse.Namespace) -> Outcome:
    from concordant.evaluate.benchmark_files import refuse_folders
    from concordant.evaluate.capabilities import measure, parts_of
    from concordant.evaluate.capability_figures import figures_of
    from concordant.evaluate.harness import require_harness
    from concordant.sandbox import check

    check_limit(args.limit)
    plan = _plan(args)
    refuse_folders(args.data)
    tasks = _tasks(args)
    if any(task.kind in ("choice", "word", "answer") for task in tasks):
        require_harness()
    if any(task.kind == "program" for task in tasks):
        check()
    materials, left_out = _materials(args, tasks)
    parts, more = parts_of(materials, plan)
    left_out |= more

    def work(run: "Run", models: "Sequence[AskedModel]", watch: "Watch") -> "Json":
        return measure(run, models, parts, plan, watch)

    result = measured(args, "capabilities", work)
    result |= {
        "wording": plan.wording,
        "limit": args.limit,
        "left_out": left_out,
        "dropped": {part.task.name: dict(part.dropped) for part in materials if part.dropped},
    }
    return finished(args, "capabilities", result, figures_of(result), "\n".join(_text(result)))


def check_limit(limit: int | None) -> None:
    """Raise for a limit that leaves nothing."""
    if limit is not None and limit < 1:
        raise UserError(f"--limit {limit} must be at least 1")


def _plan(args: argparse.Namespace) -> "CapabilityPlan":
    from concordant.evaluate.capabilities import CapabilityPlan

    shots = [part.strip() for part in args.shots.split(",")]
    if not all(part.isdecimal() for part in shots) or len(set(shots)) < len(shots):
        raise UserError(f"--shots {args.shots}: give whole numbers from 0 on, each once, as in 0,5")
    return CapabilityPlan(
        tuple(sorted(map(int, shots))), args.wording, args.limit, _programs(args), strict=bool(args.tasks)
    )


def _programs(args: argparse.Namespace) -> "Writing":
    from concordant.evaluate.asked_model import Writing
    from concordant.evaluate.pass_at_k import STOPS

    temperature = args.temperature if args.temperature is not None else (0.0 if args.samples == 1 else 0.8)
    check_writing(args.samples, temperature, args.max_new_tokens)
    if args.samples > 1 and temperature == 0:
        raise UserError("--temperature 0 writes the same program every time; leave --samples at 1, or raise it")
    return Writing(args.samples, args.max_new_tokens, temperature, STOPS, args.seed)


def check_writing(samples: int, temperature: float, max_new_tokens: int) -> None:
    """Raise for numbers that no reply can be drawn with."""
    if not 1 <= samples <= 1000:
        raise UserError(f"--samples {samples} must lie between 1 and 1,000")
    if not 0 <= temperature < 100:
        raise UserError(f"--temperature {temperature:g} must be 0 or above, and below 100")
    if max_new_tokens < 1:
        raise UserError(f"--max-new-tokens {max_new_tokens} must be at least 1")


def _tasks(args: argparse.Namespace) -> "list[Task]":
    from concordant.evaluate.capabilities import default_tasks
    from concordant.evaluate.capability_tasks import TASKS

    names = list(dict.fromkeys(args.tasks or default_tasks()))
    for name in names:
        if name not in TASKS:
            raise UserError(f"task {name!r} is unknown; give {', '.join(TASKS)}")
    return [TASKS[name] for name in names]


def _materials(args: argparse.Namespace, tasks: "Sequence[Task]") -> "tuple[list[Material], dict[str, str]]":
    """(what there is for each task, why there is nothing for others)."""
    from concordant.evaluate.capability_tasks import material_of
    from concordant.evaluate.hub_material import hub_material

    few = any(int(part) > 0 for part in args.shots.split(","))
    materials, left_out = [], {}
    for task in tasks:
        found = material_of(task, args.data) if args.data else hub_material(task, few) if task.hub[0] else None
        if found is not None:
            materials.append(found)
            continue
        where = " ".join(map(str, args.data)) or "the hub"
        why = f"{where} holds no {task.files[0]}.jsonl[.gz] for {task.name}; put it there, or leave the task out"
        if args.tasks:
            raise UserError(why)
        left_out[task.name] = why
    if not materials:
        raise UserError(next(iter(left_out.values())))
    return materials, left_out


def measured(args: argparse.Namespace, kind: str, work: "Callable[[Run, Sequence[AskedModel], Watch], Json]") -> "Json":
    """Let ``work`` ask the models that were named, each with its answers in the measurement's folder."""
    from concordant.commands.progress import progress
    from concordant.evaluate.answers import Answers
    from concordant.evaluate.asked_model import AskedModel
    from concordant.models.named_model import NamedModel
    from concordant.runs import Run

    device = device_of(args)
    named = [NamedModel.find(name, say=lambda line: print(line, file=sys.stderr)) for name in args.models]
    digests = [model.digest() for model in named]
    for place, digest in enumerate(digests):
        if digest in digests[:place]:
            raise UserError(
                f"{args.models[place]} and {args.models[digests.index(digest)]} are the same model; name it once"
            )
    run = Run.begin(args.out, kind, {}, {})
    with ExitStack() as stack:
        watch = stack.enter_context(progress("tasks"))
        # On a terminal two bars would write over each other; a model's own progress goes to logs.
        of_model = _silent if sys.stderr.isatty() else stack.enter_context(progress("answers"))
        asked = [
            AskedModel(
                name, partial(model.load, device), Answers(run.path / "answers" / f"{digest[:16]}.jsonl"), of_model
            )
            for name, model, digest in zip(short_names(args.models), named, digests, strict=True)
        ]
        result = work(run, asked, watch)
    return {**result, "digests": dict(zip([model.name for model in asked], digests, strict=True))}


def _silent(done: int, total: int, seen: str) -> None:
    """A watch that shows nothing."""


def short_names(names: Sequence[str]) -> list[str]:
    """Names for tables: the last part of a path where that tells them apart, more of it where it does not."""
    parts = [Path(name).resolve().parts if Path(name).is_dir() else (name,) for name in names]
    for length in range(1, 20):
        short = ["/".join(part[-length:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)


def finished(
    args: argparse.Namespace, kind: str, result: "Json", figures: "Sequence[Figure | Missing]", text: str
) -> Outcome:
    """Write result.json and the figures that were drawn; the outcome names them."""
    from concordant.commands.figure_files import outcome_with
    from concordant.commands.outcome import plain
    from concordant.evaluate.figures import Figure
    from concordant.runs import Run, write_whole

    Run.open(args.out).finish(plain(result))
    written = []
    for figure in figures:
        if isinstance(figure, Figure):
            for ending, content in (("svg", figure.svg), ("csv", figure.csv)):
                path = args.out / f"{figure.question.name}.{ending}"
                write_whole(path, content)
                written.append(str(path))
    return outcome_with(text, {"run": str(args.out), **result}, written)


def _text(result: "Json") -> list[str]:
    """The table for people."""
    from concordant.evaluate.capability_figures import score_text

    lines = []
    first = result["models"][0]
    for row in [*result["tasks"], *({**part, "task": "mean", "n": None} for part in result["means"])]:
        count = "" if row["n"] is None else f", n = {row['n']:,}, {row['metric']}"
        lines.append(f"{row['task']}, {row['shots']}-shot{count}")
        for name, score in row["scores"].items():
            gap = row["differences"].get(name)
            behind = "" if gap is None else f"   {_points(gap)} against {first}"
            lines.append(f"  {name[:_LONGEST]:<{_LONGEST}} {score_text(score)}{behind}")
    for name, by_k in result.get("pass_at_k", {}).items():
        lines += [f"  {name}: pass@{k} {score_text(score)}" for k, score in by_k.items()]
    return [*lines, *(f"left out: {why}" for why in result["left_out"].values())]


def _points(gap: dict[str, Any]) -> str:
    low, high = (100 * end for end in gap["ci95"])
    p = "" if gap.get("p") is None else f", p = {gap['p']:.2g}"
    return f"{100 * gap['value']:+.1f} points [{low:+.1f}, {high:+.1f}]{p}"
