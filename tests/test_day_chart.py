import itertools
import re
from datetime import date, timedelta
from xml.etree import ElementTree

from concordant.collect.day_chart import MOST_DAYS, bars, day_chart


def days(number: int) -> dict[str, tuple[int, int]]:
    return {(date(2026, 1, 1) + timedelta(days=n)).isoformat(): (n, 1) for n in range(number)}


def test_every_bar_is_as_high_as_its_number() -> None:
    svg = day_chart({"2026-01-01": (30, 10), "2026-01-02": (0, 0), "2026-01-03": (20, 0)})
    root = ElementTree.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))
    groups = root.findall("{*}g")
    assert [group.findtext("{*}title") for group in groups] == [
        "2026-01-01: 30 helpful, 10 red team",
        "2026-01-02: 0 helpful, 0 red team",
        "2026-01-03: 20 helpful, 0 red team",
    ]
    heights = [[float(bar.attrib["height"]) for bar in group.findall("{*}rect")] for group in groups]
    assert heights[1] == [] and heights[0][0] == 3 * heights[0][1] == 1.5 * heights[2][0]
    words = [text.text for text in root.findall("{*}text")]
    assert {"0", "20", "40", "2026-01-01", "helpful", "red team"} <= set(words)
    assert "style=" not in svg, "the page's policy forbids it"


def test_many_days_are_weeks() -> None:
    assert bars(days(MOST_DAYS))[1] == "day"
    found, unit = bars(days(MOST_DAYS + 8))
    assert unit == "week" and all(bar.day.weekday() == 0 for bar in found)
    assert sum(bar.red_team for bar in found) == MOST_DAYS + 8
    # 1 January 2026 was a Thursday: four days, 0 + 1 + 2 + 3
    assert (found[0].day, found[0].helpful, found[0].red_team) == (date(2025, 12, 29), 6, 4)


def test_dates_never_run_into_each_other() -> None:
    for number in (1, 2, 7, 14, 31, 60, 92, 700):
        svg = str(day_chart(days(number)))
        places = sorted(
            (float(x) - (76 if kind == "end" else 0))
            for kind, x in re.findall(r'<text class="(begin|end)" x="([\d.]+)" y="184">', svg)
        )
        assert places and all(after - before >= 76 for before, after in itertools.pairwise(places)), number


def test_nothing_is_drawn_of_nothing() -> None:
    assert day_chart({}) == "" and day_chart({"2026-01-01": (0, 0)}) == ""
