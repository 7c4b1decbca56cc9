"""What a command hands back to ``cli.main``, and options that several verbs share."""

import argparse
import math
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Verbs = argparse._SubParsersAction


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command.

    Attributes:
        text: printed on standard output, unless ``--json`` was given.
        json: printed on standard output with ``--json``, as one object.
        status: exit status; other than 0 only where the result itself is a verdict (``doctor``).
    """

    text: str
    json: dict[str, Any] = field(default_factory=dict)
    status: int = 0


SILENCE = Outcome("")
"""Of a process whose leader says it all."""


def for_terminal(text: str) -> str:
    """``text`` with every character that could steer a terminal or turn its line round written out, as in \\x1b.

    Names, messages and model output are other people's words: escape sequences in them move the cursor, change titles
    or hide what was printed before. Line ends and tabs stay; letters of every script stay, and so do the joiners that
    some of them need.
    """
    return "".join(
        ascii(one)[1:-1] if unicodedata.category(one) in ("Cc", "Cf", "Cs") and one not in _HARMLESS else one
        for one in text
    )


_HARMLESS = "\n\t\u200c\u200d\xad"


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: a number that is not finite becomes null, for readers in other languages."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_programme(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path("."),
        metavar="D",
        help="the programme's folder (made by 'concordant init'; default: here)",
    )


def add_overrides(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML with what differs from the defaults")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help=f"one setting, for example {example}",
    )
