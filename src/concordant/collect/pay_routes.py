"""The researcher's page of pay: what everybody earned, who is below the floor, what is owed, and what was paid.

Money does not move here: a payment is recorded after it was made elsewhere, or its file given to a panel.
"""

from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Form, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.collect.csv_answer import csv_answer
from concordant.collect.fields import Field, Said
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.errors import UserError
from concordant.store.pay_book import Order, accounts, add_bonus, by_study, payments, record_payment
from concordant.store.pay_rules import Terms, amount_text, hourly, parse_amount, short_of_floor

router = APIRouter(prefix="/researcher")
MOST_PAYMENTS = 100
LONGEST_REFERENCE = 200


@router.get("/pay")
def pay(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """Accounts of all people, by worker and by study, and the recorded payments."""
    return _pay_page(room)


@router.post("/pay")
def record(
    room: RoomHere,
    staff: ResearcherHere,
    worker: Annotated[list[str], Form(default_factory=list)],
    key: Field = "",
    reference: Field = "",
) -> Response:
    """Record that what was owed to the ticked workers has been paid. A box says who and how much: ``id:units``."""
    chosen = dict(one.partition(":")[::2] for one in worker)
    if not chosen or not all(units.isdecimal() and len(units) < 16 for units in chosen.values()):
        return _pay_page(room, "Tick at least one worker who was paid.")
    expected = sum(map(int, chosen.values()))
    order = Order(key[:64] or uuid4().hex, reference.strip()[:LONGEST_REFERENCE], set(chosen), expected)
    try:
        record_payment(room.db, Terms.of(room.pay), order, staff.id)
    except UserError as error:
        return _pay_page(room, _sentence(error))
    return RedirectResponse("/researcher/pay#payments", 303)


@router.post("/workers/{worker_id}/bonus")
def bonus(
    worker_id: str,
    room: RoomHere,
    staff: ResearcherHere,
    amount: Field = "",
    reason: Field = "",
    key: Field = "",
) -> Response:
    """Let a worker earn something beside the rates."""
    terms = Terms.of(room.pay)
    words = reason.strip()[:LONGEST_REFERENCE]
    if not words:
        raise UserError("say in a few words what the bonus is for; the worker does not see them")
    given = (parse_amount(amount, terms.currency), words, key[:64] or uuid4().hex)
    add_bonus(room.db, terms, worker_id, given, staff.id)
    return RedirectResponse(f"/researcher/workers/{worker_id}#pay", 303)


@router.get("/pay.csv")
def pay_file(room: RoomHere, staff: ResearcherHere) -> Response:
    """Every sitting and bonus with what it earned: a payslip's lines."""
    terms = Terms.of(room.pay)
    head = (
        *("worker", "name", "panel", "participant", "what", "id", "began", "study", "state", "tasks"),
        *("active_seconds", "currency", "earned", "paid"),
    )
    rows = [
        (
            *(account.worker_id, account.name, account.panel, account.participant),
            *("bonus" if item.is_bonus else "sitting", item.id, item.began.isoformat(timespec="seconds")),
            *(item.study, item.state, item.tasks, item.seconds, terms.currency),
            *(amount_text(item.amount, terms.currency), "yes" if item.paid else "no"),
        )
        for account in accounts(room.db, terms)
        for item in account.items
    ]
    return csv_answer("pay.csv", head, rows)


@router.get("/pay-panel.csv")
def panel_file(room: RoomHere, staff: ResearcherHere, key: Said = "") -> Response:
    """Lines ``participant,amount``, as Prolific takes them for bonuses: what is owed, or with ``key`` what was paid."""
    terms = Terms.of(room.pay)
    found = [account for account in accounts(room.db, terms) if account.participant]
    units = {account.worker_id: account.owed for account in found}
    if key:
        units = {
            one.worker_id: one.amount for one in payments(room.db) if (one.key, one.currency) == (key, terms.currency)
        }
        if not units:
            raise HTTPException(404)
    rows = [
        (account.participant, amount_text(units[account.worker_id], terms.currency))
        for account in found
        if units.get(account.worker_id)
    ]
    return csv_answer("pay-panel.csv", (), rows)


def _pay_page(room: Room, problem: str = "") -> HTMLResponse:
    terms = Terms.of(room.pay)
    found = accounts(room.db, terms)
    recorded = payments(room.db)
    return room.page(
        "pay.html",
        409 if problem else 200,
        here="pay",
        terms=terms,
        config=room.pay,
        accounts=[account for account in found if account.items],
        below=[account for account in found if account.short(terms)],
        studies=[
            (one, hourly(one.earned, one.seconds), short_of_floor(terms, one.earned, one.seconds))
            for one in by_study(found)
        ],
        totals={
            "earned": sum(account.earned for account in found),
            "paid": sum(account.paid for account in found),
            "owed": sum(account.owed for account in found),
            "rate": hourly(sum(one.earned for one in found), sum(one.seconds for one in found)),
        },
        payments=recorded[:MOST_PAYMENTS],
        recorded=len(recorded),
        money=lambda units: amount_text(units, terms.currency),
        amount_text=amount_text,
        key=uuid4().hex,
        problem=problem,
    )


def _sentence(error: UserError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
