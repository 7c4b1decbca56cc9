"""``concordant train pmp | pm | policy``: one stage by itself, from files; ``concordant iterate`` does them in turn."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.outcome import Outcome, Verbs, add_json, add_overrides
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Preference
    from concordant.config import PreferenceModelConfig


def add(verbs: Verbs) -> None:
    """Add the verb ``train``."""
    train: Verbs = verbs.add_parser("train", help="preference models and policies").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    _add_pmp(train)
    pm = train.add_parser("pm", help="a preference model from comparisons")
    _add_data(pm, "comparisons to learn from")
    pm.add_argument("--test", type=Path, nargs="+", metavar="FILE", help="comparisons to measure on at the end")
    pm.add_argument(
        "--test-fraction",
        type=float,
        metavar="F",
        help="instead of --test: keep this share of the openings of --data from training",
    )
    pm.add_argument(
        "--test-limit", type=int, metavar="N", help="at most N test comparisons, drawn with the config's seed"
    )
    pm.add_argument(
        "--model",
        metavar="M",
        help="what to train on: short name, hub id or folder of a language model, or the run of a preference model, "
        "such as one of 'train pmp' (default: the config's)",
    )
    _add_run(pm, "learning_rate=1e-5")
    pm.set_defaults(run=pm_)

    policy = train.add_parser("policy", help="PPO against a preference model")
    _add_data(policy, "comparisons or conversations whose prompts are answered")
    policy.add_argument("--pm", type=Path, required=True, metavar="RUN", help="the preference model's run")
    policy.add_argument(
        "--model", default="smollm2-135m", metavar="M", help="first policy: short name, hub id, or folder"
    )
    _add_run(policy, "updates=40")
    policy.set_defaults(run=policy_)


def _add_pmp(train: Verbs) -> None:
    pmp = train.add_parser("pmp", help="pretrain a preference model on votes, before 'train pm --model RUN'")
    pmp.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="Posts.xml of StackExchange dumps, plain, .gz or .bz2",
    )
    pmp.add_argument(
        "--limit", type=int, metavar="N", help="at most N pairs of answers in all, drawn with the config's seed"
    )
    pmp.add_argument(
        "--test-fraction", type=float, metavar="F", help="keep this share of the questions from training, to measure on"
    )
    pmp.add_argument("--model", metavar="M", help="base model: short name, hub id, or folder (default: the config's)")
    _add_run(pmp, "rate_ratio=0.05")
    pmp.set_defaults(run=pmp_)


def _add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help=f"{what}: HH .jsonl[.gz] or frozen data sets",
    )
    parser.add_argument("--objective", choices=("helpful", "harmless"), help="only comparisons for this objective")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N comparisons, drawn with the config's seed")


def _add_run(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add_overrides(parser, example)
    add_json(parser)


def pm_(args: argparse.Namespace) -> Outcome:
    from concordant.config import PreferenceModelConfig, load_config

    config = load_config(PreferenceModelConfig, args.config, _overrides(args))
    return _trained("pm", args, config, *_comparisons(args, config.seed))


def pmp_(args: argparse.Namespace) -> Outcome:
    from concordant.comparison import split_by_opening
    from concordant.config import PmpConfig, load_config
    from concordant.store.stackexchange import binarised, read_posts

    config = load_config(PmpConfig, args.config, _overrides(args))
    fraction = args.test_fraction
    if fraction is not None and not 0 < fraction < 1:
        raise UserError(f"--test-fraction {fraction} must lie between 0 and 1")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit} must be at least 1")
    found = read_posts(args.data, config.pairs_per_question, args.limit, config.seed)
    lessons, exam = split_by_opening(found.preferences, fraction or 0.0, salt="exam")
    return _trained("pmp", args, config, binarised(lessons), binarised(exam), dict(found.dropped))


def _overrides(args: argparse.Namespace) -> list[str]:
    return [*args.overrides, *([f"model={args.model}"] if args.model else [])]


def _trained(
    kind: str,
    args: argparse.Namespace,
    config: "PreferenceModelConfig",
    lessons: "list[Preference]",
    exam: "list[Preference]",
    dropped: dict[str, int],
) -> Outcome:
    """A preference model's run, begun, gone on with, or finished before; then measured on the exam, if there is one."""
    from concordant.commands.evaluate_text import pm_text
    from concordant.commands.progress import progress
    from concordant.evaluate.run_material import save_evaluation
    from concordant.evaluate.scoring import evaluate_pm
    from concordant.models.base_models import cache_folder, fetch
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run
    from concordant.train.pm import model_to_train, train_pm

    folder = fetch(config.model, cache_folder(), say=_say)
    run = Run.begin(args.out, kind, config.model_dump(mode="json"), _parents(args, config.model))
    if not run.finished:
        with progress("training") as watch:
            train_pm(run, model_to_train(folder, config), lessons, config, watch)
    result: dict[str, Any] = {"run": str(run.path), **run.result, "unread": dropped}
    lines = [f"{run.result['comparisons']} comparisons in {run.result['seconds']:.0f} s"]
    if exam:
        with progress("testing") as watch:
            result["evaluation"] = evaluate_pm(PreferenceModel.load(run.path), exam, watch).json()
        save_evaluation(run, result["evaluation"])
        lines.append(pm_text(str(run.path), result["evaluation"]))
    return Outcome("\n".join([*lines, str(run.path)]), result)


def policy_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.config import PolicyConfig, load_config
    from concordant.models.base_models import cache_folder, fetch
    from concordant.models.language_model import LanguageModel
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run
    from concordant.train.policy import train_policy

    config = load_config(PolicyConfig, args.config, args.overrides)
    lessons, _, _ = _comparisons(args, config.seed)
    prompts = list(dict.fromkeys(preference.prompt for preference in lessons))
    pm = PreferenceModel.load(args.pm)
    folder = fetch(args.model, cache_folder(), say=_say)
    parents = {**_parents(args, args.model), "pm": _pm_id(args.pm)}
    run = Run.begin(args.out, "policy", config.model_dump(mode="json"), parents)
    if not run.finished:
        with progress("training") as watch:
            train_policy(run, LanguageModel.load(folder), pm, prompts, config, watch)
    before, after = run.result["before"], run.result["after"]
    lines = [f"{run.result['updates']} updates in {run.result['seconds']:.0f} s"]
    if before:
        lines.append(f"score  {before['score']:+.3f} → {after['score']:+.3f} (± {after['score_se']:.3f})")
        lines.append(f"KL     {before['kl']:.2f} → {after['kl']:.2f} nats per reply")
    return Outcome("\n".join([*lines, str(run.path)]), {"run": str(run.path), **run.result})


def _comparisons(args: argparse.Namespace, seed: int) -> "tuple[list[Preference], list[Preference], dict[str, int]]":
    """(to learn from, to be tested on, rows that could not be read by reason)."""
    from concordant.commands.comparison_files import read_comparisons
    from concordant.comparison import split_by_opening

    lessons, dropped = read_comparisons(args.data, args.objective)
    exam: list[Preference] = []
    if getattr(args, "test", None):
        found, _ = read_comparisons(args.test, args.objective)
        exam = _unseen(lessons, found)
        if len(exam) < len(found):
            dropped["test comparison whose opening is trained on"] = len(found) - len(exam)
    fraction = getattr(args, "test_fraction", None)
    if fraction is not None:
        if exam or not 0 < fraction < 1:
            raise UserError(f"--test-fraction {fraction} must lie between 0 and 1, and goes without --test")
        lessons, exam = split_by_opening(lessons, fraction, salt="exam")
    return (
        _at_most(args.limit, "--limit", lessons, seed),
        _at_most(getattr(args, "test_limit", None), "--test-limit", exam, seed),
        dict(dropped),
    )


def _at_most(limit: int | None, option: str, rows: "list[Preference]", seed: int) -> "list[Preference]":
    """``limit`` of the rows, drawn with the seed; all where there is no limit."""
    import random

    if limit is None:
        return rows
    if limit < 1:
        raise UserError(f"{option} {limit} must be at least 1")
    return random.Random(f"limit:{seed}").sample(rows, min(limit, len(rows)))


def _unseen(lessons: "Sequence[Preference]", exam: "Sequence[Preference]") -> "list[Preference]":
    """The exam without openings that are trained on: with them it would measure memory."""
    seen = {preference.prompt.split_key for preference in lessons}
    unseen = [preference for preference in exam if preference.prompt.split_key not in seen]
    if not unseen:
        raise UserError(
            f"all {len(exam)} test comparisons begin with a message that stands in --data too; "
            "use other files, or --test-fraction instead of --test"
        )
    return unseen


def _parents(args: argparse.Namespace, model: str) -> dict[str, str]:
    names = ", ".join(f"{path.name}@{_digest(path)}" for path in args.data)
    parents = {
        "data": names,
        "objective": getattr(args, "objective", None) or "any",
        "limit": str(args.limit),
        "base": model,
    }
    fraction = getattr(args, "test_fraction", None)  # with another share, other openings were trained on
    return parents if fraction is None else {**parents, "test_fraction": str(fraction)}


def _pm_id(folder: Path) -> str:
    """Name and content of a preference model: another one of the same name is another parent."""
    weights = folder / "model" / "model.safetensors"
    weights = weights if weights.exists() else folder / "model.safetensors"
    return f"{folder.resolve().name}@{_digest(weights)}" if weights.exists() else folder.resolve().name


def _digest(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:  # a dump may be larger than memory
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
