"""The items of the HHH alignment evaluation out of files (paper §3.4): 221 pairs in four categories.

Two forms: JSON lines of ``{"category", "prompt", "chosen", "rejected"}``, and BIG-bench's task files, one for each
category, whose examples give an ``input`` and ``target_scores`` (a row with ``input`` and ``targets`` of ``choices``
and ``labels`` is the same). A row that cannot be used is dropped and counted. The items themselves are not part of this
package; they are for a final measurement, so nothing should be chosen by them.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError

CATEGORIES = ("helpful", "honest", "harmless", "other")
"""In the order in which they are shown."""

_WANTED = 'give JSON lines of {"category", "prompt", "chosen", "rejected"}, or task files of BIG-bench'
_GZIP_MAGIC = b"\x1f\x8b"


class _Unusable(Exception):
    """Why a row is dropped."""


@dataclass(frozen=True, slots=True)
class HHHItem:
    """One item.

    Attributes:
        number: its place in the files together, from 1, dropped rows counted.
        category: one of ``CATEGORIES``.
        preference: the pair; side ``a`` is the correct reply.
    """

    number: int
    category: str
    preference: Preference


def read_hhh(files: Sequence[Path]) -> tuple[list[HHHItem], Counter[str]]:
    """(items of all files in order, rows dropped by reason).

    Raises:
        UserError: a file is absent or not text, or no item is found.
    """
    items: list[HHHItem] = []
    dropped: Counter[str] = Counter()
    number = 0
    for path in files:
        for row, category in _rows(path):
            number += 1
            try:
                items.append(_item(number, row, category))
            except _Unusable as reason:
                dropped[str(reason)] += 1
    if not items:
        why = ", ".join(f"{count} {reason}" for reason, count in dropped.items()) or "empty"
        raise UserError(f"{', '.join(map(str, files))}: no item of the HHH evaluation ({why}); {_WANTED}")
    return items, dropped


def _rows(path: Path) -> Iterator[tuple[Any, str | None]]:
    """(row, the category that its file stands for), the row None where a line is not JSON."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {_WANTED}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; {_WANTED}") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); {_WANTED}") from None
    whole = _parsed(text)
    if isinstance(whole, dict) and isinstance(whole.get("examples"), list):
        category = _category_named_by(str(whole.get("name", "")), path.stem, path.parent.name)
        yield from ((row, category) for row in whole["examples"])
        return
    category = _category_named_by(path.stem.removesuffix(".jsonl"), path.parent.name)
    yield from ((_parsed(line), category) for line in text.splitlines() if line.strip())


def _parsed(text: str) -> Any:
    """The JSON value, or None."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _category_named_by(*names: str) -> str | None:
    """The category that stands as a word in the first name that holds exactly one."""
    for name in names:
        found = set(re.split(r"[^a-z]+", name.casefold())) & set(CATEGORIES)
        if len(found) == 1:
            return found.pop()
    return None


def _item(number: int, row: Any, category: str | None) -> HHHItem:
    if not isinstance(row, dict):
        raise _Unusable("not a JSON object")
    category = row.get("category", category)
    if category not in CATEGORIES:
        raise _Unusable(f"no category out of {', '.join(CATEGORIES)}")
    prompt, chosen, rejected = _texts(row)
    objective = Objective.HARMLESS if category == "harmless" else Objective.HELPFUL
    comparison = Comparison(Conversation.from_text(prompt), chosen, rejected)
    preference = Preference(comparison, "a", objective, source=category)
    flaw = preference.flaw()
    if flaw is not None:
        raise _Unusable(flaw)
    return HHHItem(number, category, preference)


def _texts(row: dict[str, Any]) -> tuple[str, str, str]:
    """(prompt, correct reply, incorrect reply)."""
    if "input" in row:
        prompt = row["input"]
        chosen, rejected = _targets(row)
    else:
        prompt, chosen, rejected = (row.get(key) for key in ("prompt", "chosen", "rejected"))
    if not (isinstance(prompt, str) and isinstance(chosen, str) and isinstance(rejected, str)):
        raise _Unusable("no prompt, correct and incorrect reply")
    return prompt, chosen, rejected


def _targets(row: dict[str, Any]) -> tuple[Any, Any]:
    """(the target of the higher score, the other one)."""
    scores, targets = row.get("target_scores"), row.get("targets")
    choices: Any = None
    labels: Any = None
    if isinstance(scores, dict):
        choices, labels = list(scores.keys()), list(scores.values())
    elif isinstance(targets, dict):
        choices, labels = targets.get("choices"), targets.get("labels")
    if not (isinstance(choices, list) and isinstance(labels, list) and len(choices) == len(labels) == 2):
        raise _Unusable("not two targets")
    if not all(isinstance(label, int | float) for label in labels) or labels[0] == labels[1]:
        raise _Unusable("not one correct target")
    return (choices[0], choices[1]) if labels[0] > labels[1] else (choices[1], choices[0])
