"""What one model has answered, question by question, kept as it comes: a killed measurement asks nothing twice.

An answer is found by what was asked (text, options, limits, seed) and stands in a folder named by the digest of the
model's weights; so a measurement that is begun anew with more tasks, more items or one model more goes on with what is
there, and another model of the same name finds nothing.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from concordant.runs import read_jsonl, write_whole


def key_of(*asked: Any) -> str:
    """The name of a question: 32 hex digits of a SHA-256 of all that the answer depends on, beside the model."""
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Answers:
    """A file of answers, one JSON line each; it only grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = list(read_jsonl(path))
        self._known: dict[str, Any] = {row["key"]: row["answer"] for row in rows}
        if path.exists() and not path.read_bytes().endswith(b"\n"):  # the line that a crash cut short
            write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Any:
        return self._known[key]

    def add(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Keep (key, answer as JSON) pairs, in one write."""
        new = {key: answer for key, answer in answers if key not in self._known}
        with self._path.open("a") as file:
            file.write("".join(json.dumps({"key": key, "answer": answer}) + "\n" for key, answer in new.items()))
        self._known |= new
