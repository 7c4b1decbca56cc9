"""``concordant score``: a preference model's scores of any conversations, window by window, in files of any length.

One JSON line goes out for each row that came in, in the same order; a row that cannot be scored says why, and is
counted. Several models score as one, with the spread of their scores beside each.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.device_option import add_device, device_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.evaluate.ensemble_scores import Judged
    from concordant.evaluate.scoring import RowScorer
    from concordant.models.ensemble import Ensemble, Item
    from concordant.store.conversation_files import RepliesRow

Json = dict[str, Any]
WINDOW = 512
"""Rows held in memory at once; lengths are grouped within them."""


def add(verbs: Verbs) -> None:
    """Add the verb ``score``."""
    score = verbs.add_parser("score", help="a preference model's scores of conversations")
    score.add_argument(
        "pm",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="a preference model's run or model folder; several: an ensemble, with the standard deviation over them",
    )
    score.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help='a frozen data set, or .jsonl[.gz] with rows of {"chosen", "rejected"}, {"prompt", "replies"}, '
        '{"messages"} or {"transcript"} (of a conversation, the last reply is scored)',
    )
    score.add_argument(
        "--out", type=Path, metavar="FILE", help="where the scores go (default: standard output); .gz is compressed"
    )
    score.add_argument(
        "--combine",
        choices=("mean", "minimum"),
        default="mean",
        help="how the scores of several become one, after each model's mean on FILE's first 1,000 rows is subtracted",
    )
    add_device(score)
    add_json(score)
    score.set_defaults(run=score_)


@dataclass(slots=True)
class Tally:
    """What has been scored so far.

    Attributes:
        rows: rows read.
        scored: rows of which all replies have a score.
        replies: scores given.
        mean: of all scores.
        squares: sum of the squared differences from the mean (Welford's sums, which need no second pass).
        spreads: sum of the standard deviations over an ensemble's members; None for one model.
        left_out: reason → number of rows, and the line of the first.
    """

    rows: int = 0
    scored: int = 0
    replies: int = 0
    mean: float = 0.0
    squares: float = 0.0
    spreads: float | None = None
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, scores: list[float], spread: list[float]) -> None:
        """Count a row with its scores, and with the spread of each where there are several models."""
        if spread:
            self.spreads = (self.spreads or 0.0) + sum(spread)
        self.rows += 1
        self.scored += 1
        for score in scores:
            self.replies += 1
            off = score - self.mean
            self.mean += off / self.replies
            self.squares += off * (score - self.mean)

    def leave_out(self, reason: str, line: int) -> None:
        """Count a row without scores."""
        self.rows += 1
        self.left_out.setdefault(reason, {"n": 0, "first_line": line})["n"] += 1

    def json(self) -> Json:
        return {
            "n": self.rows,
            "scored": self.scored,
            "replies": self.replies,
            "mean": self.mean if self.replies else None,
            "sd": math.sqrt(self.squares / self.replies) if self.replies else None,
            "spread": None if self.spreads is None else self.spreads / self.replies,
            "left_out": self.left_out,
        }

    def text(self) -> str:
        lines = [f"{self.scored:,} of {self.rows:,} rows scored, {self.replies:,} replies"]
        if self.replies:
            lines[0] += f": mean {self.mean:+.3f}, standard deviation {math.sqrt(self.squares / self.replies):.3f}"
        if self.spreads is not None:
            lines.append(f"  the models' scores of a reply have a standard deviation of {self.json()['spread']:.3f}")
        for reason, found in self.left_out.items():
            lines.append(f"  left out: {found['n']:,} {reason} (first in line {found['first_line']:,})")
        return "\n".join(lines)


def score_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.comparison_files import is_dataset
    from concordant.commands.progress import progress
    from concordant.store.conversation_files import count_rows

    _refuse_out(args)
    # Read to the end once before anything is scored: a damaged file is refused now and not after hours.
    total = sum(1 for _ in _rows(args.file)) if is_dataset(args.file) else count_rows(args.file)
    model = _scorer(args)
    tally = Tally()
    kept: list[Json] = []
    with progress("scoring") as watch, _sink(args, kept) as put:
        watch(0, total, "")
        for line in scored_rows(model, _rows(args.file), tally, lambda done: watch(done, total, "")):
            put(line)
        if not tally.scored:
            raise UserError(f"{args.file} holds nothing that can be scored: {_reasons(tally)}")
    if args.json:
        return Outcome("", tally.json() | ({"file": str(args.out)} if args.out else {"rows": kept}))
    if args.out:
        return Outcome(f"{tally.text()}\n{args.out}")
    print(tally.text(), file=sys.stderr, flush=True)
    return Outcome("")


def _rows(file: Path) -> "Iterator[RepliesRow]":
    from concordant.commands.comparison_files import is_dataset
    from concordant.store.conversation_files import read_dataset_replies, read_replies

    return read_dataset_replies(file) if is_dataset(file) else read_replies(file)


def _scorer(args: argparse.Namespace) -> "RowScorer | Ensemble":
    """The one model, or all of them as an ensemble, whose scores the file itself makes comparable (paper B.2)."""
    from concordant.models.ensemble import Ensemble, load_members

    members = load_members(args.pm, device_of(args))
    if len(members) == 1:
        return members[0]
    usable = (item for row in _rows(args.file) if not row.flaw for item in row.items)
    return Ensemble.around(members, args.combine, usable)


def scored_rows(
    model: "RowScorer | Ensemble", rows: "Iterator[RepliesRow]", tally: Tally, watch: Callable[[int], None]
) -> Iterator[Json]:
    """What goes out for each row: its line, its id if it has one, and ``scores`` or the reason under ``unusable``.

    With an ensemble's scores comes their ``spread``: the standard deviation over its members, one a reply.

    Args:
        model: gives the scores.
        rows: what to score; read a window at a time.
        tally: counts along.
        watch: told how many rows are done.
    """
    from concordant.evaluate.scoring import TOO_LONG

    while window := list(islice(rows, WINDOW)):
        items = [item for row in window for item in row.items]
        before, share = tally.rows, len(window) / max(1, len(items))
        judged = iter(_judge(model, items, partial(_tell, watch, before, share)))
        for row in window:
            parts = list(islice(judged, len(row.items)))
            found = [score for part in parts if part is not None for score in part.scores]
            spread = [spread for part in parts if part is not None for spread in part.spread]
            named = {"line": row.line} | ({} if row.id is None else {"id": row.id})
            flaw = row.flaw or (TOO_LONG if None in parts else "")
            if flaw:
                tally.leave_out(flaw, row.line)
                yield named | {"unusable": flaw}
            else:
                tally.take(found, spread)
                yield named | {"scores": found} | ({"spread": spread} if spread else {})
        watch(tally.rows)


def _judge(
    model: "RowScorer | Ensemble", items: "Sequence[Item]", watch: Callable[[int], None]
) -> "list[Judged | None]":
    """Every item's scores, and their spread where there are several models."""
    from concordant.evaluate.ensemble_scores import Judged, judge_items
    from concordant.evaluate.scoring import score_items
    from concordant.models.ensemble import Ensemble

    if isinstance(model, Ensemble):
        return judge_items(model, items, watch)
    return [None if scores is None else Judged(scores, []) for scores in score_items(model, items, watch)]


def _tell(watch: Callable[[int], None], before: int, share: float, done: int) -> None:
    """Rows done, when so many items of a window are; ``share`` is rows for each item."""
    watch(before + round(share * done))


@contextmanager
def _sink(args: argparse.Namespace, kept: list[Json]) -> Iterator[Callable[[Json], Any]]:
    """Where scored rows go: a file that appears when it is whole, the one JSON object, or standard output."""
    from concordant.store.whole_file import gzip_text, plain_text, whole_file

    if args.out:
        packed = args.out.suffix == ".gz"
        with whole_file(args.out) as temporary, (gzip_text if packed else plain_text)(temporary) as file:
            yield lambda row: file.write(json.dumps(row) + "\n")
    elif args.json:
        yield kept.append
    else:
        yield lambda row: sys.stdout.write(json.dumps(row) + "\n")


def _refuse_out(args: argparse.Namespace) -> None:
    """Raise where the scores could not be written, or would take the place of what is read."""
    if args.out is None:
        return
    if args.out.is_dir():
        raise UserError(f"--out {args.out} is a folder; name a file in it")
    if args.out.exists() and args.file.exists() and args.out.samefile(args.file):
        raise UserError(f"--out {args.out} is the file that is read; name another one")


def _reasons(tally: Tally) -> str:
    return ", ".join(
        f"{found['n']} {reason} (first in line {found['first_line']})" for reason, found in tally.left_out.items()
    )
