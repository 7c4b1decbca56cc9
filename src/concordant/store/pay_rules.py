"""What work earns: pure arithmetic over whole numbers of a currency's smallest unit (paper App. D: by task or by hour).

By task, a whole conversation earns the amount, a red-team one the extra on top, and one that was not finished
``part`` of that times choices made over choices wanted; where a failure of ours broke it off, all of it if the
programme says so. By hour, active seconds earn (``activity.py`` has their rule), and red-team conversations the extra
likewise. Sums of fractions are rounded up, once for each sitting, in favour of who worked.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

from concordant.errors import UserError
from concordant.programme_config import PayConfig, decimals


@dataclass(frozen=True, slots=True)
class Terms:
    """``[pay]`` in whole numbers of the smallest unit.

    Attributes:
        currency: three letters.
        mode: by task or by hour.
        amount: of a whole task, or of an hour.
        red_team_extra: of a whole red-team task.
        part: share of its pay that an unfinished task can earn.
        broken_whole: whether a task that a failure of ours broke off earns all of it.
        floor: lowest acceptable pay of an active hour; 0: none.
        idle_seconds: longest gap between two signs of life that counts as work.
    """

    currency: str
    mode: Literal["task", "hour"]
    amount: int
    red_team_extra: int = 0
    part: Fraction = Fraction(1)
    broken_whole: bool = True
    floor: int = 0
    idle_seconds: int = 600

    @classmethod
    def of(cls, config: PayConfig) -> "Terms":
        """From the programme's settings, which are known to fit the currency."""
        return cls(
            currency=config.currency,
            mode=config.mode,
            amount=_units(config.amount, config.currency),
            red_team_extra=_units(config.red_team_extra, config.currency),
            part=Fraction(config.part),
            broken_whole=config.broken == "whole",
            floor=_units(config.floor, config.currency),
            idle_seconds=60 * config.idle_minutes,
        )

    @property
    def is_set(self) -> bool:
        """Whether work earns anything here."""
        return self.amount > 0


@dataclass(frozen=True, slots=True)
class Task:
    """One conversation of a sitting that is over. ``broke``: it was the one that a failure of ours broke off."""

    red_team: bool
    choices: int
    turns: int
    broke: bool = False

    @property
    def whole(self) -> bool:
        """It has all its choices."""
        return self.choices >= self.turns


def earned(terms: Terms, tasks: Sequence[Task], active_seconds: int) -> int:
    """What a sitting earns, in smallest units; never negative.

    Args:
        terms: of pay.
        tasks: its conversations.
        active_seconds: by the rule of ``activity.py``.
    """
    shares = [(task, _share(terms, task)) for task in tasks]
    extra = sum((share * terms.red_team_extra for task, share in shares if task.red_team), Fraction(0))
    if terms.mode == "hour":
        return math.ceil(Fraction(terms.amount * active_seconds, 3600) + extra)
    return math.ceil(sum((share * terms.amount for _, share in shares), Fraction(0)) + extra)


def _share(terms: Terms, task: Task) -> Fraction:
    if task.whole or (task.broke and terms.broken_whole):
        return Fraction(1)
    return terms.part * Fraction(task.choices, task.turns)


def hourly(units: int, active_seconds: int) -> Fraction | None:
    """Effective pay of an active hour, in smallest units; None where no time was counted."""
    return Fraction(3600 * units, active_seconds) if active_seconds else None


def short_of_floor(terms: Terms, units: int, active_seconds: int) -> int:
    """What would lift the pay of so many seconds to the floor; 0: it stands there already."""
    return max(0, math.ceil(Fraction(terms.floor * active_seconds, 3600)) - units)


def amount_text(units: int | Fraction, currency: str) -> str:
    """An amount as a plain decimal, such as 12.40; a fraction of the smallest unit is rounded to the nearest."""
    places = decimals(currency)
    whole = units if isinstance(units, int) else math.floor(units + Fraction(1, 2))
    return str(Decimal(whole).scaleb(-places)) if places else str(whole)


def money(units: int | Fraction, currency: str) -> str:
    """The same with its currency: 12.40 EUR."""
    return f"{amount_text(units, currency)} {currency}"


def parse_amount(text: str, currency: str) -> int:
    """Smallest units of what somebody typed.

    Raises:
        UserError: it is no amount above 0, or finer than the currency's smallest unit.
    """
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        value = Decimal("NaN")
    # A bound as well: Decimal("1e999999999") is finite, and as a whole number would fill the memory.
    fits = value.is_finite() and 0 < value < Decimal(10) ** 12
    if not fits or value != round(value, decimals(currency)):
        raise UserError(f"{text[:40]!r} is no amount of {currency}; write one such as {amount_text(250, currency)}")
    return _units(value, currency)


def _units(value: Decimal, currency: str) -> int:
    return int(value.scaleb(decimals(currency)))
