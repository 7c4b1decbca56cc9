"""Who earned what, what was paid, and what is owed: sittings and bonuses on one side, recorded payments on the other.

A sitting counts once it is over, or has shown no sign of life for ``SILENT_HOURS``; a payment ends such a one first.
What a paid sitting earned is what was paid for it, whatever the rates become; the database takes no sitting and no
bonus into two payments. Only people are paid. Left out: sending money anywhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.activity import active_seconds
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.day_tables import ParticipantRow, SittingRow
from concordant.store.pay_rules import Task, Terms, earned, hourly, short_of_floor
from concordant.store.people import WorkerKind
from concordant.store.people_tables import MARKER, BonusRow, PaymentLineRow, PaymentRow
from concordant.store.sittings import Outcome, end_sitting
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, TalkRow, WorkerRow, new_id, utc_now

SILENT_HOURS = 2
"""An open sitting without a sign of life for so long counts as abandoned; coming back before it is paid, it goes on."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that earns: a sitting or a bonus.

    Attributes:
        id: of the sitting or the bonus.
        is_bonus: which of the two.
        worker_id: whose it is.
        began: when, UTC.
        study: the panel's study; "" without one.
        state: how the sitting ended, "open", or the bonus's reason.
        tasks: whole conversations.
        seconds: active time.
        amount: earned, smallest units; 0 while it is open.
        paid: whether a payment has it.
    """

    id: str
    is_bonus: bool
    worker_id: str
    began: datetime
    study: str
    state: str
    tasks: int
    seconds: int
    amount: int
    paid: bool


@dataclass(frozen=True, slots=True)
class Account:
    """One worker's work and pay, in smallest units of the terms' currency."""

    worker_id: str
    name: str
    panel: str
    participant: str
    items: tuple[Item, ...]

    @property
    def earned(self) -> int:
        return sum(item.amount for item in self.items)

    @property
    def paid(self) -> int:
        return sum(item.amount for item in self.items if item.paid)

    @property
    def owed(self) -> int:
        return self.earned - self.paid

    @property
    def seconds(self) -> int:
        """Active time of what has been counted: open sittings have earned nothing yet."""
        return sum(item.seconds for item in self.items if item.state != "open")

    @property
    def rate(self) -> Fraction | None:
        """Effective pay of an active hour, bonuses included."""
        return hourly(self.earned, self.seconds)

    def short(self, terms: Terms) -> int:
        """What would lift it to the floor."""
        return short_of_floor(terms, self.earned, self.seconds)


@dataclass(frozen=True, slots=True)
class StudyPay:
    """All sittings of one study. ``study`` "": of no panel's study."""

    study: str
    workers: int
    sittings: int
    seconds: int
    earned: int


@dataclass(frozen=True, slots=True)
class Payment:
    """One worker's part of a recorded payment."""

    key: str
    worker_id: str
    name: str
    amount: int
    currency: str
    reference: str
    staff_id: str
    lines: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be recorded as paid.

    Attributes:
        key: of the payment; the same key again changes nothing.
        reference: how the money went: a transfer's number, a panel's.
        workers: whose owed pay; None: everybody's.
        expected: the sum that was agreed to, smallest units; None: whatever is owed.
    """

    key: str
    reference: str
    workers: Collection[str] | None = None
    expected: int | None = None


def accounts(db: Database, terms: Terms, worker_id: str | None = None) -> list[Account]:
    """Of every person (or of one), in the order in which they came."""
    with db.read() as session:
        return _accounts(session, terms, worker_id)


def by_study(accounts: Sequence[Account]) -> list[StudyPay]:
    """The counted sittings, gathered by study; bonuses belong to none."""
    found: dict[str, list[Item]] = {}
    for account in accounts:
        for item in account.items:
            if not item.is_bonus and item.state != "open":
                found.setdefault(item.study, []).append(item)
    return [
        StudyPay(
            study,
            len({item.worker_id for item in items}),
            len(items),
            sum(item.seconds for item in items),
            sum(item.amount for item in items),
        )
        for study, items in sorted(found.items())
    ]


def payments(db: Database, worker_id: str | None = None) -> list[Payment]:
    """What was recorded, newest first."""
    statement = (
        select(PaymentRow, WorkerRow.name, func.count(PaymentLineRow.id))
        .join(WorkerRow, WorkerRow.id == PaymentRow.worker_id)
        .join(PaymentLineRow, PaymentLineRow.payment_id == PaymentRow.id)
        .group_by(PaymentRow.id, WorkerRow.name)
        .order_by(PaymentRow.created.desc(), PaymentRow.id)
    )
    if worker_id is not None:
        statement = statement.where(PaymentRow.worker_id == worker_id)
    with db.read() as session:
        return [
            Payment(
                *(row.key, row.worker_id, name, row.amount, row.currency),
                *(row.reference, row.staff_id, lines, row.created),
            )
            for row, name, lines in session.execute(statement)
        ]


def add_bonus(db: Database, terms: Terms, worker_id: str, bonus: tuple[int, str, str], staff_id: str) -> None:
    """Let a worker earn something beside the rates; ``bonus`` is (smallest units, reason, key). Once for each key.

    Raises:
        UserError: there is no such person.
    """
    amount, reason, key = bonus
    with db.write_alone() as session:
        worker = session.get(WorkerRow, worker_id)
        if worker is None or worker.kind != WorkerKind.PERSON:
            raise UserError(f"there is no person {worker_id!r}; 'concordant worker list' shows who is one")
        known = select(BonusRow.id).where(BonusRow.worker_id == worker_id, BonusRow.key == key)
        if session.scalar(known) is not None:
            return
        row = BonusRow(id=new_id(), worker_id=worker_id, key=key, currency=terms.currency, amount=amount)
        row.reason, row.staff_id = reason, staff_id
        session.add(row)
        note(session, staff_id, "bonus given", worker_id, bonus=row.id, amount=amount, currency=terms.currency)


def record_payment(db: Database, terms: Terms, order: Order, staff_id: str) -> list[Payment]:
    """Record that everything owed to these workers was paid. What a payment has, no other can have.

    Raises:
        UserError: nothing is owed, or another sum than the expected one.
    """
    with db.read() as session:
        known = session.scalar(select(PaymentRow.id).where(PaymentRow.key == order.key).limit(1))
        now = utc_now()
        silent = [] if known else _silent(session, order.workers, now)
    for sitting_id in silent:  # from here on they cannot go on, so what they earned stands; who is back, goes on
        end_sitting(db, sitting_id, Outcome.ABANDONED, now - timedelta(hours=SILENT_HOURS))
    with db.write_alone() as session:
        if session.scalar(select(PaymentRow.id).where(PaymentRow.key == order.key).limit(1)) is None:
            _record(session, terms, order, staff_id)
    return [payment for payment in payments(db) if payment.key == order.key]


def _record(session: Session, terms: Terms, order: Order, staff_id: str) -> None:
    owed = [
        one
        for one in _accounts(session, terms, None)
        if one.owed and (order.workers is None or one.worker_id in order.workers)
    ]
    total = sum(account.owed for account in owed)
    if not total:
        raise UserError("nothing is owed to them; what was recorded before is not recorded twice")
    if order.expected is not None and total != order.expected:
        raise UserError("what is owed has changed since the page was made; look at it again, then record it")
    for account in owed:
        payment = PaymentRow(id=new_id(), key=order.key, worker_id=account.worker_id, currency=terms.currency)
        payment.amount, payment.reference, payment.staff_id = account.owed, order.reference, staff_id
        session.add(payment)
        session.flush()
        for item in account.items:
            if item.amount and not item.paid:
                line = PaymentLineRow(payment_id=payment.id, amount=item.amount)
                line.bonus_id, line.sitting_id = (item.id, None) if item.is_bonus else (None, item.id)
                session.add(line)
    detail = {"workers": [account.worker_id for account in owed], "amount": total, "currency": terms.currency}
    note(session, staff_id, "payment recorded", order.key, reference=order.reference, **detail)


def _accounts(session: Session, terms: Terms, worker_id: str | None) -> list[Account]:
    statement = (
        select(WorkerRow, ParticipantRow)
        .outerjoin(ParticipantRow, ParticipantRow.worker_id == WorkerRow.id)
        .where(WorkerRow.kind == WorkerKind.PERSON.value)
        .order_by(WorkerRow.created, WorkerRow.id)
    )
    if worker_id is not None:
        statement = statement.where(WorkerRow.id == worker_id)
    items: dict[str, list[Item]] = {}
    for item in (*_sitting_items(session, terms, worker_id), *_bonus_items(session, terms, worker_id)):
        items.setdefault(item.worker_id, []).append(item)
    return [
        Account(
            worker.id,
            worker.name,
            "" if known is None else known.panel,
            "" if known is None or known.participant.startswith(MARKER) else known.participant,
            tuple(sorted(items.get(worker.id, []), key=lambda item: (item.began, item.id))),
        )
        for worker, known in session.execute(statement)
    ]


def _bonus_items(session: Session, terms: Terms, worker_id: str | None) -> list[Item]:
    statement = (
        select(BonusRow, PaymentLineRow.id)
        .outerjoin(PaymentLineRow, PaymentLineRow.bonus_id == BonusRow.id)
        .where(BonusRow.currency == terms.currency)
    )
    if worker_id is not None:
        statement = statement.where(BonusRow.worker_id == worker_id)
    return [
        Item(row.id, True, row.worker_id, row.created, "", row.reason, 0, 0, row.amount, line is not None)
        for row, line in session.execute(statement)
    ]


def _sitting_items(session: Session, terms: Terms, worker_id: str | None) -> list[Item]:
    statement = (
        select(SittingRow, PaymentLineRow.amount, PaymentRow.currency)
        .join(WorkerRow, WorkerRow.id == SittingRow.worker_id)
        .outerjoin(PaymentLineRow, PaymentLineRow.sitting_id == SittingRow.id)
        .outerjoin(PaymentRow, PaymentRow.id == PaymentLineRow.payment_id)
        .where(WorkerRow.kind == WorkerKind.PERSON.value)
    )
    if worker_id is not None:
        statement = statement.where(SittingRow.worker_id == worker_id)
    seconds, tasks = active_seconds(session, terms.idle_seconds, worker_id), _tasks(session, worker_id)
    last, now = _last_signs(session, worker_id), utc_now()
    items = []
    for row, amount, currency in session.execute(statement):
        state = row.outcome or ("abandoned" if _is_silent(last.get(row.id, row.created), now) else "open")
        done = _over(tasks.get(row.id, []), row.outcome)
        if amount is None:
            amount = 0 if state == "open" else earned(terms, done, seconds.get(row.id, 0))
        elif currency != terms.currency:
            amount = 0  # it was paid, in another currency than the one that is counted in now
        whole, began = sum(task.whole for task in done), row.created
        study, active = row.panel_study or "", seconds.get(row.id, 0)
        paid = currency is not None
        items.append(Item(row.id, False, row.worker_id, began, study, state, whole, active, amount, paid))
    return items


def _tasks(session: Session, worker_id: str | None) -> dict[str, list[Task]]:
    """Sitting id → its conversations, by their beginning."""
    made = func.count(ChoiceRow.comparison_id.distinct())
    statement = (
        select(TalkRow.sitting_id, TalkRow.objective, TalkRow.turns, made)
        .outerjoin(MessageRow, MessageRow.talk_id == TalkRow.id)
        .outerjoin(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .outerjoin(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .where(TalkRow.sitting_id.is_not(None))
        .group_by(TalkRow.id, TalkRow.sitting_id, TalkRow.objective, TalkRow.turns, TalkRow.created)
        .order_by(TalkRow.created, TalkRow.id)
    )
    if worker_id is not None:
        statement = statement.where(TalkRow.worker_id == worker_id)
    found: dict[str, list[Task]] = {}
    for sitting_id, objective, turns, choices in session.execute(statement):
        assert sitting_id is not None
        found.setdefault(sitting_id, []).append(Task(objective == Objective.HARMLESS, choices, turns))
    return found


def _over(tasks: list[Task], outcome: str | None) -> list[Task]:
    """The tasks, the last of a broken sitting marked as the one that broke."""
    if outcome != Outcome.BROKEN or not tasks or tasks[-1].whole:
        return tasks
    return [*tasks[:-1], Task(tasks[-1].red_team, tasks[-1].choices, tasks[-1].turns, broke=True)]


def _last_signs(session: Session, worker_id: str | None) -> dict[str, datetime]:
    """Open sitting → its last message, choice, or beginning or end of a conversation."""
    moments = (TalkRow.created, TalkRow.ended, MessageRow.created, ChoiceRow.created)
    statement = (
        select(SittingRow.id, *(func.max(moment) for moment in moments))
        .join(TalkRow, TalkRow.sitting_id == SittingRow.id)
        .outerjoin(MessageRow, MessageRow.talk_id == TalkRow.id)
        .outerjoin(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .outerjoin(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .where(SittingRow.ended.is_(None))
        .group_by(SittingRow.id)
    )
    if worker_id is not None:
        statement = statement.where(SittingRow.worker_id == worker_id)
    return {one: max(at for at in found if at is not None) for one, *found in session.execute(statement)}


def _is_silent(last: datetime, now: datetime) -> bool:
    return now - last > timedelta(hours=SILENT_HOURS)


def _silent(session: Session, workers: Collection[str] | None, now: datetime) -> list[str]:
    """Open sittings of people that count as abandoned."""
    last = _last_signs(session, None)
    rows = session.scalars(
        select(SittingRow)
        .join(WorkerRow, and_(WorkerRow.id == SittingRow.worker_id, WorkerRow.kind == WorkerKind.PERSON.value))
        .where(SittingRow.ended.is_(None))
    )
    return [
        row.id
        for row in rows
        if _is_silent(last.get(row.id, row.created), now) and (workers is None or row.worker_id in workers)
    ]
