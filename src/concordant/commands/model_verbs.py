"""``concordant model get | export`` and ``sample``: models by name and for others, and their replies."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.models.generation import ModelSampler


def add(verbs: Verbs) -> None:
    """Add the verbs ``model`` and ``sample``."""
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

    given = model.add_parser("export", help="a trained model as others load it: a plain transformers folder, with card")
    given.add_argument(
        "model", type=Path, metavar="RUN", help="a run that made a model, or a snapshot it kept (RUN/kept/STEP)"
    )
    given.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    given.add_argument("--adapter", action="store_true", help="of a policy, the LoRA adapter alone, for peft")
    given.add_argument(
        "--parents",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="runs that it comes from, for the card, where they do not stand beside it",
    )
    add_json(given)
    given.set_defaults(run=export_)

    sample = verbs.add_parser("sample", help="replies to a prompt")
    sample.add_argument(
        "model", metavar="RUN", help="a run's folder, a snapshot it kept, a model's folder, or a model's name"
    )
    sample.add_argument("--prompt", required=True, metavar="TEXT", help="the human's message, or an HH transcript")
    sample.add_argument("-n", type=int, default=1, metavar="N", help="how many replies (default 1)")
    sample.add_argument("--best-of", type=int, metavar="K", help="the best of K by --pm, for each reply")
    sample.add_argument("--pm", type=Path, metavar="RUN", help="a preference model's run; adds scores")
    sample.add_argument("--max-new-tokens", type=int, default=128, metavar="T", help="reply limit (default 128)")
    sample.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1; no top-p")
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="another seed gives other replies (default 0)")
    add_device(sample)
    add_json(sample)
    sample.set_defaults(run=sample_)


def get_(args: argparse.Namespace) -> Outcome:
    from concordant.models.base_models import cache_folder, fetch

    folder = fetch(args.name, cache_folder(), say=lambda line: print(line, file=sys.stderr))
    return Outcome(str(folder), {"model": args.name, "folder": str(folder)})


def export_(args: argparse.Namespace) -> Outcome:
    from concordant.models.export import KINDS, export, exportable

    made = exportable(args.model)
    export(made, args.out, args.adapter, args.parents)
    files = sorted(str(file.relative_to(args.out)) for file in args.out.rglob("*") if file.is_file())
    kind = f"{KINDS[made.kind]}, adapter" if args.adapter else KINDS[made.kind]
    return Outcome(str(args.out), {"path": str(args.out), "kind": kind, "files": files})


def sample_(args: argparse.Namespace) -> Outcome:
    from concordant.conversation import Conversation
    from concordant.models.preference_model import PreferenceModel
    from concordant.sampler import BestOfK, Reply, Sampler

    counts = (args.n, args.max_new_tokens, 1 if args.best_of is None else args.best_of)
    if min(counts) < 1 or not 0 < args.temperature < math.inf:
        raise UserError("-n, --best-of, --max-new-tokens and --temperature must be above 0")
    if args.best_of and args.pm is None:
        raise UserError("--best-of needs a preference model to choose by; name one with --pm RUN")
    asked = args.prompt
    prompt = Conversation.from_hh(asked) if asked.lstrip().startswith("Human:") else Conversation().human(asked)
    if not prompt.awaits_reply or not prompt.turns[-1].text.strip():
        raise UserError(f"--prompt {asked[:40]!r} does not end on a human message; there is nothing to reply to")
    writer = sampler_of(args)
    pm = PreferenceModel.load(args.pm, writer.model.device) if args.pm else None
    sampler: Sampler = BestOfK(writer, pm, args.best_of) if pm and args.best_of else writer
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


def sampler_of(args: argparse.Namespace) -> "ModelSampler":
    """The writer that ``args.model`` names (a run, a folder or a base model), with limits and device of ``args``."""
    from concordant.models.generation import ModelSampler, SamplingLimits
    from concordant.models.named_model import NamedModel

    limits = SamplingLimits(args.max_new_tokens, args.temperature)
    device = device_of(args)
    named = NamedModel.find(args.model, say=lambda line: print(line, file=sys.stderr))
    return ModelSampler(named.load(device), limits)
