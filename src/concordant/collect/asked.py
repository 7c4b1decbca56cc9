"""What a researcher asked for in a page's address. A value that means nothing is said, never passed over: a filter that
silently did nothing would make every number on the page a lie."""

from datetime import date
from enum import StrEnum
from typing import TypeVar

from fastapi import Request

from concordant.errors import UserError

_Choice = TypeVar("_Choice", bound=StrEnum)


class Asked:
    """The fields of an address; an absent one and an empty one are the same."""

    def __init__(self, request: Request) -> None:
        self._fields = request.query_params

    def text(self, name: str) -> str:
        """What a field says, without white space around it and without characters that a store cannot hold."""
        return self._fields.get(name, "").replace("\x00", "").strip()

    def maybe(self, name: str) -> str | None:
        """The same, None where it is empty; two quotes stand for the empty text itself."""
        said = self.text(name)
        return None if not said else "" if said == '""' else said

    def choice(self, name: str, kind: type[_Choice]) -> _Choice | None:
        """One of a few words.

        Raises:
            UserError: it is none of them.
        """
        said = self.text(name)
        if said and said not in list(kind):
            raise UserError(f"{name} {said!r} is not known here; it is one of {', '.join(kind)}")
        return kind(said) if said else None

    def number(self, name: str, low: int, high: int) -> int | None:
        """A whole number.

        Raises:
            UserError: it is none, or out of range.
        """
        said = self.text(name)
        if said and not (said.isascii() and said.isdecimal() and low <= int(said[:9]) <= high):
            raise UserError(f"{name} {said!r} is not a whole number from {low} to {high}")
        return int(said) if said else None

    def day(self, name: str) -> date | None:
        """A day.

        Raises:
            UserError: it is none.
        """
        said = self.text(name)
        try:
            day = date.fromisoformat(said) if said else None
        except ValueError:
            day = date.max
        if day is not None and not 1900 < day.year < 9000:
            raise UserError(f"{name} {said!r} is not a day; write it as 2026-11-22")
        return day
