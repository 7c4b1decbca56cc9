import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import Request

from concordant.collect.sheet import Address, Column, Sheet, csv_file, file_name, shown

WHEN = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)
SHEET = Sheet(
    "s",
    "A table",
    (Column("name", "Name"), Column("n", "n", "n"), Column("id", "")),
    [{"name": "b", "n": 2, "id": 1}, {"name": "a", "n": None, "id": 2}, {"name": "c", "n": 30, "id": 3}],
)


def request(query: str) -> Request:
    return Request({"type": "http", "path": "/p", "query_string": query.encode(), "headers": []})


def ids(sheet: Sheet) -> list[int]:
    return [row["id"] for row in sheet.rows]


def test_an_order_is_a_column_up_or_down_and_empty_values_stand_last() -> None:
    assert ids(SHEET.sorted_by("name")) == [2, 1, 3]
    assert ids(SHEET.sorted_by("-name")) == [3, 1, 2]
    assert ids(SHEET.sorted_by("n")) == [1, 3, 2]
    assert ids(SHEET.sorted_by("-n")) == [3, 1, 2]
    assert ids(SHEET.sorted_by("nothing")) == ids(SHEET.sorted_by("")) == [1, 2, 3]


def test_a_heading_asks_for_the_largest_number_and_the_first_letter_first() -> None:
    name, number, _ = SHEET.columns
    assert (SHEET.next_order(name), SHEET.next_order(number)) == ("name", "-n")
    down = SHEET.sorted_by("-n")
    assert (down.next_order(number), down.direction(number), down.direction(name)) == ("n", "descending", "none")
    assert down.sorted_by("n").direction(number) == "ascending"


def test_an_address_keeps_what_was_asked_for() -> None:
    address = Address.of(request("a=1&b=&c=x%26y&csv=s"))
    assert address.but() == "/p?a=1&c=x%26y"
    assert address.but(a="2") == "/p?c=x%26y&a=2" and address.but(a="", c="") == "/p"
    assert address.but("/q.csv", a="") == "/q.csv?c=x%26y"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1234, "n", "1,234"),
        (1234, "text", "1234"),
        (0, "n", "0"),
        (12.345, "n", "12.3"),
        (0.1234, "share", "12.3 %"),
        (None, "n", "–"),
        ("", "text", "–"),
        (WHEN, "when", "2026-03-01 09:05"),
        (("a", "b"), "text", "a, b"),
        ("0123456789", "id", "01234567…"),
    ],
)
def test_values_are_written_in_one_way(value: object, kind: str, text: str) -> None:
    assert shown(value, kind) == text  # type: ignore[arg-type]


def test_a_file_has_every_row_and_no_formula() -> None:
    rows: list[dict[str, Any]] = [
        {"a": "=1+1", "b": WHEN, "c": ("x", "y")},
        *({"a": n, "b": None, "c": "-"} for n in range(1200)),
    ]
    answer = csv_file("table", ["a", "b", "c"], rows)
    pieces = [piece for piece in _drain(answer)]
    lines = list(csv.reader(io.StringIO("".join(pieces))))
    assert lines[0] == ["a", "b", "c"] and len(lines) == 1202 and len(pieces) == 3
    assert lines[1] == ["'=1+1", "2026-03-01T09:05:07+00:00", "x; y"] and lines[-1] == ["1199", "", "'-"]
    assert "content-length" not in answer.headers, "a file that breaks off is no whole file"


def _drain(answer: object) -> list[str]:
    import asyncio

    async def read() -> list[str]:
        return [piece async for piece in answer.body_iterator]  # type: ignore[attr-defined]

    return asyncio.run(read())


def test_a_files_name_is_harmless() -> None:
    name = file_name("a/b", "", "ü..x")
    assert name.startswith("a_b-_..x-20") and "/" not in name
