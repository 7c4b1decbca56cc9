"""``concordant evaluate best-of``: rejection sampling as a yardstick, score against √KL for every k at once."""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import DataFile, checked, data_file
from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.conversation import Conversation
    from concordant.models.generation import ModelSampler
    from concordant.runs import Json
    from concordant.sampler import BatchScorer

_LONGER = 2
"""How many times longer a reply may be in a preference model's tokens than in the writer's."""


def add_best_of(evaluate: Verbs) -> None:
    """Add the verb ``evaluate best-of``."""
    parser = evaluate.add_parser("best-of", help="the best of k replies by a preference model, for every k (Fig. 13)")
    parser.add_argument(
        "prompts", type=data_file, metavar="PROMPTS", help="prompts or comparisons, as [helpful=|harmless=]FILE"
    )
    parser.add_argument("--model", default="smollm2-135m", metavar="M", help="who writes: name, folder or policy run")
    parser.add_argument("--pm", type=Path, required=True, metavar="RUN", help="the preference model that chooses")
    parser.add_argument(
        "--test-pm", type=Path, metavar="RUN", help="another one, which scores the chosen replies and has no say"
    )
    parser.add_argument("--n", type=int, default=64, metavar="N", help="replies to each prompt (default 64)")
    parser.add_argument("--limit", type=int, metavar="P", help="at most P prompts, drawn with the seed")
    parser.add_argument("--max-new-tokens", type=int, default=128, metavar="T", help="reply limit (default 128)")
    parser.add_argument("--max-prompt-tokens", type=int, default=512, metavar="T", help="whole turns are cut (512)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1; no top-p")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw (default 0)")
    parser.add_argument(
        "--policy",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="policy runs whose updates are drawn on the same axes; they must have the same preference model",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder, with the figure")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=evaluate_best_of_)


def evaluate_best_of_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.commands.prompt_sources import named_files
    from concordant.evaluate.best_of_figures import best_of_figure
    from concordant.evaluate.best_of_run import BestOfPlan, sample_and_score
    from concordant.evaluate.figures import Figure
    from concordant.models.made_model import model_id
    from concordant.runs import Run, write_whole

    paths = {"score": args.pm, **({"test_score": args.test_pm} if args.test_pm else {})}
    _check(args, list(paths.values()))
    names = ("n", "limit", "max_new_tokens", "max_prompt_tokens", "temperature", "seed")
    parents = {"prompts": named_files([args.prompts]), "model": model_id(args.model), "pm": model_id(args.pm)}
    parents |= {"test_pm": model_id(args.test_pm)} if args.test_pm else {}
    policies = {path.resolve().name: _policy(path, parents) for path in args.policy}
    run = Run.begin(args.out, "best-of", {name: getattr(args, name) for name in names}, parents)
    if not run.finished:
        sampler, scorers = _models(args, paths)
        prompts, left_out = _fitting(args, sampler, list(scorers.values()))
        with progress("prompts") as watch:
            sample_and_score(run, sampler, scorers, prompts, BestOfPlan(args.n, args.seed, left_out), watch)
    figure = best_of_figure(run.result, policies)
    assert isinstance(figure, Figure)
    files = [run.path / f"{figure.question.name}.{ending}" for ending in ("svg", "csv")]
    for file, content in zip(files, (figure.svg, figure.csv), strict=True):
        write_whole(file, content)
    result = {"run": str(run.path), **run.result, "files": [str(file) for file in files]}
    return Outcome("\n".join([*_table(run.result), "", figure.title, *map(str, files)]), result)


def _check(args: argparse.Namespace, pms: list[Path]) -> None:
    from concordant.evaluate.best_of_run import MOST_REPLIES
    from concordant.models.made_model import is_preference_model

    device_of(args)
    checked(args.limit, "--limit")
    if not 2 <= args.n <= MOST_REPLIES:
        raise UserError(f"--n {args.n} must lie between 2 and {MOST_REPLIES:,}")
    if min(args.max_new_tokens, args.max_prompt_tokens) < 1 or not 0 < args.temperature < math.inf:
        raise UserError("--max-new-tokens, --max-prompt-tokens and --temperature must be above 0")
    for path in pms:
        if not is_preference_model(path):
            raise UserError(f"{path} holds no preference model; give the run of 'concordant train pm'")


def _policy(path: Path, parents: dict[str, str]) -> "list[Json]":
    """The updates of a policy run that was trained against the same preference model, from the same writer."""
    from concordant.models.made_model import same_model
    from concordant.runs import Run

    run = Run.open(path)
    if run.head.get("kind") != "policy":
        raise UserError(f"{path} is no policy run; give the folder that 'concordant train policy' printed")
    against, pm = str(run.head["parents"].get("pm")), parents["pm"]
    if " of " in against or not same_model(against, pm):
        raise UserError(
            f"{path} was trained against {against}, and --pm is {pm}; scores of different models have no common zero"
        )
    base, writer = str(run.head["parents"].get("base")), parents["model"]
    if not same_model(base, writer):
        raise UserError(
            f"{path} was trained from {base}, and --model is {writer}; √KL is from the model that a policy began with, "
            "so give that one"
        )
    return run.metrics()


def _models(args: argparse.Namespace, paths: dict[str, Path]) -> "tuple[ModelSampler, dict[str, BatchScorer]]":
    from concordant.commands.model_verbs import sampler_of
    from concordant.models.preference_model import PreferenceModel

    sampler = replace(sampler_of(args), max_prompt_tokens=args.max_prompt_tokens)
    return sampler, {name: PreferenceModel.load(path, sampler.model.device) for name, path in paths.items()}


def _fitting(
    args: argparse.Namespace, sampler: "ModelSampler", scorers: "list[BatchScorer]"
) -> "tuple[list[Conversation], int]":
    """(distinct prompts that every model has room for, drawn with the seed; how many have too many tokens)."""
    from concordant.commands.prompt_sources import prompts_in
    from concordant.mixture import draw

    source: DataFile = args.prompts
    asked = list(dict.fromkeys(prompt.conversation for prompt in prompts_in([source])[0]))
    fitting = [
        prompt
        for prompt in asked
        if sampler.model.fit(prompt, args.max_prompt_tokens, args.max_new_tokens) is not None
        and all(scorer.has_room(prompt, _LONGER * args.max_new_tokens) for scorer in scorers)
    ]
    if not fitting:
        raise UserError(
            f"none of the {len(asked)} prompts fits --max-prompt-tokens {args.max_prompt_tokens} and the models' "
            f"contexts with a reply of {args.max_new_tokens}; raise the one or lower the other"
        )
    return draw(fitting, min(args.limit or len(fitting), len(fitting)), args.seed), len(asked) - len(fitting)


def _table(result: dict[str, Any]) -> list[str]:
    """The powers of two, and n."""
    lines = [f"{result['prompts']:,} prompts, {result['n']} replies each", "", "     k     KL    √KL    score ± s.e."]
    tested = "test_score" in result["points"][0]
    lines[-1] += "       test ± s.e." if tested else ""
    for point in result["points"]:
        if point["k"] & (point["k"] - 1) == 0 or point["k"] == result["n"]:
            line = f"{point['k']:>6} {point['kl']:>6.3f} {point['root_kl']:>6.3f} {_with_error(point, 'score')}"
            lines.append(line + (_with_error(point, "test_score") if tested else ""))
    lines += ["", f"mean length {result['length']:.1f} tokens, of the best of n {result['length_of_best']:.1f}"]
    return lines


def _with_error(point: dict[str, Any], name: str) -> str:
    error = point[f"{name}_se"]
    return f"{point[name]:>+8.3f} {'' if error is None else f'± {error:.3f}':<7}"
