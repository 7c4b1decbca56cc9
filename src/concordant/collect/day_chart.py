"""Choices by day as a picture made on the server: bars in SVG, its words selectable, its colours the page's own.

Beyond a quarter of a year a bar is a week. Left out: everything that the table beside it says better.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import ceil

from markupsafe import Markup, escape

MOST_DAYS = 92
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 190, 44, 24, 22
_DATE_WIDTH = 84


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: the first day that it stands for, and the two parts of it."""

    day: date
    helpful: int
    red_team: int


def bars(days: Mapping[str, tuple[int, int]]) -> tuple[list[Bar], str]:
    """(bars, "day" or "week") of (helpful, red-team) choices by day without gaps, oldest first."""
    if len(days) <= MOST_DAYS:
        return [Bar(date.fromisoformat(day), *numbers) for day, numbers in days.items()], "day"
    weeks: dict[date, tuple[int, int]] = {}
    for text, (helpful, red_team) in days.items():
        day = date.fromisoformat(text)
        monday = day - timedelta(days=day.weekday())
        before = weeks.get(monday, (0, 0))
        weeks[monday] = (before[0] + helpful, before[1] + red_team)
    return [Bar(monday, *numbers) for monday, numbers in weeks.items()], "week"


def day_chart(days: Mapping[str, tuple[int, int]]) -> Markup:
    """The picture; "" without a choice."""
    found, unit = bars(days)
    if not any(bar.helpful or bar.red_team for bar in found):
        return Markup("")
    top = _round_up(max(bar.helpful + bar.red_team for bar in found))
    high = _HEIGHT - _BOTTOM - _TOP
    step = (_WIDTH - _LEFT) / max(len(found), 14)
    parts = [
        _axis(value, high * value / top) for value in sorted({0, top // 2, top}) if top % 2 == 0 or value in (0, top)
    ]
    for index, bar in enumerate(found):
        left, foot = _LEFT + index * step, float(_HEIGHT - _BOTTOM)
        title = f"{unit} of {bar.day}" if unit == "week" else f"{bar.day}"
        parts.append(f"<g><title>{title}: {bar.helpful:,} helpful, {bar.red_team:,} red team</title>")
        for kind, number in (("helpful", bar.helpful), ("red", bar.red_team)):
            size = high * number / top
            foot -= size
            if number:
                parts.append(
                    f'<rect class="{kind}" x="{left + step * 0.12:.1f}" y="{foot:.1f}" width="{step * 0.76:.1f}" '
                    f'height="{size:.1f}"/>'
                )
        parts.append("</g>")
    parts += _dates(found, step)
    label = escape(f"Choices by {unit}, helpful and red team")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{_key()}'
        + "".join(parts)
        + "</svg>"
    )


def _round_up(value: int) -> int:
    """The next of 1, 2, 4, 6, 10, 20, 40, 60, 100, …"""
    power = 1
    while True:
        for times in (1, 2, 4, 6):
            if value <= times * power:
                return times * power
        power *= 10


def _axis(value: int, height: float) -> str:
    y = _HEIGHT - _BOTTOM - height
    return (
        f'<path class="axis" d="M{_LEFT} {y:.1f}H{_WIDTH}"/>'
        f'<text class="end" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:,}</text>'
    )


def _dates(found: Sequence[Bar], step: float) -> list[str]:
    """The first bar's day at its left edge, the last one's at its right edge, and some between where there is room."""
    end = len(found) * step
    every = ceil(_DATE_WIDTH / step)
    begins = [index for index in range(0, len(found), every) if index == 0 or end - index * step >= 2 * _DATE_WIDTH]
    places = [("begin", index, index * step) for index in begins]
    if end >= 2 * _DATE_WIDTH:
        places.append(("end", len(found) - 1, end))
    return [
        f'<text class="{kind}" x="{_LEFT + x:.1f}" y="{_HEIGHT - 6}">{found[index].day}</text>'
        for kind, index, x in places
    ]


def _key() -> str:
    y = 10
    return (
        f'<rect class="helpful" x="{_LEFT}" y="{y - 8}" width="10" height="10"/>'
        f'<text x="{_LEFT + 15}" y="{y + 1}">helpful</text>'
        f'<rect class="red" x="{_LEFT + 80}" y="{y - 8}" width="10" height="10"/>'
        f'<text x="{_LEFT + 95}" y="{y + 1}">red team</text>'
    )
