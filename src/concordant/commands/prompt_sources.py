"""Prompts out of files that a command was given, of prompts or comparisons; and inputs named by their content."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concordant.commands.data_selection import DataFile
    from concordant.prompts import Prompt


def prompts_in(files: "Sequence[DataFile]") -> "tuple[list[Prompt], Counter[str]]":
    """(prompts of all files in order, how many rows were dropped for each reason).

    Args:
        files: files of prompts, HH files and frozen data sets, told apart by content; of comparisons the replies are
            left away.

    Raises:
        UserError: a file is absent, or is none of these.
    """
    from concordant.commands.comparison_files import is_dataset, read_comparisons
    from concordant.comparison import Objective
    from concordant.store.prompt_files import holds_prompts, prompts_of, read_prompts

    found: list[Prompt] = []
    dropped: Counter[str] = Counter()
    for file in files:
        if not is_dataset(file.path) and holds_prompts(file.path):
            of_file = read_prompts(file.path, Objective(file.objective) if file.objective else None)
            found += of_file.prompts
            dropped += of_file.dropped
        else:
            rows, unread = read_comparisons([file.path], file.objective)
            found += prompts_of(rows)
            dropped += unread
    return found, dropped


def digest(path: Path) -> str:
    """The beginning of a file's SHA-256, 12 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def named_files(files: "Sequence[DataFile]") -> str:
    """Files by name and content, with their weights where they have some."""
    weights = ["" if file.weight is None else f" × {file.weight:g}" for file in files]
    return ", ".join(f"{file.name}@{digest(file.path)}{weight}" for file, weight in zip(files, weights, strict=True))


def in_words(counts: "Counter[str]") -> str:
    """``2 duplicate, 1 not JSON``."""
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(counts.items()))
