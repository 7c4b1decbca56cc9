"""A table of the researcher's pages: columns, rows, an order that a link changes, and the same as a CSV file.

Nothing needs a script: a heading is a link that sorts, a filter is a form, and the address says it all, so it can be
kept and sent to a colleague.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from concordant.collect.room import Room

Row = Mapping[str, Any]
Kind = Literal["text", "n", "share", "range", "when", "long", "id"]
MOST_ROWS = 500
"""Lines of a table on a page; its CSV has all."""

_LINES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        key: of its values in the rows, and its name in the CSV.
        title: its heading; "": only the CSV has it.
        kind: how its values are shown.
        link: where a row's value leads; "" or None: nowhere.
    """

    key: str
    title: str
    kind: Kind = "text"
    link: Callable[[Row], str] | None = None

    @property
    def css(self) -> str:
        """The class of its cells."""
        return {"text": "", "share": "n", "range": "n"}.get(self.kind, self.kind)

    def shown(self, row: Row) -> str:
        """A row's value as text."""
        return shown(row[self.key], self.kind)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table.

    Attributes:
        name: in addresses and file names.
        caption: what it shows, for those who hear it.
        columns: from left to right.
        rows: all of them, in their own order.
        order: a column's key, with "-" in front for the largest first; "": their own order.
        csv: address of the CSV; "": the page's own, with ``csv=NAME``.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    order: str = ""
    csv: str = ""

    def sorted_by(self, order: str) -> "Sheet":
        """The same table in another order; empty values stand last. An order that it does not know changes nothing."""
        key = order.removeprefix("-")
        if key not in {column.key for column in self.columns}:
            return self
        there = sorted((row for row in self.rows if row[key] not in (None, "")), key=lambda row: row[key])
        empty = [row for row in self.rows if row[key] in (None, "")]
        return replace(self, rows=[*(there[::-1] if order.startswith("-") else there), *empty], order=order)

    def next_order(self, column: Column) -> str:
        """What a click on a heading asks for: the largest number first, the first letter first, then the reverse."""
        first, other = column.key, f"-{column.key}"
        if column.kind in ("n", "share", "when"):
            first, other = other, first
        return other if self.order == first else first

    def direction(self, column: Column) -> str:
        """For aria-sort."""
        if self.order.removeprefix("-") != column.key:
            return "none"
        return "descending" if self.order.startswith("-") else "ascending"


@dataclass(frozen=True, slots=True)
class Address:
    """A page's address with what was asked for."""

    path: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, request: Request) -> "Address":
        """The address of a request, without empty fields."""
        fields = [(name, value) for name, value in request.query_params.multi_items() if value and name != "csv"]
        return cls(request.url.path, tuple(fields))

    def but(self, path: str = "", **changes: str) -> str:
        """The same address with some fields set, or ("") left out."""
        fields = [(name, value) for name, value in self.fields if name not in changes]
        fields += [(name, value) for name, value in changes.items() if value]
        return (path or self.path) + (f"?{urlencode(fields)}" if fields else "")


def desk(request: Request, room: Room, page: str, sheets: Iterable[Sheet] = (), **values: Any) -> Response:
    """A page of the desk with its tables, by name in ``sheets``; or with ``?csv=NAME``, that table as a file.

    Args:
        request: its address says which table is sorted how (``sort_NAME``).
        room: what routes share.
        page: the template's name, and the entry of the rail that is marked.
        sheets: the tables.
        values: for the template.
    """
    made: dict[str, Sheet] = {}
    for sheet in sheets:
        made[sheet.name] = sheet.sorted_by(request.query_params.get(f"sort_{sheet.name}", sheet.order))
    wanted = made.get(request.query_params.get("csv", ""))
    if wanted is not None:
        return csv_file(f"{page}-{wanted.name}", [column.key for column in wanted.columns], wanted.rows)
    return desk_page(request, room, page, sheets=made, most_rows=MOST_ROWS, **values)


def desk_page(request: Request, room: Room, page: str, **values: Any) -> HTMLResponse:
    """A page of the desk; ``address`` is where it is."""
    given: dict[str, Any] = {"here": page, "address": Address.of(request)} | values
    return room.page(f"{page}.html", **given)


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Row]) -> StreamingResponse:
    """Rows as a file, sent while they are read.

    Its length is not known beforehand, so it goes out in chunks: where something fails half-way, the last chunk is
    missing and every client reports a broken transfer instead of keeping a short file.
    """
    headers = {"Content-Disposition": f'attachment; filename="{file_name(name)}.csv"'}
    return StreamingResponse(_csv_pieces(columns, rows), media_type="text/csv; charset=utf-8", headers=headers)


def file_name(*parts: str) -> str:
    """A file's name with the day, UTC: letters, digits and what is harmless everywhere."""
    text = "-".join(part for part in (*parts, f"{datetime.now(UTC):%Y-%m-%d}") if part)
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in text)


def _csv_pieces(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for number, row in enumerate(rows, start=1):
        writer.writerow([_cell(row[column]) for column in columns])
        if number % _LINES_AT_ONCE == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _cell(value: object) -> object:
    """A value as a spreadsheet may have it: a text that it would take for a formula gets a quote in front."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, (list, tuple)):
        value = "; ".join(str(one) for one in value)
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def shown(value: Any, kind: Kind = "text") -> str:
    """A value on a page: one way to write numbers, shares and moments (UTC) everywhere."""
    if value is None or value == "" or value == ():
        return "–"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "id":
        return f"{value[:8]}…"
    if isinstance(value, int) and kind == "n":
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
