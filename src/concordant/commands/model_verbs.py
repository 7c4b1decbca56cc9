"""``concordant model get``, ``sample`` and ``score``: models by name, their replies, and what a PM makes of them."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.conversation import Conversation
    from concordant.sampler import Sampler


def add(verbs: Verbs) -> None:
    """Add the verbs ``model``, ``sample`` and ``score``."""
    model: Verbs = verbs.add_parser("model", help="base models by name").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    get = model.add_parser("get", help="fetch or make a base model and print its folder")
    get.add_argument(
        "name",
        metavar="NAME",
        help="smollm2-135m; ladder-13m | -42m | -197m | -810m | -2.7b | -13b | -52b [@SEED], the paper's sizes, "
        "untrained; a hub id such as org/model; or a folder",
    )
    add_json(get)
    get.set_defaults(run=get_)

    sample = verbs.add_parser("sample", help="replies to a prompt")
    sample.add_argument("model", metavar="RUN", help="a policy run's folder, a model's folder, or a model's name")
    sample.add_argument("--prompt", required=True, metavar="TEXT", help="the human's message, or an HH transcript")
    sample.add_argument("-n", type=int, default=1, metavar="N", help="how many replies (default 1)")
    sample.add_argument("--best-of", type=int, metavar="K", help="the best of K by --pm, for each reply")
    sample.add_argument("--pm", type=Path, metavar="RUN", help="a preference model's run; adds scores")
    sample.add_argument("--max-new-tokens", type=int, default=128, metavar="T", help="reply limit (default 128)")
    sample.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1; no top-p")
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="another seed gives other replies (default 0)")
    add_json(sample)
    sample.set_defaults(run=sample_)

    score = verbs.add_parser("score", help="a preference model's scores of conversations")
    score.add_argument("pm", type=Path, metavar="RUN", help="a preference model's run, or its model folder")
    score.add_argument(
        "file", type=Path, metavar="FILE", help='JSON lines: {"conversation": HH transcript} or {"chosen", "rejected"}'
    )
    add_json(score)
    score.set_defaults(run=score_)


def get_(args: argparse.Namespace) -> Outcome:
    from concordant.models.base_models import cache_folder, fetch

    folder = fetch(args.name, cache_folder(), say=lambda line: print(line, file=sys.stderr))
    return Outcome(str(folder), {"model": args.name, "folder": str(folder)})


def sample_(args: argparse.Namespace) -> Outcome:
    from concordant.conversation import Conversation
    from concordant.models.preference_model import PreferenceModel
    from concordant.sampler import BestOfK, Reply

    counts = (args.n, args.max_new_tokens, 1 if args.best_of is None else args.best_of)
    if min(counts) < 1 or not 0 < args.temperature < math.inf:
        raise UserError("-n, --best-of, --max-new-tokens and --temperature must be above 0")
    if args.best_of and args.pm is None:
        raise UserError("--best-of needs a preference model to choose by; name one with --pm RUN")
    asked = args.prompt
    prompt = Conversation.from_hh(asked) if asked.lstrip().startswith("Human:") else Conversation().human(asked)
    if not prompt.awaits_reply or not prompt.turns[-1].text.strip():
        raise UserError(f"--prompt {asked[:40]!r} does not end on a human message; there is nothing to reply to")
    sampler = _sampler(args)
    pm = PreferenceModel.load(args.pm) if args.pm else None
    if pm and args.best_of:
        sampler = BestOfK(sampler, pm, args.best_of)
    replies = sampler.sample([prompt], args.n, args.seed)[0]
    if pm and not args.best_of:
        scores = pm.score(prompt, [reply.text for reply in replies])
        replies = [
            Reply(reply.text, reply.finished, reply.tokens, value) for reply, value in zip(replies, scores, strict=True)
        ]
    text = "\n\n".join(reply.text if reply.score is None else f"[{reply.score:+.3f}] {reply.text}" for reply in replies)
    rows = [
        {"text": reply.text, "finished": reply.finished, "tokens": reply.tokens, "score": reply.score}
        for reply in replies
    ]
    return Outcome(text, {"replies": rows})


def _sampler(args: argparse.Namespace) -> "Sampler":
    """The writer that ``RUN`` names: a policy run, a folder, or a base model."""
    from concordant.models.base_models import cache_folder, fetch
    from concordant.models.generation import ModelSampler, SamplingLimits
    from concordant.models.language_model import LanguageModel, adapter_base

    limits = SamplingLimits(args.max_new_tokens, args.temperature)
    path = Path(args.model)
    adapter = next((folder for folder in (path / "model", path) if (folder / "adapter_config.json").exists()), None)
    if adapter is not None:
        return ModelSampler(LanguageModel.load(adapter_base(adapter), adapter), limits)
    if path.is_dir() and not (path / "config.json").exists():
        raise UserError(
            f"{path} holds neither a finished policy run nor a model; give a run's folder or a model's name"
        )
    folder = fetch(args.model, cache_folder(), say=lambda line: print(line, file=sys.stderr))
    return ModelSampler(LanguageModel.load(folder), limits)


def score_(args: argparse.Namespace) -> Outcome:
    from concordant.models.preference_model import PreferenceModel

    items = _transcripts(args.file)
    scores = PreferenceModel.load(args.pm).score_many([(prompt, replies) for prompt, replies in items])
    rows = [{"scores": values} if len(values) > 1 else {"score": values[0]} for values in scores]
    text = "\n".join("  ".join(f"{value:+.4f}" for value in values) for values in scores)
    return Outcome(text, {"n": len(rows), "rows": rows})


def _transcripts(path: Path) -> "list[tuple[Conversation, list[str]]]":
    """(prompt, replies) of each line: one reply of a conversation, two of a pair (chosen first)."""
    import json

    from concordant.comparison import Objective, Tranche, preference_from_hh
    from concordant.conversation import Conversation

    if not path.is_file():
        raise UserError(f"{path} does not exist; give a file of JSON lines")
    items: list[tuple[Conversation, list[str]]] = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        try:
            row = json.loads(line)
            if "conversation" in row:
                prompt, reply = Conversation.from_hh(row["conversation"]).split_last_reply()
                items.append((prompt, [reply]))
            else:
                pair = preference_from_hh(row["chosen"], row["rejected"], Objective.HELPFUL, Tranche.BASE)
                items.append((pair.prompt, [pair.chosen, pair.rejected]))
        except (UserError, KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            problem = str(error) if isinstance(error, UserError) else "it has neither a conversation nor a pair"
            raise UserError(f"{path}, line {number}: {problem}") from None
    if not items:
        raise UserError(f"{path} has no lines; give a file of JSON lines")
    return items
