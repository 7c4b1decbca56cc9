"""Reviewers read what workers wrote, one conversation at a time, and give a verdict (paper §2.1, App. D.3).

A conversation that was drawn is one reviewer's at a time: whoever takes it has it under a lease, and when they vanish
it goes to the next. Verdicts are rows that a later row supersedes. Neither the models' names nor the worker's are read
here, and not what was chosen, except that the conversation went on from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Integer, Select, cast, delete, exists, func, literal, select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.audit import note
from concordant.store.database import Database
from concordant.store.quality_tables import ReviewClaimRow, ReviewDrawRow, VerdictRow
from concordant.store.review_draws import Rule, draw_ended
from concordant.store.standing import excluded_now, text_erased
from concordant.store.tables import TalkRow, new_id, utc_now
from concordant.store.transcripts import exchanges

VERDICTS = {1: "excellent", 2: "good", 3: "weak", 4: "poor", 5: "not usable"}
"""What a verdict says of the writing: 1 and 2 are what the data should be made of."""
LONGEST_NOTE = 1000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Review:
    """A conversation as its reviewer sees it.

    Attributes:
        talk_id: of the conversation.
        objective: what it was for.
        turns: (what the worker wrote, the reply that it went on from, or None).
        whole: whether it has all its turns.
    """

    talk_id: str
    objective: Objective
    turns: Sequence[tuple[str, str | None]]
    whole: bool


@dataclass(frozen=True, slots=True)
class LastVerdict:
    """What a reviewer said last, and can take back."""

    talk_id: str
    verdict: int


def waiting(db: Database, staff_id: str, rule: Rule) -> int:
    """How many conversations this reviewer could read now, the one that they have among them."""
    draw_ended(db, rule)
    with db.read() as session:
        places = (_open(staff_id, place) for place in (1, 2))
        return sum(session.execute(select(func.count()).select_from(one.subquery())).scalar_one() for one in places)


def held(db: Database, staff_id: str) -> Review | None:
    """The conversation that the reviewer has."""
    with db.read() as session:
        claim = _claim(session, staff_id)
        return None if claim is None else _review(session, claim.talk_id)


def take(db: Database, staff_id: str, rule: Rule) -> bool:
    """Take the conversation that has waited longest, unless the reviewer has one; False: there is none."""
    draw_ended(db, rule)
    until = utc_now() + timedelta(minutes=rule.config.lease_minutes)
    with db.write_alone() as session:
        mine = _claim(session, staff_id)
        if mine is not None:
            mine.until = until
            return True
        first, second = (session.execute(_open(staff_id, place).limit(1)).first() for place in (1, 2))
        found = min((row for row in (first, second) if row is not None), key=lambda row: row.ended, default=None)
        if found is None:
            return False
        session.merge(ReviewClaimRow(talk_id=found.talk_id, place=found.place, staff_id=staff_id, until=until))
        return True


def judge(db: Database, staff_id: str, talk_id: str, verdict: int, remark: str = "", key: str = "") -> None:
    """Give a verdict on the conversation that the reviewer has. The same key again writes nothing.

    Raises:
        UserError: no verdict of the scale, a note that is too long, or the conversation is not theirs any more.
    """
    if verdict not in VERDICTS:
        raise UserError(f"verdict {verdict!r} does not exist; give 1 (excellent) to 5 (not usable)")
    if len(remark) > LONGEST_NOTE:
        raise UserError(f"the note has {len(remark):,} characters; {LONGEST_NOTE:,} fit")
    key = key or new_id()
    with db.write_alone() as session:
        if session.scalar(select(VerdictRow.id).where(VerdictRow.talk_id == talk_id, VerdictRow.key == key)):
            return
        claim = _claim(session, staff_id)
        if claim is None or claim.talk_id != talk_id:
            raise UserError("this conversation is not yours any more: another reviewer has it, or it has its verdict")
        session.delete(claim)
        _add(session, VerdictRow(talk_id=talk_id, place=claim.place, staff_id=staff_id, note=remark, key=key), verdict)
        note(session, staff_id, "verdict given", talk_id, verdict=verdict)


def last_verdict(db: Database, staff_id: str) -> LastVerdict | None:
    """The newest verdict of a reviewer that stands."""
    with db.read() as session:
        row = _last(session, staff_id)
        return None if row is None or row.verdict is None else LastVerdict(row.talk_id, row.verdict)


def take_back(db: Database, staff_id: str, talk_id: str, rule: Rule) -> None:
    """Take the last verdict back, by a row that supersedes it; its conversation is the reviewer's again.

    Args:
        db: the store.
        staff_id: whose verdict.
        talk_id: what it is about, so that a form that comes twice takes back one verdict and not two.
        rule: says how long the conversation is theirs again.

    Raises:
        UserError: the last verdict of theirs that stands is not about it.
    """
    until = utc_now() + timedelta(minutes=rule.config.lease_minutes)
    with db.write_alone() as session:
        row = _last(session, staff_id)
        if row is None or row.talk_id != talk_id:
            raise UserError("that verdict is not your last one; go on with the next conversation")
        taken = VerdictRow(talk_id=row.talk_id, place=row.place, staff_id=staff_id, note="")
        taken.key = f"back-{row.id}"
        _add(session, taken, None)
        session.execute(delete(ReviewClaimRow).where(ReviewClaimRow.staff_id == staff_id))
        session.merge(ReviewClaimRow(talk_id=row.talk_id, place=row.place, staff_id=staff_id, until=until))
        note(session, staff_id, "verdict taken back", row.talk_id, verdict=row.verdict)


def _add(session: Session, row: VerdictRow, verdict: int | None) -> None:
    same = (VerdictRow.talk_id == row.talk_id, VerdictRow.place == row.place)
    row.number = 1 + (session.scalar(select(func.max(VerdictRow.number)).where(*same)) or 0)
    row.verdict = verdict
    session.add(row)


def _last(session: Session, staff_id: str) -> VerdictRow | None:
    later = aliased(VerdictRow)
    superseded = exists().where(
        later.talk_id == VerdictRow.talk_id, later.place == VerdictRow.place, later.number > VerdictRow.number
    )
    return session.scalar(
        select(VerdictRow)
        .where(VerdictRow.staff_id == staff_id, VerdictRow.verdict.is_not(None), ~superseded)
        .order_by(VerdictRow.created.desc(), VerdictRow.id)
        .limit(1)
    )


def _claim(session: Session, staff_id: str) -> ReviewClaimRow | None:
    """What the reviewer has: theirs until another takes it, even when its lease is over."""
    mine = (
        select(ReviewClaimRow)
        .join(TalkRow, TalkRow.id == ReviewClaimRow.talk_id)
        .where(ReviewClaimRow.staff_id == staff_id, ~text_erased(TalkRow.worker_id))
    )
    return session.scalar(mine.order_by(ReviewClaimRow.until.desc(), ReviewClaimRow.talk_id).limit(1))


def _open(staff_id: str, place: int) -> Select[str, int, datetime | None]:
    """(talk, place, end) of what this reviewer may read as its first, or its second reader; the oldest first."""
    draw = ReviewDrawRow
    taken = exists().where(
        ReviewClaimRow.talk_id == draw.talk_id,
        ReviewClaimRow.place == place,
        ReviewClaimRow.staff_id != staff_id,
        ReviewClaimRow.until >= utc_now(),
    )
    statement = (
        select(draw.talk_id, cast(literal(place), Integer).label("place"), TalkRow.ended)
        .join(TalkRow, TalkRow.id == draw.talk_id)
        .where(draw.drawn, ~taken, ~_judged(place), ~excluded_now(draw.worker_id), ~text_erased(draw.worker_id))
        .order_by(TalkRow.ended, draw.talk_id)
    )
    # Nobody reads twice, not even after the first reader took their verdict back.
    statement = statement.where(~_judged(3 - place, staff_id))
    return statement if place == 1 else statement.where(draw.twice, _judged(1))


def _judged(place: int, staff_id: str | None = None) -> ColumnElement[bool]:
    """SQL: the drawn conversation has a standing verdict at a place; with ``staff_id``, one of theirs."""
    row, later = aliased(VerdictRow), aliased(VerdictRow)
    superseded = exists().where(later.talk_id == row.talk_id, later.place == row.place, later.number > row.number)
    judged = exists().where(
        row.talk_id == ReviewDrawRow.talk_id, row.place == place, row.verdict.is_not(None), ~superseded
    )
    return judged if staff_id is None else judged.where(row.staff_id == staff_id)


def _review(session: Session, talk_id: str) -> Review:
    talk = session.get_one(TalkRow, talk_id)
    turns = exchanges(session, [talk_id])[talk_id]
    made = sum(turn.choice is not None for turn in turns)
    texts = [(turn.message.text, turn.spoken) for turn in turns]
    return Review(talk_id, Objective(talk.objective), texts, made >= talk.turns)
