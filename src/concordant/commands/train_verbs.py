"""``concordant train pmp | pm | policy``: one stage by itself, from files; ``concordant iterate`` does them in turn.

``train distill`` stands in ``distill_verbs.py``.
"""

import argparse
import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.data_selection import Selection, add_data, add_test, data_file, select
from concordant.commands.device_option import add_device, device_of
from concordant.commands.distill_verbs import add_train as add_distill
from concordant.commands.outcome import SILENCE, Outcome, Verbs, add_json, add_overrides
from concordant.commands.prompt_sources import digest, in_words, named_files, prompts_in
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Objective
    from concordant.conversation import Conversation
    from concordant.train_config import PolicyConfig, PreferenceModelConfig


def add(verbs: Verbs) -> None:
    """Add the verb ``train``."""
    train: Verbs = verbs.add_parser("train", help="preference models and policies").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    add_distill(train)
    _add_pmp(train)
    pm = train.add_parser("pm", help="a preference model from comparisons")
    add_data(pm, "comparisons to learn from")
    add_test(pm)
    pm.add_argument(
        "--model",
        metavar="M",
        help="what to train on: short name, hub id or folder of a language model, or the run of a preference model, "
        "such as one of 'train pmp' (default: the config's)",
    )
    _add_run(pm, "learning_rate=1e-5")
    add_device(pm)
    pm.set_defaults(run=pm_)

    policy = train.add_parser("policy", help="PPO against a preference model")
    add_data(policy, "comparisons whose prompts are answered", required=False)
    policy.add_argument(
        "--prompts",
        type=data_file,
        nargs="+",
        metavar="FILE",
        help="prompts that are answered instead, as 'concordant prompts' writes them; several preference models still "
        "need --data, on which their scores are made comparable",
    )
    policy.add_argument(
        "--pm", type=Path, nargs="+", required=True, metavar="RUN", help="the preference model's run; several: ensemble"
    )
    policy.add_argument(
        "--combine",
        choices=("mean", "minimum"),
        default="mean",
        help="how the scores of several become one, after each model's mean on --data is subtracted (default: mean)",
    )
    policy.add_argument(
        "--test-pm",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="a preference model that scores the same replies and teaches nothing, best one that learned from other "
        "comparisons; several: the mean of their scores",
    )
    policy.add_argument(
        "--model",
        default="smollm2-135m",
        metavar="M",
        help="first policy: short name, hub id, folder, or what a run made",
    )
    _add_run(policy, "updates=40")
    add_device(policy)
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
    add_device(pmp)
    pmp.set_defaults(run=pmp_)


def _add_run(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add_overrides(parser, example)
    add_json(parser)


def pm_(args: argparse.Namespace) -> Outcome:
    from concordant.config import load_config
    from concordant.train_config import PreferenceModelConfig

    config = load_config(PreferenceModelConfig, args.config, _overrides(args))
    return _trained(args, "pm", config, select(args, config.seed, ordered=config.order == "given"))


def pmp_(args: argparse.Namespace) -> Outcome:
    from concordant.comparison import split_by_opening
    from concordant.config import load_config
    from concordant.store.stackexchange import binarised, read_posts
    from concordant.train_config import PmpConfig

    config = load_config(PmpConfig, args.config, _overrides(args))
    fraction = args.test_fraction
    if fraction is not None and not 0 < fraction < 1:
        raise UserError(f"--test-fraction {fraction} must lie between 0 and 1")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit} must be at least 1")
    found = read_posts(args.data, config.pairs_per_question, args.limit, config.seed)
    lessons, exam = split_by_opening(found.preferences, fraction or 0.0, salt="exam")
    record = {"data": ", ".join(f"{path.name}@{digest(path)}" for path in args.data), "limit": str(args.limit)}
    if fraction is not None:
        record["test_fraction"] = str(fraction)  # with another share, other questions were trained on
    return _trained(args, "pmp", config, Selection(binarised(lessons), binarised(exam), dict(found.dropped), record))


def _overrides(args: argparse.Namespace) -> list[str]:
    return [*args.overrides, *([f"model={args.model}"] if args.model else [])]


def _trained(args: argparse.Namespace, kind: str, config: "PreferenceModelConfig", data: Selection) -> Outcome:
    """A preference model's run, begun, gone on with, or finished before; then measured on the exam, if there is one."""
    from concordant.commands.evaluate_text import pm_text
    from concordant.commands.progress import progress
    from concordant.models.base_models import cache_folder, fetch
    from concordant.models.made_model import model_id
    from concordant.models.parallel import Team
    from concordant.pm_run import measure_run, train_run
    from concordant.runs import Run

    device, out = device_of(args), args.out
    team = Team.joined()
    folder = fetch(config.model, cache_folder(), say=_say)
    if team.leads:
        Run.begin(out, kind, config.model_dump(mode="json"), {**data.record, "base": model_id(config.model)})
    team.wait()
    run = Run.open(out)
    with progress("training") if team.leads else nullcontext(lambda *_: None) as watch:
        trained = train_run(run, folder, data.lessons, config, watch, device)
    if not team.leads:
        return SILENCE
    result: dict[str, Any] = {"run": str(run.path), **trained, "unread": data.dropped}
    lines = [f"{trained['comparisons']} comparisons in {trained['seconds']:.0f} s"]
    if left_out := Counter(trained["dropped"]) + Counter(data.dropped):
        lines.append(f"left out: {in_words(left_out)}")
    if trained.get("cut"):
        lines.append(f"the first turns of the prompt did not fit in {trained['cut']:,} of them and were cut off")
    if config.keep_at:
        marks = ", ".join(f"{mark:,}" for mark in trained["kept"]) or "none of these numbers: too many were dropped"
        lines.append(f"kept in {run.kept} after {marks}")
    if data.exam:
        with progress("testing") as watch:
            result["evaluation"] = measure_run(run, data.exam, watch, device=device)
        lines.append(pm_text(str(run.path), result["evaluation"]))
    return Outcome("\n".join([*lines, str(run.path)]), result)


def policy_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.progress import progress
    from concordant.config import load_config
    from concordant.models.ensemble import load_scorer
    from concordant.models.language_model import LanguageModel
    from concordant.models.named_model import NamedModel
    from concordant.runs import Run
    from concordant.train.judging import Judges
    from concordant.train.policy import train_policy
    from concordant.train_config import PolicyConfig

    config, device = load_config(PolicyConfig, args.config, args.overrides), device_of(args)
    data = select(args, config.seed) if args.data else Selection([], [], {}, {})
    prompts, record, left_out = _prompts(args, data, config)
    test = args.test_pm and load_scorer(_apart(args), "mean", data.lessons, device)
    judges = Judges(load_scorer(args.pm, args.combine, data.lessons, device), test)
    base = NamedModel.find(args.model, say=_say)
    parents = {**record, "base": base.id, "pm": _pm_names(args.pm, args.combine)}
    if args.test_pm:
        parents["test_pm"] = _pm_names(args.test_pm, "mean")
    run = Run.begin(args.out, "policy", config.model_dump(mode="json"), parents)
    if not run.finished:
        first = LanguageModel.load(base.whole(_say), device=device)
        with progress("training") as watch:
            train_policy(run, first, judges, prompts, config, watch)
    lines = _policy_lines(run.result)
    lines += [f"prompts left out: {in_words(left_out)}"] if left_out else []
    result = {"run": str(run.path), **run.result, "prompts_left_out": dict(left_out)}
    return Outcome("\n".join([*lines, str(run.path)]), result)


def _policy_lines(result: dict[str, Any]) -> list[str]:
    before, after = result["before"], result["after"]
    lines = [f"{result['updates']} updates in {result['seconds']:.0f} s"]
    if before:
        lines.append(f"score  {before['score']:+.3f} → {after['score']:+.3f} (± {after['score_se']:.3f})")
        if "test_score" in after:
            test = f"test   {before['test_score']:+.3f} → {after['test_score']:+.3f} (± {after['test_score_se']:.3f})"
            lines.append(test)
        lines.append(f"KL     {before['kl']:.2f} → {after['kl']:.2f} nats per reply")
    parted = result.get("parted")
    if parted:
        lines.append(
            f"the two preference models part at update {parted['update']} (√KL {parted['root_kl']:.2f}): the test "
            f"score has fallen by {parted['fall']:.2f} ± {parted['error']:.2f} since"
        )
    return lines


def _apart(args: argparse.Namespace) -> list[Path]:
    """The test PMs, none of which trains the policy."""
    training = {path.resolve() for path in args.pm}
    for path in args.test_pm:
        if path.resolve() in training:
            raise UserError(
                f"--test-pm {path} trains the policy (--pm); it can show nothing about itself, name another"
            )
    return list(args.test_pm)


def _prompts(
    args: argparse.Namespace, data: Selection, config: "PolicyConfig"
) -> "tuple[dict[Conversation, Objective], dict[str, str], Counter[str]]":
    """(what is answered, each with its objective; what goes into the run's parents; what was left out by reason).

    Prompts come from --prompts, else from --data, in the shares of the config.
    """
    from concordant.prompts import Shares, asked, mixed_in_words
    from concordant.store.prompt_files import prompts_of

    record = data.record
    if args.prompts:
        found, dropped = prompts_in(args.prompts)
        record = {**record, "prompts": named_files(args.prompts)}
    elif args.data:
        found, dropped = prompts_of(data.lessons), Counter()
    else:
        raise UserError("a policy needs prompts to answer; give --prompts FILE, or comparisons with --data FILE")
    shares = Shares(config.model_share, config.harmless_share)
    drawn, repeated = asked(found, shares, config.seed)
    if shares.any:
        record = {**record, "mixed_prompts": mixed_in_words(drawn)}
    return {prompt.conversation: prompt.objective for prompt in drawn}, record, dropped + repeated


def _pm_names(paths: list[Path], combine: str) -> str:
    """Names and contents of the preference models: another one of the same name is another parent."""
    from concordant.models.made_model import model_id

    names = ", ".join(map(model_id, paths))
    return names if len(paths) == 1 else f"{combine} of {names}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
