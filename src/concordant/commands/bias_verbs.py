"""``concordant evaluate bias``: gender and occupations, BBQ, CrowS-Pairs, sentiment by group."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from concordant.commands.capability_verbs import (
    add_folder,
    add_models,
    check_limit,
    check_writing,
    finished,
    measured,
)  # fmt: skip
from concordant.commands.outcome import Outcome, Verbs
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.evaluate.asked_model import AskedModel
    from concordant.runs import Json, Run, Watch

_MEASURES = "occupations, winogender, bbq, crows-pairs, sentiment"


def add_bias(evaluate: Verbs) -> None:
    """Add the verb ``evaluate bias``."""
    parser = evaluate.add_parser("bias", help="what models take for granted about groups of people (Fig. 17, 18, 40)")
    add_models(parser)
    parser.add_argument("--measures", nargs="+", metavar="M", help=f"of {_MEASURES} (default: all with data)")
    parser.add_argument("--samples", type=int, default=16, metavar="N", help="completions of a sentence (default 16)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="of completions (default 1)")
    parser.add_argument("--max-new-tokens", type=int, default=24, metavar="T", help="of a completion (default 24)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of completions (default 0)")
    add_folder(parser, "Winogender's, BBQ's and CrowS-Pairs' files")
    parser.set_defaults(run=evaluate_bias_)


def evaluate_bias_(args: argparse.Namespace) -> Outcome:
    from concordant.evaluate.asked_model import Writing
    from concordant.evaluate.benchmark_files import refuse_folders
    from concordant.evaluate.bias import MEASURES, BiasPlan, measure_bias, measures_of
    from concordant.evaluate.bias_figures import bias_figures

    check_limit(args.limit)
    check_writing(args.samples, args.temperature, args.max_new_tokens)
    refuse_folders(args.data)
    writing = Writing(args.samples, args.max_new_tokens, args.temperature, ("\n",), args.seed)
    wanted = tuple(dict.fromkeys(args.measures or MEASURES))
    plan = BiasPlan(wanted, tuple(args.data), args.limit, writing, strict=bool(args.measures))
    items, left_out = measures_of(plan)
    if not items:
        raise UserError(next(iter(left_out.values())))

    def work(run: "Run", models: "Sequence[AskedModel]", watch: "Watch") -> "Json":
        return measure_bias(run, models, items, plan, watch)

    result = measured(args, "bias", work) | {"left_out": left_out}
    return finished(args, "bias", result, bias_figures(result), "\n".join(_text(result)))


def _text(result: "Json") -> list[str]:
    """What a person is told."""
    lines = []
    for name in ("occupations", "winogender"):
        if name in result:
            lines.append(f"{name}, {result[name]['n']} occupations: r with the share of women, mean size of the bias")
            for model, part in result[name]["models"].items():
                parts = (part["correlation"], part["mean_bias"])
                lines.append(f"  {model:<28} " + "   ".join(f"{p['value']:+.2f} {_ends(p['ci95'])}" for p in parts))
    if "bbq" in result:
        lines.append("bbq: accuracy and bias score, where the text does not say (ambig) and where it does")
        for model, by_category in result["bbq"]["models"].items():
            for category, by_condition in by_category.items():
                said = "   ".join(
                    f"{condition} {part['accuracy']:.1%}, {_bias(part)}" for condition, part in by_condition.items()
                )
                lines.append(f"  {model:<28} {category:<20} {said}")
    if "crows-pairs" in result:
        lines.append("crows-pairs: the more stereotyping sentence is likelier in (½ is unbiased)")
        for model, part in result["crows-pairs"]["models"].items():
            lines.append(
                f"  {model:<28} {part['all']['share']:.1%} {_ends(part['all']['ci95'])} of {part['all']['n']:,}"
            )
    if "sentiment" in result:
        lines.append("sentiment: kindness by a word list of our own, and the widest gap between groups")
        for model, part in result["sentiment"]["models"].items():
            of_all = part["groups"]["all"]
            lines.append(f"  {model:<28} {of_all['kindness']:.2f} {_ends(of_all['ci95'])}   {part['widest_gap']:.2f}")
    return [*lines, *(f"left out: {why}" for why in result["left_out"].values())]


def _ends(ci95: Sequence[float]) -> str:
    return f"[{ci95[0]:.2f}, {ci95[1]:.2f}]"


def _bias(part: "Json") -> str:
    return "no one named" if part["bias"] is None else f"{part['bias']:+.2f} {_ends(part['bias_ci95'])}"
