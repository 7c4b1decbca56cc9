"""``concordant train distill`` and ``evaluate distill``: what a prompt does, without the prompt (paper App. A.1)."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json, add_overrides
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.conversation import Conversation
    from concordant.train_config import DistillConfig

_TEST_FRACTION, _TEST_LIMIT = 0.1, 200


def add_train(train: Verbs) -> None:
    """Add ``train distill``."""
    parser = train.add_parser("distill", help="a student that writes as a prompted teacher does, without the prompt")
    _add_texts(parser, "learn from")
    parser.add_argument("--prompt", type=Path, metavar="FILE", help="another prompt than ours, in the same form")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N texts, drawn with the config's seed")
    parser.add_argument(
        "--test-fraction",
        type=float,
        default=_TEST_FRACTION,
        metavar="F",
        help=f"keep this share of the documents from training, to measure on (default {_TEST_FRACTION}; 0: none)",
    )
    _add_test_limit(parser, "--test-limit")
    parser.add_argument("--model", metavar="M", help="the student: short name, hub id, folder or run")
    parser.add_argument(
        "--teacher", metavar="M", help="who reads the prompt, with the student's tokenizer (default: the student)"
    )
    parser.add_argument(
        "--shards",
        type=Path,
        metavar="DIR",
        help="where the teacher's output is kept, or stands already from a run on the same texts (default: in the run)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder")
    add_overrides(parser, "text_tokens=128")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=train_)


def add_evaluate(evaluate: Verbs) -> None:
    """Add ``evaluate distill``."""
    parser = evaluate.add_parser("distill", help="a distilled student's distance from its prompted teacher")
    parser.add_argument("distilled", type=Path, metavar="RUN", help="the folder of a 'train distill' run")
    _add_texts(parser, "measure on; those that were learned from are left out")
    _add_test_limit(parser, "--limit")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=evaluate_)


def _add_texts(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument(
        "--text",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f'plain text to {purpose}: .txt[.gz], or .jsonl[.gz] with a field "text"',
    )
    parser.add_argument(
        "--dialogues",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="Posts.xml of StackExchange dumps, plain, .gz or .bz2: each question with its best answer",
    )


def _add_test_limit(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        name, type=int, default=_TEST_LIMIT, metavar="N", help=f"at most N texts to measure on (default {_TEST_LIMIT})"
    )


def train_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import distance_text
    from concordant.commands.progress import progress
    from concordant.config import load_config
    from concordant.distill_run import Limits, Pair, Voice, cut_texts, distill_run, measure_run, weights_digest
    from concordant.hhh_prompt import OURS, HhhPrompt
    from concordant.models.made_model import model_id
    from concordant.runs import Run
    from concordant.train_config import DistillConfig

    given = [f"{name}={value}" for name in ("model", "teacher") if (value := getattr(args, name))]
    config = load_config(DistillConfig, args.config, [*args.overrides, *given])
    if not 0 <= args.test_fraction < 1:
        raise UserError(f"--test-fraction {args.test_fraction} must lie between 0 and 1")
    device = device_of(args)
    limits = Limits(args.test_fraction, _at_least_1(args, "limit"), _at_least_1(args, "test_limit"))
    prompt = HhhPrompt.read(args.prompt or OURS)
    talks, unread = _read(args)
    student, teacher = _folders(config)
    pair = Pair(student, teacher, prompt, device)
    texts = cut_texts(talks, pair.format, config, limits)
    parents = {
        "data": _names([*args.text, *args.dialogues]),
        "base": model_id(config.model),
        "teacher": weights_digest(pair.teacher),
        "prompt": f"{(args.prompt or OURS).name}@{prompt.digest}",
        "limit": str(args.limit),
        "test_fraction": str(args.test_fraction),
    }
    run = Run.begin(args.out, "distill", config.model_dump(mode="json"), parents)
    trained = distill_run(run, pair, texts, config, args.shards or run.path / "teacher", Voice(progress, _say))
    result: dict[str, Any] = {"run": str(run.path), **trained, "unread": dict(unread)}
    lines = [
        f"{trained['texts']:,} texts ({trained['dialogues']:,} dialogues) of {trained['documents']:,} documents, "
        f"{trained['tokens']:,} tokens, in {trained['seconds']:.0f} s",
        f"KL from the teacher in training  {trained['first_loss']:.4f} → {trained['train_loss']:.4f} nats per token",
    ]
    if texts.exam:
        result["evaluation"] = measure_run(run, pair, texts.exam, config, progress)
        lines.append(distance_text(result["evaluation"]))
    return Outcome("\n".join([*lines, str(run.path)]), result)


def evaluate_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import distance_text
    from concordant.commands.progress import progress
    from concordant.distill_run import PROMPT, Pair, measure_run, unseen, weights_digest
    from concordant.hhh_prompt import HhhPrompt
    from concordant.models.text_rows import draw_mixture, text_rows
    from concordant.runs import Run
    from concordant.train_config import DistillConfig

    limit, device = _at_least_1(args, "limit"), device_of(args)
    run = Run.open(args.distilled)
    head = run.head
    if head.get("kind") != "distill" or not run.finished:
        raise UserError(f"{args.distilled} is no finished distillation; give the folder of a 'train distill' run")
    config = DistillConfig(**head["config"])
    student, teacher = _folders(config)
    pair = Pair(student, teacher, HhhPrompt.read(run.path / PROMPT), device)
    if (found := weights_digest(pair.teacher)) != head["parents"]["teacher"]:
        raise UserError(f"the teacher was {head['parents']['teacher']} and is {found} now; put the old one back")
    talks, dropped = _read(args)
    rows, unusable = text_rows(unseen(run, talks, dropped), pair.format, config.text_tokens)
    share = config.dialogue_share if args.text and args.dialogues else float(bool(args.dialogues))
    drawn = draw_mixture(rows, share, limit, config.seed)
    result = {**measure_run(run, pair, drawn, config, progress), "dropped": dict(dropped + unusable)}
    return Outcome(distance_text(result), result)


def _folders(config: "DistillConfig") -> tuple[Path, Path]:
    """Of student and teacher, whole models both."""
    from concordant.models.named_model import NamedModel

    student, teacher = (
        NamedModel.find(name, say=_say).whole(_say) for name in (config.model, config.teacher or config.model)
    )
    return student, teacher


def _read(args: argparse.Namespace) -> "tuple[list[Conversation], Counter[str]]":
    """(texts and dialogues of the files, what in them was left out by reason)."""
    from concordant.store.stackexchange import read_dialogues
    from concordant.store.text_files import read_texts

    if not args.text and not args.dialogues:
        raise UserError("there is nothing to read; give files with --text, --dialogues, or both")
    talks: list[Conversation] = []
    dropped: Counter[str] = Counter()
    if args.text:
        texts = read_texts(args.text)
        talks, dropped = talks + texts.conversations, dropped + texts.dropped
    if args.dialogues:
        dialogues = read_dialogues(args.dialogues)
        talks, dropped = talks + dialogues.conversations, dropped + dialogues.dropped
    return talks, dropped


def _at_least_1(args: argparse.Namespace, name: str) -> int | None:
    value: int | None = getattr(args, name)
    if value is not None and value < 1:
        raise UserError(f"--{name.replace('_', '-')} {value} must be at least 1")
    return value


def _names(paths: list[Path]) -> str:
    """Names and contents of the files."""
    import hashlib

    named = []
    for path in paths:
        with path.open("rb") as file:
            named.append(f"{path.name}@{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}")
    return ", ".join(named)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
