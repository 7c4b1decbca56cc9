"""``concordant evaluate refusals``: XSTest, what is refused that should not be, and the other way round."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.capability_verbs import add_models, check_limit, check_writing, finished, measured
from concordant.commands.device_option import add_device
from concordant.commands.outcome import Outcome, Verbs, add_json

if TYPE_CHECKING:
    from concordant.evaluate.asked_model import AskedModel
    from concordant.runs import Json, Run, Watch


def add_refusals(evaluate: Verbs) -> None:
    """Add the verb ``evaluate refusals``."""
    parser = evaluate.add_parser("refusals", help="refusals of safe and unsafe prompts, from XSTest's table (§4.4)")
    add_models(parser)
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="XSTest's csv: prompt, type, label")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N prompts, always the same ones")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="replies to a prompt (default 1)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1; no top-p")
    parser.add_argument("--max-new-tokens", type=int, default=96, metavar="T", help="of a reply (default 96)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the replies (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the measurement's folder")
    add_device(parser)
    add_json(parser)
    parser.set_defaults(run=evaluate_refusals_)


def evaluate_refusals_(args: argparse.Namespace) -> Outcome:
    import random

    from concordant.evaluate.asked_model import Writing
    from concordant.evaluate.bias_figures import refusal_figure
    from concordant.evaluate.capabilities import keep_items
    from concordant.evaluate.over_refusal import ask_xstest, read_xstest, refusal_summary

    check_limit(args.limit)
    check_writing(args.samples, args.temperature, args.max_new_tokens)
    prompts = read_xstest(args.prompts)
    if args.limit is not None and args.limit < len(prompts):
        prompts = [prompts[place] for place in sorted(random.Random("limit").sample(range(len(prompts)), args.limit))]
    how = Writing(args.samples, args.max_new_tokens, args.temperature, (), args.seed)

    def work(run: "Run", models: "Sequence[AskedModel]", watch: "Watch") -> "Json":
        rows = {}
        with run.alone():
            for place, asked in enumerate(models):
                watch(place, len(models), asked.name)
                rows[asked.name] = ask_xstest(asked, prompts, how)
                keep_items(run, "xstest", asked.name, rows[asked.name])
        return {"models": list(rows), "refusals": refusal_summary(rows)}

    result = measured(args, "refusals", work) | {"replies": str(args.out / "items" / "xstest")}
    return finished(args, "refusals", result, [refusal_figure(result)], "\n".join(_text(result)))


def _text(result: "Json") -> list[str]:
    """What a person is told."""
    lines = ["refused, by phrases:"]
    for model, part in result["refusals"]["models"].items():
        said = []
        for label in ("safe", "unsafe"):
            if label in part:
                low, high = part[label]["ci95"]
                said.append(f"{part[label]['share']:.1%} [{low:.1%}, {high:.1%}] of {part[label]['n']} {label}")
                gap = part.get(f"{label}_difference")
                said[-1] += "" if gap is None else f" ({100 * gap['value']:+.1f} points {_points(gap['ci95'])})"
        lines.append(f"  {model:<28} {'   '.join(said)}")
    return [*lines, f"replies to read: {result['replies']}"]


def _points(ci95: Sequence[float]) -> str:
    return f"[{100 * ci95[0]:+.1f}, {100 * ci95[1]:+.1f}]"
