"""The researcher's pages about workers: the table of all, one worker's page, links, permits, erasure (paper App. D).

Names and panels' ids stand here and nowhere else. Left out: judging what somebody wrote; pay and messages have routes
of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import uuid4

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel

from concordant.collect.csv_answer import csv_answer
from concordant.collect.fields import Field
from concordant.collect.room import ResearcherHere, Room, RoomHere, aside
from concordant.errors import UserError
from concordant.store.audit import acts
from concordant.store.erasure import erase, erasure_of, written_by
from concordant.store.holdings import holdings
from concordant.store.letters import thread
from concordant.store.overview import talk_summaries
from concordant.store.pay_book import Account, accounts, payments
from concordant.store.pay_rules import Terms, amount_text, money
from concordant.store.people import WorkerKind, end_links, invite, permit_edits
from concordant.store.workforce import WorkerLine, agreements, talks_of, worker_line, workforce

router = APIRouter(prefix="/researcher")
MOST_WORKERS = 500
"""Lines of the table; the CSV has all."""
MOST_TALKS = 20


class Wanted(BaseModel):
    """Which workers in which order, as the address has it."""

    q: str = ""
    kind: str = ""
    source: str = ""
    sort: str = "last"
    order: str = ""


WantedHere = Annotated[Wanted, Query()]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the work, and the pay where there is any."""

    line: WorkerLine
    account: Account | None


def _number(value: float | None) -> float:
    return -1.0 if value is None else float(value)


_KEYS: Mapping[str, tuple[str, Callable[[Row], Any]]] = {
    "name": ("Worker", lambda row: row.line.name.casefold()),
    "kind": ("Kind", lambda row: row.line.kind.value),
    "source": ("From", lambda row: row.line.source.casefold()),
    "first": ("First day", lambda row: "" if row.line.work.first is None else row.line.work.first.isoformat()),
    "last": ("Last day", lambda row: "" if row.line.work.last is None else row.line.work.last.isoformat()),
    "tasks": ("Tasks", lambda row: row.line.work.tasks),
    "choices": ("Choices", lambda row: row.line.work.choices),
    "red": ("Red team", lambda row: _number(row.line.work.red_share)),
    "minutes": ("Active min", lambda row: row.line.seconds),
    "message": ("s a message", lambda row: _number(row.line.pace.message)),
    "choice": ("s a choice", lambda row: _number(row.line.pace.choice)),
    "earned": ("Earned", lambda row: 0 if row.account is None else row.account.earned),
    "owed": ("Owed", lambda row: 0 if row.account is None else row.account.owed),
}
"""What the table can be sorted by: name in the address → (head, key)."""
_TEXTS = ("name", "kind", "source")


@router.get("/workers")
def workers(room: RoomHere, staff: ResearcherHere, wanted: WantedHere) -> HTMLResponse:
    """Every worker, sorted and filtered by the address."""
    return _workers_page(room, wanted)


@router.post("/workers")
def new_worker(request: Request, room: RoomHere, staff: ResearcherHere, id: Field = "", name: Field = "") -> Response:
    """Make a person and show their link, once. It stands in this answer alone, so that no address keeps it."""
    try:
        token = invite(room.db, id[:64] or uuid4().hex, name, staff.id)
    except UserError as error:
        return _workers_page(room, Wanted(), str(error))
    return _link_page(request, room, name.strip(), token)


@router.get("/workers.csv")
def workers_file(room: RoomHere, staff: ResearcherHere, wanted: WantedHere) -> Response:
    """The table as a file, sorted and filtered alike."""
    terms = Terms.of(room.pay)
    head = (
        *("worker", "name", "kind", "source", "participant", "first", "last", "tasks", "conversations", "choices"),
        *("red_team", "active_seconds", "message_seconds", "messages", "choice_seconds", "first_choices", "marks"),
        *("currency", "earned", "paid", "owed"),
    )
    rows = _rows(room, wanted, workforce(room.db, terms.idle_seconds))
    return csv_answer("workers.csv", head, [_cells(row, terms) for row in rows])


@router.get("/workers/{worker_id}")
def worker(worker_id: str, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """One worker: their talks, sittings, pay, messages, agreements."""
    return _worker_page(room, worker_id)


@router.post("/workers/{worker_id}/link")
def new_link(worker_id: str, request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """End every link that the worker has, and show a new one, once."""
    line = _line(room, worker_id)
    try:
        token = end_links(room.db, worker_id, staff.id)
    except UserError as error:
        return _worker_page(room, worker_id, str(error))
    return _link_page(request, room, line.name, token)


@router.post("/workers/{worker_id}/edits")
def edits(worker_id: str, room: RoomHere, staff: ResearcherHere, allow: Field = "") -> Response:
    """Let a worker rewrite replies, or no longer."""
    permit_edits(room.db, _line(room, worker_id).id, bool(allow), staff.id)
    return RedirectResponse(f"/researcher/workers/{worker_id}", 303)


@router.get("/workers/{worker_id}/erase")
def before_erasing(worker_id: str, room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """What would be erased, what stays, and which data sets and models hold it."""
    return _erase_page(room, worker_id)


@router.post("/workers/{worker_id}/erase")
async def erase_text(
    worker_id: str, room: RoomHere, staff: ResearcherHere, sure: Field = "", keep_replies: Field = ""
) -> Response:
    """Erase a person's text, if the second step was taken."""

    def work() -> Response:
        _line(room, worker_id)
        if not sure:
            return _erase_page(room, worker_id, "Tick the box first: what is erased cannot be brought back.")
        erase(room.db, worker_id, staff.id, replies=not keep_replies)
        return RedirectResponse(f"/researcher/workers/{worker_id}/erase", 303)

    return await aside(work)  # the store's file is written anew, however large it is


def _workers_page(room: Room, wanted: Wanted, problem: str = "") -> HTMLResponse:
    terms = Terms.of(room.pay)
    lines = workforce(room.db, terms.idle_seconds)
    rows = _rows(room, wanted, lines)
    heads = [
        {
            "name": name,
            "label": label,
            "address": _address(wanted, name),
            "sorted": "" if wanted.sort != name else "descending" if _is_descending(wanted) else "ascending",
            "number": name not in (*_TEXTS, "first", "last"),
        }
        for name, (label, _) in _KEYS.items()
        if terms.is_set or name not in ("earned", "owed")
    ]
    return room.page(
        "workers.html",
        422 if problem else 200,
        here="workers",
        rows=rows[:MOST_WORKERS],
        found=len(rows),
        most=MOST_WORKERS,
        heads=heads,
        wanted=wanted,
        kinds=[kind.value for kind in WorkerKind],
        sources=sorted({line.source for line in lines}),
        terms=terms,
        money=lambda units: amount_text(units, terms.currency),
        file=f"/researcher/workers.csv?{urlencode(wanted.model_dump())}",
        new_id=uuid4().hex,
        problem=_sentence(problem),
    )


def _rows(room: Room, wanted: Wanted, lines: Sequence[WorkerLine]) -> list[Row]:
    terms = Terms.of(room.pay)
    paid = {account.worker_id: account for account in accounts(room.db, terms)} if terms.is_set else {}
    rows = [
        Row(line, paid.get(line.id))
        for line in lines
        if (not wanted.kind or line.kind.value == wanted.kind)
        and (not wanted.source or line.source == wanted.source)
        and wanted.q.casefold() in f"{line.name} {line.id} {line.participant}".casefold()
    ]
    _, key = _KEYS.get(wanted.sort, _KEYS["last"])
    return sorted(rows, key=key, reverse=_is_descending(wanted))


def _is_descending(wanted: Wanted) -> bool:
    """Numbers and days begin with the largest, texts with A, unless the address says otherwise."""
    return wanted.order == "down" if wanted.order in ("up", "down") else wanted.sort not in _TEXTS


def _address(wanted: Wanted, name: str) -> str:
    """Where a head leads: sorted by it, and turned round where it is already."""
    order = ("up" if _is_descending(wanted) else "down") if wanted.sort == name else ""
    return f"/researcher/workers?{urlencode({**wanted.model_dump(), 'sort': name, 'order': order})}"


def _cells(row: Row, terms: Terms) -> Sequence[object]:
    line, work, pace, account = row.line, row.line.work, row.line.pace, row.account
    days = ["" if at is None else at.date().isoformat() for at in (work.first, work.last)]
    pay = ["", "", "", ""]
    if account is not None:
        amounts = (account.earned, account.paid, account.owed)
        pay = [terms.currency, *(amount_text(one, terms.currency) for one in amounts)]
    return (
        *(line.id, line.name, line.kind.value, line.source, line.participant, *days),
        *(work.tasks, work.begun, work.choices, work.red_team, line.seconds),
        *("" if pace.message is None else pace.message, pace.messages),
        *("" if pace.choice is None else pace.choice, pace.choices, ", ".join(line.marks), *pay),
    )


def _line(room: Room, worker_id: str) -> WorkerLine:
    try:
        return worker_line(room.db, Terms.of(room.pay).idle_seconds, worker_id)
    except UserError:
        raise HTTPException(404) from None


def _worker_page(room: Room, worker_id: str, problem: str = "") -> HTMLResponse:
    line, terms = _line(room, worker_id), Terms.of(room.pay)
    account = next(iter(accounts(room.db, terms, worker_id)), None)
    return room.page(
        "worker_record.html",
        409 if problem else 200,
        here="workers",
        line=line,
        account=account,
        terms=terms,
        money=lambda units: amount_text(units, terms.currency),
        payments=payments(room.db, worker_id),
        talks=talk_summaries(room.db, talks_of(room.db, worker_id, MOST_TALKS)),
        most=MOST_TALKS,
        agreements=agreements(room.db, worker_id),
        current=room.consent.digest,
        letters=len(thread(room.db, worker_id)),
        acts=acts(room.db, 20, worker_id),
        key=uuid4().hex,
        problem=_sentence(problem),
    )


def _erase_page(room: Room, worker_id: str, problem: str = "") -> HTMLResponse:
    line, terms = _line(room, worker_id), Terms.of(room.pay)
    owed = sum(account.owed for account in accounts(room.db, terms, worker_id))
    return room.page(
        "erase.html",
        422 if problem else 200,
        here="workers",
        line=line,
        written=written_by(room.db, worker_id),
        erasure=erasure_of(room.db, worker_id),
        held=holdings(room.db, worker_id, room.runs),
        owed=money(owed, terms.currency) if owed else "",
        problem=problem,
    )


def _link_page(request: Request, room: Room, name: str, token: str) -> HTMLResponse:
    address = str(request.base_url).rstrip("/")
    return room.page("new_link.html", here="workers", name=name, address=f"{address}/w/{token}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text and not text.endswith(".") else text
