"""Which comparisons a command learns from and is tested on: ``--data``, ``--limit``, ``--split``, ``--test``.

A file is given as ``[helpful=|harmless=]FILE[,WEIGHT]``. Tests are cut off first and parts after, so that two models
made from two parts are tested on the same comparisons, which neither of them saw.
"""

import argparse
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from concordant.commands.prompt_sources import named_files
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.comparison import Preference
    from concordant.mixture import Source

OBJECTIVES = ("helpful", "harmless")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One word of ``--data`` or ``--test``: a file, what "chosen" means in it, its share of a mixture."""

    path: Path
    objective: str | None = None
    weight: float | None = None

    @property
    def name(self) -> str:
        return f"{self.objective}={self.path.name}" if self.objective else self.path.name


@dataclass(frozen=True, slots=True)
class Pool:
    """What a command may learn from, before anything is drawn.

    Attributes:
        sources: one a file, without the openings of the exam.
        exam: comparisons to be tested on.
        dropped: rows that could not be read, or not be used, by reason.
        record: what goes into a run's parents: which files, which part.
    """

    sources: "list[Source]"
    exam: "list[Preference]"
    dropped: Counter[str] = field(default_factory=Counter)
    record: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a command learns from.

    Attributes:
        lessons: comparisons to learn from.
        exam: comparisons to be tested on.
        dropped: rows that could not be read, or not be used, by reason.
        record: goes into the run's parents, so that another selection is refused.
    """

    lessons: "list[Preference]"
    exam: "list[Preference]"
    dropped: dict[str, int]
    record: dict[str, str]


def data_file(text: str) -> DataFile:
    """Parse ``[helpful=|harmless=]FILE[,WEIGHT]``; a word that is the name of a file is that file."""
    if Path(text).exists():
        return DataFile(Path(text))
    head, equals, rest = text.partition("=")
    objective = head if equals and head in OBJECTIVES else None
    name = rest if objective else text
    path, comma, last = name.rpartition(",")
    if Path(name).exists() or not comma:
        return DataFile(Path(name), objective)
    try:
        weight = float(last)
    except ValueError:
        return DataFile(Path(name), objective)
    if not 0 < weight < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} has the weight {last}; a weight is a number above 0")
    return DataFile(Path(path), objective, weight)


def add_data(parser: argparse.ArgumentParser, what: str, required: bool = True) -> None:
    """Add ``--data`` and what chooses among its comparisons."""
    parser.add_argument(
        "--data",
        type=data_file,
        nargs="+",
        required=required,
        metavar="FILE",
        help=f"{what}: HH .jsonl[.gz] or frozen data sets, each as [helpful=|harmless=]FILE[,WEIGHT]",
    )
    parser.add_argument("--objective", choices=OBJECTIVES, help="only comparisons for this objective")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="at most N comparisons, drawn with the config's seed; with weights, exactly N",
    )
    parser.add_argument("--split", metavar="A/B", help="cut --data by opening into two parts, such as 50/50 or 65/35")
    parser.add_argument("--part", choices=("a", "b"), help="the part of --split to learn from")


def add_test(parser: argparse.ArgumentParser) -> None:
    """Add ``--test`` and its kin."""
    parser.add_argument(
        "--test",
        type=data_file,
        nargs="+",
        metavar="FILE",
        help="comparisons to measure on, each as [helpful=|harmless=]FILE",
    )
    parser.add_argument(
        "--test-fraction",
        type=float,
        metavar="F",
        help="instead of --test: keep this share of the openings of --data from training",
    )
    parser.add_argument(
        "--test-limit", type=int, metavar="N", help="at most N test comparisons, drawn with the config's seed"
    )


def select(args: argparse.Namespace, seed: int, ordered: bool = False) -> Selection:
    """Read, cut and draw as the options say.

    Args:
        args: with the options of ``add_data`` and, where there is an exam, ``add_test``.
        seed: of the draw.
        ordered: the comparisons will be learned in this order, so files with weights take turns.

    Raises:
        UserError: options that contradict each other, files that cannot be used, or too few comparisons in them.
    """
    from concordant.mixture import in_order, mix

    pool = read_pool(args)
    mixture = (in_order if ordered else mix)(pool.sources, checked(args.limit, "--limit"), seed)
    record = {**pool.record, "limit": str(args.limit)}
    if any(source.weight is not None for source in pool.sources):
        counted = zip(pool.sources, mixture.counts, strict=True)
        record["mixed"] = ", ".join(f"{count} of {source.name}" for source, count in counted)
    exam = at_most(getattr(args, "test_limit", None), "--test-limit", pool.exam, seed)
    return Selection(mixture.preferences, exam, dict(pool.dropped), record)


def read_pool(args: argparse.Namespace) -> Pool:
    """Everything that the options let a command learn from and be tested on; nothing is drawn yet."""
    from concordant.mixture import Source

    if (args.split is None) != (args.part is None):
        raise UserError("--split and --part go together, as in --split 50/50 --part a")
    dropped: Counter[str] = Counter()
    sources: list[Source] = []
    for file in _distinct(args.data):
        rows = _read(file, args.objective, dropped)
        sources.append(Source(file.name, rows, file.weight))
    pool = Pool(sources, [], dropped, {"data": named_files(args.data), "objective": args.objective or "any"})
    return _cut_part(args, _cut_exam(args, pool))


def _distinct(files: Sequence[DataFile]) -> Sequence[DataFile]:
    """The files, none of them twice: a mixture draws without replacement."""
    for place, file in enumerate(files):
        if any((file.path, file.objective) == (other.path, other.objective) for other in files[:place]):
            raise UserError(f"--data names {file.name} twice; name it once")
    return files


def _read(file: DataFile, objective: str | None, dropped: Counter[str]) -> "list[Preference]":
    from concordant.commands.comparison_files import read_comparisons

    if file.objective and objective and file.objective != objective:
        raise UserError(f"--objective {objective} and {file.name} contradict each other; leave one of them out")
    rows, unread = read_comparisons([file.path], file.objective or objective)
    dropped.update(unread)
    return rows


def _cut_exam(args: argparse.Namespace, pool: Pool) -> Pool:
    """The pool with an exam, no opening of which stands in its sources."""
    from dataclasses import replace

    from concordant.comparison import split_by_opening

    fraction = getattr(args, "test_fraction", None)
    tests = getattr(args, "test", None)
    if tests and any(file.weight is not None for file in tests):
        raise UserError("--test files have no weights; all their comparisons count alike")
    if fraction is not None and (tests or not 0 < fraction < 1):
        raise UserError(f"--test-fraction {fraction} must lie between 0 and 1, and goes without --test")
    if tests:
        found = [row for file in tests for row in _read(file, args.objective, Counter())]
        exam = _unseen([row for source in pool.sources for row in source.rows], found)
        if len(exam) < len(found):
            pool.dropped["test comparison whose opening is trained on"] = len(found) - len(exam)
        return replace(pool, exam=exam)
    if fraction is None:
        return pool
    cuts = [split_by_opening(source.rows, fraction, salt="exam") for source in pool.sources]
    sources = [replace(source, rows=cut[0]) for source, cut in zip(pool.sources, cuts, strict=True)]
    # With another share, other openings are trained on.
    record = {**pool.record, "test_fraction": str(fraction)}
    return Pool(sources, [row for cut in cuts for row in cut[1]], pool.dropped, record)


def _cut_part(args: argparse.Namespace, pool: Pool) -> Pool:
    """The pool with one part of its sources."""
    from dataclasses import replace

    from concordant.mixture import parse_split, part_of

    if args.split is None:
        return pool
    shares, part = parse_split(args.split), _part(args.part)
    sources = [replace(source, rows=part_of(source.rows, shares, part)) for source in pool.sources]
    return replace(pool, sources=sources, record={**pool.record, "split": f"{args.split} {part}"})


def _part(name: str) -> Literal["a", "b"]:
    return "a" if name == "a" else "b"


def named_file(text: str) -> tuple[str, Path]:
    """(NAME, FILE) of one word, for ``argparse``."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} names nothing; write NAME={text}")
    return name, Path(path)


def at_most(limit: int | None, option: str, rows: "list[Preference]", seed: int) -> "list[Preference]":
    """``limit`` of the rows, drawn with the seed; all where there is no limit."""
    import random

    limit = checked(limit, option)
    return rows if limit is None else random.Random(f"limit:{seed}").sample(rows, min(limit, len(rows)))


def checked(limit: int | None, option: str) -> int | None:
    """The limit, if it is one."""
    if limit is not None and limit < 1:
        raise UserError(f"{option} {limit} must be at least 1")
    return limit


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
