"""``concordant evaluate agreement``: how far second opinions agree with first choices (paper §2.1, Fig. 10)."""

import argparse
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.agreement import Agreement, Measure


def add_agreement(verbs: Verbs) -> None:
    """Add the verb ``evaluate agreement``."""
    parser = verbs.add_parser("agreement", help="how far workers agree: per cent and Krippendorff's alpha")
    parser.add_argument(
        "--draw",
        choices=("workers", "comparisons"),
        default="workers",
        help="for the intervals, draw anew whole workers (default) or comparisons",
    )
    add_programme(parser)
    add_json(parser)
    parser.set_defaults(run=evaluate_agreement_)


def evaluate_agreement_(args: argparse.Namespace) -> Outcome:
    from concordant.agreement import agreement
    from concordant.store.second_looks import pairs

    with opened(args) as (_, database):
        found = pairs(database)
    if not found:
        raise UserError("no comparison has a second opinion; set second_opinions under [review], and serve")
    result = agreement(found, args.draw)
    return Outcome(agreement_text(result), result.json())


def agreement_text(found: "Agreement") -> str:
    """What a person reads."""
    what = "workers" if found.drawn == "workers" else "comparisons"
    rows = [
        ("the same reply", _per_cent(found.share), found.n),
        ("  neither of the weakest strength", _per_cent(found.decided), found.decided_n),
        *((f"  {_group(one.by, one.key)}", _per_cent(one.share), one.n) for one in found.groups),
    ]
    lines = [f"{found.n:,} comparisons with two answers, of {found.workers} workers; 95 % intervals by drawing {what}"]
    lines += [f"{name:36}{value:>20}{n:>10,}" for name, value, n in rows]
    lines += [f"{'alpha, ' + level:36}{_plain(measure):>20}" for level, measure in found.alpha.items()]
    return "\n".join([*lines, "in the paper, crew and researchers: about 63 %"])


def _group(by: str, key: str) -> str:
    return key if by == "objective" else f"first choice of strength {key} of 4"


def _per_cent(one: "Measure") -> str:
    if one.value is None:
        return "–"
    return f"{100 * one.value:.0f} %" + (
        "" if one.ci95 is None else f" ({100 * one.ci95[0]:.0f}–{100 * one.ci95[1]:.0f})"
    )


def _plain(one: "Measure") -> str:
    if one.value is None:
        return "–"
    return f"{one.value:.2f}" + ("" if one.ci95 is None else f" ({one.ci95[0]:.2f}–{one.ci95[1]:.2f})")
