"""Prompts out of files that a command was given: conversations in any form that is read, or frozen data sets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.conversation import Conversation
    from concordant.store.conversation_files import PromptRow

PROMPTS = 'a frozen data set, or .jsonl[.gz] with rows of {"prompt"}, {"chosen", "rejected"} or {"messages"}'


def prompt_rows(path: Path) -> "Iterator[PromptRow]":
    """The prompt of each row of a file.

    Raises:
        UserError: the file is absent or damaged.
    """
    from concordant.commands.comparison_files import is_dataset
    from concordant.store.conversation_files import PromptRow, read_dataset_replies, read_prompts

    if not is_dataset(path):
        yield from read_prompts(path)
        return
    for row in read_dataset_replies(path):
        yield PromptRow(row.line, row.id, row.items[0][0])


def read_prompt_files(paths: Sequence[Path]) -> "tuple[list[tuple[Conversation, str]], Counter[str]]":
    """((prompt, name of its file) of all files in order, rows that could not be used by reason).

    Raises:
        UserError: a file is absent, or holds no prompt.
    """
    found: list[tuple[Conversation, str]] = []
    dropped: Counter[str] = Counter()
    for path in paths:
        before = len(found)
        for row in prompt_rows(path):
            if row.prompt is None:
                dropped[row.flaw] += 1
            else:
                found.append((row.prompt, path.name))
        if len(found) == before:
            raise UserError(f"{path} holds no prompt; give {PROMPTS}")
    return found, dropped
