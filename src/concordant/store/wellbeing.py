"""How people feel after red-team work: answers without names, which staff can read only by the group.

An answer keeps a week, and two keyed hashes: of the sitting, so that it counts once, and of the worker, so that people
can be counted. The secret of the hashes is in neither the store nor a link. What is given out is one line a calendar
week, only for weeks that are over, only where enough different people answered, and not where all said the same: a
later answer never changes a line. On SQLite the store keeps the answers in the order of their hashes, so whoever reads
the file itself sees no other. Left out: the same on PostgreSQL, whose rows tell its superuser their order.
"""

import hashlib
import hmac
from collections import Counter
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, select

from concordant.store.database import Database
from concordant.store.day_tables import WellbeingRow
from concordant.store.sittings import Sitting

ANSWERS = range(1, 6)


@dataclass(frozen=True, slots=True)
class WeekOfAnswers:
    """One line for staff. ``answers``: how many said 1 (bad) … 5 (good); None: too few people to say."""

    week: str
    answers: tuple[int, ...] | None


def week_of(day: date) -> str:
    """The ISO week of a day, such as 2026-W47."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def feel(db: Database, secret: str, sitting: Sitting, answer: int, today: date) -> None:
    """Record an answer to a sitting; the first one counts.

    Args:
        db: the store.
        secret: of the hashes; whoever lacks it cannot tell whose an answer is.
        sitting: after which it was asked.
        answer: 1 (bad) to 5 (good).
        today: its week alone is kept.
    """
    assert answer in ANSWERS, answer
    key = _hash(secret, f"sitting:{sitting.id}")
    with db.write_alone() as session:
        if session.get(WellbeingRow, key) is None:
            respondent = _hash(secret, f"worker:{sitting.worker_id}")
            session.add(WellbeingRow(key=key, respondent=respondent, week=week_of(today), answer=answer))


def has_answered(db: Database, secret: str, sitting_id: str) -> bool:
    """Whether the question was answered for a sitting."""
    with db.read() as session:
        return session.get(WellbeingRow, _hash(secret, f"sitting:{sitting_id}")) is not None


def weeks(db: Database, smallest_group: int, today: date) -> list[WeekOfAnswers]:
    """The weeks that are over, newest first. A week in which fewer people answered, or all alike, has no numbers.

    Args:
        db: the store.
        smallest_group: how many different people must have answered in a week.
        today: the week it is in is not over.
    """
    with db.read() as session:
        people = session.execute(
            select(WellbeingRow.week, func.count(WellbeingRow.respondent.distinct()))
            .where(WellbeingRow.week < week_of(today))
            .group_by(WellbeingRow.week)
            .order_by(WellbeingRow.week.desc())
        ).all()
        said: dict[str, Counter[int]] = {week: Counter() for week, _ in people}
        for week, answer, number in session.execute(
            select(WellbeingRow.week, WellbeingRow.answer, func.count())
            .where(WellbeingRow.week < week_of(today))
            .group_by(WellbeingRow.week, WellbeingRow.answer)
        ):
            said[week][answer] = number
    shown = {week: number >= smallest_group and len(said[week]) > 1 for week, number in people}
    return [
        WeekOfAnswers(week, tuple(said[week][answer] for answer in ANSWERS) if shown[week] else None)
        for week, _ in people
    ]


def _hash(secret: str, what: str) -> str:
    return hmac.new(secret.encode(), f"wellbeing:{what}".encode(), hashlib.sha256).hexdigest()
