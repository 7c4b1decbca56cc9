"""Configs: sparse TOML and dotted overrides → one frozen model per stage. An unknown key is an error.

What people write is TOML; what a run writes back (config.json, resolved) is JSON. Left out: the sections themselves, in
``train_config.py`` and ``programme_config.py``.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from concordant.errors import UserError


class Section(BaseModel):
    """Base of every config: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RatedSection(Section):
    """A section whose learning rate may be given as a share of a base rate, as the paper gives its rates."""

    @model_validator(mode="before")
    @classmethod
    def _rate_from_ratio(cls, values: Any) -> Any:
        """The learning rate, where it is not given, from base rate and ratio."""
        if not isinstance(values, dict) or "learning_rate" in values:
            return values
        base, ratio = (values.get(name, cls.model_fields[name].default) for name in ("base_rate", "rate_ratio"))
        if isinstance(base, int | float) and isinstance(ratio, int | float):
            return {**values, "learning_rate": base * ratio}
        return values  # the field that is no number is refused by its own name


C = TypeVar("C", bound=Section)


def load_config(kind: type[C], file: Path | None = None, overrides: Iterable[str] = ()) -> C:
    """A config from its defaults, a TOML file, and ``dotted.key=value`` overrides, the later ones winning.

    Raises:
        UserError: unreadable file, unknown key, or a value out of its range; the message names key and value.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except OSError as error:
            raise UserError(f"config file {file} cannot be read: {error.strerror}; check the path") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"config file {file} is not TOML: {error}") from None
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r} has no '='; write key=value, for example policy.updates=20")
        _set(values, key.strip().split("."), _parse(value), override)
    return _checked(kind, values)


def changed(config: C, changes: Mapping[str, Any]) -> C:
    """The config with other values at some keys of its own, checked as a written one is.

    Raises:
        UserError: unknown key, or a value out of its range.
    """
    return _checked(type(config), {**config.model_dump(), **changes})


def _checked(kind: type[C], values: dict[str, Any]) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(kind, error)) from None


def _parse(text: str) -> Any:
    """A TOML value, or the text itself where it is none: ``lr=2e-5``, ``model=./folder`` and ``model="x"`` all work."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _set(values: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UserError(f"override {override!r}: {name} is a value and has no keys of its own")
        values = inner
    values[path[-1]] = value


def _explain(kind: type[Section], error: ValidationError) -> str:
    """The first problem as one line: key, value, what is allowed."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section: Any = kind
        for part in problem["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        return f"unknown key {key!r}; the keys there are {', '.join(section.model_fields)}"
    said = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    return f"{key} is {problem['input']!r}: {said[:1].lower()}{said[1:]}"
