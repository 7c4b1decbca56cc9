"""Comparisons out of files that a command was given: the released HH format, or frozen data sets."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concordant.comparison import Preference


def read_comparisons(files: Sequence[Path], objective: str | None = None) -> "tuple[list[Preference], Counter[str]]":
    """(comparisons of all files in order, how many rows were dropped for each reason).

    Args:
        files: HH ``.jsonl[.gz]`` files and frozen data sets, told apart by content.
        objective: what "chosen" means in HH files, helpful if None; of data sets, only these rows are taken.

    Raises:
        UserError: a file is absent or is neither.
    """
    from concordant.comparison import Objective, Tranche
    from concordant.store.datasets import load_dataset
    from concordant.store.hh_files import read_hh

    found: list[Preference] = []
    dropped: Counter[str] = Counter()
    for path in files:
        if is_dataset(path):
            rows = load_dataset(path)
            found += [row for row in rows if objective is None or row.objective == objective]
        else:
            file = read_hh(path, Objective(objective or "helpful"), Tranche.BASE)
            found += file.preferences
            dropped += file.dropped
    return found, dropped


def is_dataset(path: Path) -> bool:
    """Whether a file begins like a frozen data set. One that cannot be read does not."""
    try:
        with gzip.open(path, "rb") as file:
            head = json.loads(file.readline(1_000_000))
    except (OSError, EOFError, zlib.error, ValueError):
        return False
    return isinstance(head, dict) and str(head.get("format", "")).startswith("concordant data set")
