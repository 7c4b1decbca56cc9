"""Everything that the workers' pages say, from one file: ``words/en.toml``, or another language's put over it.

A file has the same tables and keys; what it leaves out stays English, and a key that is none is an error, so that a
slip of the pen cannot hide. ``{name}`` stands for a value. Left out: researchers' pages, and plural forms beyond one
and many.
"""

import string
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from concordant.comparison import Objective
from concordant.errors import Refusal, UserError

_ENGLISH = Path(__file__).parent / "words/en.toml"


class Messages:
    """The words of one language. Called with a key, such as "start.button", it gives the text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def __call__(self, key: str, **values: object) -> str:
        """The text with its values filled in. A key that does not exist is a defect of the program."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def many(self, key: str, number: int, **values: object) -> str:
        """The text for one (``key.one``) or for another number (``key.many``), in which {n} is the number."""
        return self(f"{key}.{'one' if number == 1 else 'many'}", n=number, **values)

    def of(self, work: str, key: str, **values: object) -> str:
        """The text for a kind of work: ``helpful.key`` or ``harmless.key``."""
        return self(f"{Objective(work).value}.{key}", **values)

    def rows(self, key: str) -> list[str]:
        """The lines of a list, such as the points of the instructions: ``key.1``, ``key.2``, … in order."""
        found: list[str] = []
        while (text := self._texts.get(f"{key}.{len(found) + 1}")) is not None:
            found.append(text)
        return found

    @property
    def keys(self) -> set[str]:
        """All keys."""
        return set(self._texts)


@cache
def english() -> Messages:
    """The built-in words."""
    return Messages(_flat(tomllib.loads(_ENGLISH.read_text())))


def messages(file: Path | None) -> Messages:
    """The words of a file over the English ones; None: English.

    Raises:
        UserError: the file is absent, not TOML, has a key that is none, or fills in a value that is not there.
    """
    own = english()
    if file is None:
        return own
    try:
        texts = _flat(tomllib.loads(file.read_text()))
    except OSError as error:
        raise UserError(f"words file {file} cannot be read ({error.strerror}); check collect.words") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"words file {file} is not TOML: {error}") from None
    for key, text in texts.items():
        if key not in own.keys:
            raise UserError(f"words file {file} has {key!r}, which no page says; the keys are those of words/en.toml")
        strange = _fields(text) - _fields(own(key))
        if strange:
            raise UserError(f"words file {file}, {key!r}: {{{min(strange)}}} stands for nothing there")
    return Messages({key: texts.get(key, own(key)) for key in own.keys})


def refusal(say: Messages, error: UserError) -> str:
    """What a worker reads of a refusal. One that is not meant for workers has no words of theirs, and may name what is
    none of their business, so they read that it did not work, and how to go on."""
    return say(error.key, **error.values) if isinstance(error, Refusal) else say("problem.refused")


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """``{"a": {"b": "text", "c": ["x", "y"]}}`` → ``{"a.b": "text", "a.c.1": "x", "a.c.2": "y"}``."""
    found: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            found |= _flat({str(number): text for number, text in enumerate(value, start=1)}, f"{prefix}{name}.")
        else:
            found[prefix + name] = str(value)
    return found
