"""Files of prompts: one JSON object a line, ``{"messages": [{"role", "content"}, …], "objective", "origin"}``.

``messages`` is what ``datasets`` and every chat template take, and ends on a user's turn. Prompts can be read from
comparisons too, HH files or frozen data sets, whose replies are left away. A row that cannot be used is dropped and
counted.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.comparison import Objective, Preference
from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.prompts import Origin, Prompt
from concordant.store.hh_files import read_lines
from concordant.store.whole_file import gzip_text, plain_text, whole_file

_ROLE = {Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_SPEAKER = {"user": Speaker.HUMAN, "human": Speaker.HUMAN, "assistant": Speaker.ASSISTANT}
_WANTED = 'give a .jsonl or .jsonl.gz file of {"messages", "objective", "origin"} rows'


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What a file held: the prompts, and how many rows were dropped for each reason."""

    prompts: list[Prompt]
    dropped: Counter[str]


def read_prompts(path: Path, objective: Objective | None = None) -> PromptFile:
    """Read a file of prompts.

    Args:
        path: the file, packed or not.
        objective: of rows that name none; helpful if None.

    Raises:
        UserError: the file is absent, cut short, or holds no prompt.
    """
    found = PromptFile([], Counter())
    trouble = "it is empty"
    for number, line in read_lines(path, _WANTED):
        text = line.strip()
        if not text:
            continue
        prompt = _prompt(text, objective or Objective.HELPFUL)
        if isinstance(prompt, Prompt):
            found.prompts.append(prompt)
            continue
        trouble = f"line {number}: {prompt}" if not found.dropped else trouble
        found.dropped[prompt] += 1
    if not found.prompts:
        raise UserError(f"{path} holds no prompt ({trouble}); {_WANTED}")
    return found


def holds_prompts(path: Path) -> bool:
    """Whether a file is one of prompts by its first row, which has messages; an empty file is refused as one."""
    for _, line in read_lines(path, _WANTED):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                return False
            return isinstance(row, dict) and "messages" in row
    return True


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> int:
    """Write prompts, whole or not at all; compressed if the name ends in ``.gz``. Returns their number."""
    number = 0
    with whole_file(path) as temporary, (gzip_text if path.suffix == ".gz" else plain_text)(temporary) as file:
        for prompt in prompts:
            messages = [{"role": _ROLE[turn.speaker], "content": turn.text} for turn in prompt.conversation.turns]
            row = {"messages": messages, "objective": prompt.objective, "origin": prompt.origin}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            number += 1
    return number


def prompts_of(preferences: Iterable[Preference]) -> list[Prompt]:
    """Comparisons with their replies removed, in their order; every turn of a conversation is a prompt of its own."""
    return [Prompt(preference.prompt, preference.objective) for preference in preferences]


def _prompt(text: bytes, objective: Objective) -> Prompt | str:
    """The prompt of a row, or why there is none."""
    try:
        row: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "not JSON"
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return "no list of messages"
    if any(message.get("role") not in _SPEAKER or not isinstance(message.get("content"), str) for message in messages):
        return "a message without role (user or assistant) and text"
    named, origin = row.get("objective", objective), row.get("origin", Origin.HUMAN)
    if named not in list(Objective) or origin not in list(Origin):
        return "unknown objective or origin"
    turns = tuple(Turn(_SPEAKER[message["role"]], message["content"]) for message in messages)
    prompt = Prompt(Conversation(turns), Objective(named), Origin(origin))
    return prompt.flaw() or prompt
