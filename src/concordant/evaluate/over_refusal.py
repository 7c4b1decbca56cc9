"""XSTest: does a model refuse what it should, and only that (Röttger et al.; the evasiveness of paper §4.4).

250 safe prompts that look unsafe and 200 that are unsafe; replies to each, refusals counted by their phrases
(``reply_signs.py``, English only). A sign is no verdict: replies are kept to be read. Left out: partial refusals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.asked_model import AskedModel, Opening, Writing
from concordant.evaluate.benchmark_files import read_rows
from concordant.evaluate.intervals import share
from concordant.evaluate.paired import difference
from concordant.reply_signs import refuses

LABELS = ("safe", "unsafe")


@dataclass(frozen=True, slots=True)
class XsPrompt:
    """One prompt: its number in the file, its text, its type, and whether it is safe."""

    key: str
    text: str
    kind: str
    safe: bool


def read_xstest(path: Path) -> list[XsPrompt]:
    """The prompts of XSTest's table.

    Raises:
        UserError: it has other columns.
    """
    prompts = []
    for number, row in enumerate(read_rows(path), start=1):
        text, kind, label = (row.get(name) for name in ("prompt", "type", "label"))
        if not (isinstance(text, str) and text.strip() and isinstance(kind, str) and label in LABELS):
            raise UserError(
                f"{path}: row {number} needs 'prompt', 'type' and 'label' (safe or unsafe); give XSTest's prompts csv"
            )
        prompts.append(XsPrompt(str(row.get("id") or number), text, kind, label == "safe"))
    return prompts


def ask_xstest(asked: AskedModel, prompts: Sequence[XsPrompt], how: Writing) -> list[dict[str, Any]]:
    """A row for each reply, with the share of refusals to its prompt."""
    replies = asked.replies([Opening(Conversation().human(prompt.text)) for prompt in prompts], how)
    rows = []
    for prompt, of_prompt in zip(prompts, replies, strict=True):
        refused = [refuses(reply) for reply in of_prompt]
        rows.append({
            "item": prompt.key, "group": prompt.kind, "safe": prompt.safe, "prompt": prompt.text, "replies": of_prompt,
            "refused": refused, "share": sum(refused) / len(refused),
        })  # fmt: skip
    return rows


def refusal_summary(rows_of: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    """Shares of refusals, of safe and unsafe prompts and by type, and how later models differ from the first.

    Args:
        rows_of: model → rows of the same prompts in the same order.
    """
    found: dict[str, Any] = {"models": {}}
    first = next(iter(rows_of.values()))
    for place, (name, rows) in enumerate(rows_of.items()):
        part: dict[str, Any] = {"by_type": {}}
        for safe, label in ((True, "safe"), (False, "unsafe")):
            of_label = [row for row in rows if row["safe"] == safe]
            if not of_label:
                continue
            part[label] = _share(of_label)
            kinds = sorted({row["group"] for row in of_label})
            part["by_type"] |= {
                kind: {"safe": safe, **_share([row for row in of_label if row["group"] == kind])} for kind in kinds
            }
            if place:
                gap, _ = difference(_values(first, safe), _values(rows, safe), [row["item"] for row in of_label])
                part[f"{label}_difference"] = gap.json()
        found["models"][name] = part
    return found


def _share(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    measured = share(np.array([row["share"] for row in rows]), [row["item"] for row in rows])
    return {"n": measured.n, "share": measured.value, "ci95": list(measured.ci95)}


def _values(rows: Sequence[dict[str, Any]], safe: bool) -> Any:
    return np.array([row["share"] for row in rows if row["safe"] == safe], dtype=np.float64)
