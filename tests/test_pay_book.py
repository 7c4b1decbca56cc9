"""Accounts of pay: sums by hand, payments that happen once, and that earned is always paid and owed together."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from shutil import copy
from threading import Barrier

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, IntegrityError

from concordant.errors import UserError
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.pay_book import Order, accounts, add_bonus, by_study, payments, record_payment
from concordant.store.pay_rules import Terms
from concordant.store.people import WorkerKind, participant
from concordant.store.sittings import Outcome, last_sitting
from concordant.store.tables import utc_now
from stories import base_model, person
from working_days import Day, Played, Turn, sit, whole

TERMS = Terms("EUR", "task", 100, red_team_extra=40, floor=1500)


def test_a_weeks_account_by_hand(database: Database) -> None:
    model = base_model(database)
    ann, _ = participant(database, "prolific", "p-ann")
    bob = person(database, "Bob")
    sit(database, ann, model, Day([whole(0), whole(200, red_team=True)], study="spring"))
    half = Played(0, [Turn(60, 120, 170)], 180, wanted=4)
    sit(database, ann, model, Day([half], Outcome.LEFT, study="spring"))
    sit(database, bob, model, Day([half], Outcome.BROKEN))
    sit(database, bob, model, Day([], Outcome.DECLINED))
    sit(database, person(database, "script", WorkerKind.SCRIPTED), model, Day([whole(0)]))
    first, second = accounts(database, TERMS)
    assert (first.panel, first.participant, first.name) == ("prolific", "p-ann", "prolific p-ann")
    # 100 + 140, and a quarter of 100; 380 s (0 to 180, 20 s between, 200 to 380) and 180 s
    lines = [(item.amount, item.seconds, item.tasks, item.state) for item in first.items]
    assert sorted(lines) == [(25, 180, 0, "left"), (240, 380, 2, "completed")]
    assert (first.earned, first.paid, first.owed, first.seconds) == (265, 0, 265, 560)
    assert first.rate is not None and round(first.rate) == 1704 and first.short(TERMS) == 0  # 265 · 3600 / 560
    # what we broke off is paid as a whole: 100 for 180 s, 2000 an hour
    assert (second.earned, second.seconds, second.rate) == (100, 180, Fraction(2000))
    assert Terms("EUR", "task", 50, floor=1500).floor * 180 / 3600 == 75
    poor = accounts(database, Terms("EUR", "task", 50, floor=1500))[1]
    assert poor.short(Terms("EUR", "task", 50, floor=1500)) == 25  # 50 earned, 75 is the floor of 3 minutes
    studies = by_study([first, second])
    assert [(one.study, one.workers, one.sittings, one.seconds, one.earned) for one in studies] == [
        ("", 1, 2, 180, 100),
        ("spring", 1, 2, 560, 265),
    ]


def test_a_payment_is_recorded_once_however_often_it_is_sent(database: Database) -> None:
    worker, model = person(database, "Ann"), base_model(database)
    sit(database, worker, model, Day([whole(0)]))
    order = Order("key", "transfer 7", expected=100)
    (payment,) = record_payment(database, TERMS, order, "boss")
    assert (payment.name, payment.amount, payment.currency, payment.lines) == ("Ann", 100, "EUR", 1)
    assert record_payment(database, TERMS, order, "boss") == [payment]
    with pytest.raises(UserError, match="nothing is owed"):
        record_payment(database, TERMS, Order("another key", "again"), "boss")
    (account,) = accounts(database, TERMS)
    assert (account.earned, account.paid, account.owed) == (100, 100, 0)
    (raised,) = accounts(database, Terms("EUR", "task", 900))
    assert (raised.earned, raised.owed) == (100, 0), "other rates change nothing that was paid"
    (act,) = acts(database, 9)
    assert (act.staff_id, act.act, act.about) == ("boss", "payment recorded", "key")
    assert act.detail == {"reference": "transfer 7", "workers": [worker.id], "amount": 100, "currency": "EUR"}


def test_what_changed_since_the_page_is_not_paid_unseen(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sit(database, worker, model, Day([whole(0)]))
    with pytest.raises(UserError, match="has changed since"):
        record_payment(database, TERMS, Order("key", "", expected=99), "boss")
    assert payments(database) == []


def test_many_who_pay_at_once_pay_once(database: Database) -> None:
    model = base_model(database)
    for number in range(4):
        sit(database, person(database, f"w{number}"), model, Day([whole(0)]))
    barrier = Barrier(8)

    def pay(number: int) -> int:
        barrier.wait()
        try:
            return sum(one.amount for one in record_payment(database, TERMS, Order(f"key {number}", ""), "boss"))
        except UserError:
            return 0

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(pay, range(8))) == [0] * 7 + [400]
    assert sum(one.amount for one in payments(database)) == 400


def test_the_database_takes_no_sitting_twice_and_changes_no_payment(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sitting = sit(database, worker, model, Day([whole(0)]))
    record_payment(database, TERMS, Order("key", ""), "boss")
    twice = (
        "INSERT INTO payment_lines (id, payment_id, sitting_id, amount) "
        f"SELECT 'again', payment_id, '{sitting}', 1 FROM payment_lines"
    )
    with pytest.raises(IntegrityError), database.write() as session:
        session.execute(text(twice))
    for table in ("payments", "payment_lines"):
        for change in (f"UPDATE {table} SET amount = 1", f"DELETE FROM {table}"):
            with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
                session.execute(text(change))


def test_open_work_is_owed_when_it_is_over_or_silent(database: Database) -> None:
    worker, model = person(database), base_model(database)
    now = utc_now()
    sit(database, worker, model, Day([whole(0)], None, began=now - timedelta(minutes=30)))
    (account,) = accounts(database, TERMS)
    assert (account.earned, account.seconds, account.items[0].state) == (0, 0, "open")
    silent = person(database, "silent")
    half = Played(0, [Turn(60, 120, 170)], None, wanted=2)
    sit(database, silent, model, Day([whole(0), half], None, began=now - timedelta(hours=3)))
    account = accounts(database, TERMS, silent.id)[0]
    assert (account.owed, account.items[0].state) == (150, "abandoned")
    record_payment(database, TERMS, Order("key", "", expected=150), "boss")
    ended = last_sitting(database, silent.id)
    assert ended is not None and ended.outcome is Outcome.ABANDONED, "it was paid, so it cannot go on"
    assert accounts(database, TERMS, silent.id)[0].owed == 0
    still = last_sitting(database, worker.id)
    assert still is not None and still.ended is None


def test_bonuses_lift_to_the_floor_and_are_paid_like_work(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sit(database, worker, model, Day([whole(0)]))
    terms = Terms("EUR", "task", 50, floor=1500)
    (account,) = accounts(database, terms)
    for _ in range(2):
        add_bonus(database, terms, worker.id, (account.short(terms), "slow models", "k"), "boss")
    (account,) = accounts(database, terms)
    assert (account.earned, account.owed, account.short(terms), account.rate) == (75, 75, 0, Fraction(1500))
    record_payment(database, terms, Order("key", ""), "boss")
    (account,) = accounts(database, terms)
    assert (account.earned, account.paid, account.owed) == (75, 75, 0)
    with pytest.raises(UserError, match="there is no person 'nobody'"):
        add_bonus(database, terms, "nobody", (1, "", "k"), "boss")


def test_what_was_paid_in_another_currency_is_not_added_up(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sit(database, worker, model, Day([whole(0)]))
    record_payment(database, TERMS, Order("key", ""), "boss")
    sit(database, worker, model, Day([whole(90_000)]))
    (account,) = accounts(database, Terms("USD", "task", 10))
    assert (account.earned, account.paid, account.owed) == (10, 0, 10)


@settings(max_examples=12, deadline=None)
@given(
    days=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), min_size=1, max_size=6),
    batches=st.permutations([(0,), (1,), (2,), (0, 1, 2), (1, 2)]),
)
def test_earned_is_paid_and_owed_whatever_is_paid_in_whatever_order(
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    days: list[tuple[int, int, bool]],
    batches: list[tuple[int, ...]],
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    copy(sqlite_template, folder / "store.sqlite")
    db = Database.open(f"sqlite:///{folder / 'store.sqlite'}")
    workers, model = [person(db, f"w{n}") for n in range(3)], base_model(db)
    for who, tasks, left in days:
        outcome = Outcome.LEFT if left else Outcome.COMPLETED
        sit(db, workers[who], model, Day([whole(200 * n, red_team=n == 1) for n in range(tasks)], outcome))
    total = sum(account.earned for account in accounts(db, TERMS))
    # n tasks earn 100 each, the second of them 40 more
    assert total == sum(100 * tasks + (40 if tasks > 1 else 0) for _, tasks, _ in days)
    for number, batch in enumerate(batches):
        ids = [workers[one].id for one in batch]
        owed = sum(account.owed for account in accounts(db, TERMS) if account.worker_id in ids)
        if owed:
            done = record_payment(db, TERMS, Order(str(number), "", ids, owed), "boss")
            assert sum(one.amount for one in done) == owed
        for account in accounts(db, TERMS):
            assert account.earned == account.paid + account.owed and account.paid >= 0 and account.owed >= 0
            assert account.owed == 0 or account.worker_id not in ids
    assert sum(one.amount for one in payments(db)) == total
    assert [account.owed for account in accounts(db, TERMS)] == [0, 0, 0]
    db.close()
