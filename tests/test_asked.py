from datetime import date

import pytest
from fastapi import Request

from concordant.collect.asked import Asked
from concordant.comparison import Objective
from concordant.errors import UserError


def asked(query: str) -> Asked:
    return Asked(Request({"type": "http", "path": "/", "query_string": query.encode(), "headers": []}))


def test_what_is_said_is_read() -> None:
    said = asked("t=+x%00y+&o=helpful&n=3&d=2026-11-22&e=&q=%22%22")
    assert (said.text("t"), said.text("none"), said.text("e")) == ("xy", "", "")
    assert (said.maybe("t"), said.maybe("e"), said.maybe("q")) == ("xy", None, "")
    assert said.choice("o", Objective) is Objective.HELPFUL and said.choice("none", Objective) is None
    assert (said.number("n", 1, 4), said.number("none", 1, 4)) == (3, None)
    assert (said.day("d"), said.day("none")) == (date(2026, 11, 22), None)


@pytest.mark.parametrize("number", ["0", "5", "-1", "1.5", "x", "٣", "9" * 50])
def test_a_number_out_of_range_is_said(number: str) -> None:
    with pytest.raises(UserError, match="is not a whole number from 1 to 4"):
        asked(f"n={number}").number("n", 1, 4)


@pytest.mark.parametrize("day", ["banana", "2026-02-30", "22.11.2026", "9999-12-31", "0001-01-01"])
def test_a_day_that_is_none_is_said(day: str) -> None:
    with pytest.raises(UserError, match=f"d '{day}' is not a day"):
        asked(f"d={day}").day("d")


def test_a_word_that_is_not_known_is_said() -> None:
    with pytest.raises(UserError, match="o 'both' is not known here; it is one of helpful, harmless"):
        asked("o=both").choice("o", Objective)
