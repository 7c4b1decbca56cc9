"""Second opinions: another worker says which of two replies is better, and does not see what was said first (§2.1).

Which comparisons are asked about is drawn when their conversation ends (``review_draws.py``). One is looked at by one
person at a time, under a lease; nobody meets their own; sides are drawn anew. One answer closes it; who cannot say
leaves it to others, and is not asked again. Nobody is asked about red-team work that touches a topic which they opted
out of. Left out: remembering what touches what; who opted out has the texts of all that wait looked through in turn.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from concordant.agreement import Pair
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.quality_tables import SecondLookRow, SecondOpinionRow
from concordant.store.review_draws import Rule, draw_ended
from concordant.store.standing import excluded_now, left_out, text_erased
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, TalkRow, utc_now
from concordant.store.talk_views import talk_id_of
from concordant.store.talks import BUTTONS
from concordant.store.transcripts import Exchange, exchanges, prompt_of
from concordant.topics import Topics

LEASE = timedelta(minutes=30)
_AT_ONCE = 50
"""Comparisons whose texts are looked at together."""


@dataclass(frozen=True, slots=True)
class Looker:
    """Who is asked.

    Attributes:
        worker_id: a person.
        red_team: whether they may be shown red-team work.
        sitting_id: the stretch of work that it belongs to.
        avoided: topics that they would rather not meet in red-team work.
    """

    worker_id: str
    red_team: bool
    sitting_id: str
    avoided: Topics = field(default_factory=Topics)


@dataclass(frozen=True, slots=True)
class Look:
    """A comparison as the second person sees it: the conversation up to it, and two replies as sides A and B."""

    comparison_id: str
    objective: Objective
    prompt: Conversation
    a: str
    b: str


def held_look(db: Database, looker: Looker) -> Look | None:
    """The comparison that the worker is looking at."""
    with db.read() as session:
        row = _held(session, looker)
        return None if row is None else _look(session, row)


def any_look(db: Database, looker: Looker, rule: Rule) -> bool:
    """Whether there is a comparison to ask this worker about."""
    draw_ended(db, rule)
    with db.read() as session:
        return _first_waiting(session, looker) is not None


def take_look(db: Database, looker: Looker, rule: Rule) -> bool:
    """Take the comparison that has waited longest, unless the worker has one; False: there is none."""
    draw_ended(db, rule)
    with db.write() as session:
        row = _held(session, looker)
        if row is None:
            row = _first_waiting(session, looker, lock=True)
            if row is None:
                return False
            drawn = random.Random(f"{rule.seed}:sides:{row.comparison_id}:{looker.worker_id}")
            row.holder_id, row.swap = looker.worker_id, drawn.random() < 0.5
        row.until = utc_now() + LEASE
        return True


def give_opinion(db: Database, looker: Looker, comparison_id: str, button: int | None) -> None:
    """Say which reply is better (in red-team work, more harmful), of the sides as shown; None: cannot say.

    Said again, it writes nothing.

    Raises:
        UserError: not a button, or the comparison is not with this worker any more.
    """
    if button is not None and button not in BUTTONS:
        raise UserError(f"button {button!r} does not exist; choose 1 (A is much better) to 8 (B is much better)")
    with db.write() as session:
        row = session.get(SecondLookRow, comparison_id, with_for_update=True)
        if session.scalar(_said(looker.worker_id, comparison_id)) is not None:
            return
        if row is None or row.holder_id != looker.worker_id or row.swap is None:
            raise UserError("this comparison has gone to somebody else meanwhile; go on with the next")
        opinion = SecondOpinionRow(comparison_id=comparison_id, worker_id=looker.worker_id, swap=row.swap)
        opinion.sitting_id, opinion.button = looker.sitting_id, button
        session.add(opinion)
        row.holder_id = row.swap = row.until = None


def has_said(db: Database, worker_id: str, comparison_id: str) -> bool:
    """Whether the worker has answered for a comparison, or said that they cannot."""
    with db.read() as session:
        return session.scalar(_said(worker_id, comparison_id)) is not None


def pairs(db: Database) -> list[Pair]:
    """Every comparison with two answers, without what excluded workers said; both answers as of the same sides."""
    with db.read() as session:
        return [pair for pair, _, _ in answered(session)]


def answered(session: Session) -> list[tuple[Pair, str, ChoiceRow]]:
    """(both answers, comparison, the first choice as it stands), by the time of the second opinion."""
    later = (
        select(func.max(ChoiceRow.number)).where(ChoiceRow.comparison_id == ComparisonRow.id).correlate(ComparisonRow)
    )
    rows = session.execute(
        select(SecondOpinionRow, ChoiceRow, ComparisonRow, TalkRow)
        .join(ComparisonRow, ComparisonRow.id == SecondOpinionRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .join(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .where(
            ChoiceRow.number == later.scalar_subquery(),
            SecondOpinionRow.button.is_not(None),
            ~left_out(TalkRow.worker_id, ChoiceRow.created),
            ~left_out(SecondOpinionRow.worker_id, SecondOpinionRow.created),
        )
        .order_by(SecondOpinionRow.created, SecondOpinionRow.id)
    )
    found = []
    for opinion, choice, comparison, talk in rows:
        assert opinion.button is not None  # the statement asks for those that were given
        first, second = _unswapped(choice.button, comparison.swap), _unswapped(opinion.button, opinion.swap)
        pair = Pair((talk.worker_id, opinion.worker_id), talk.objective, first, second)
        found.append((pair, comparison.id, choice))
    return found


def _said(worker_id: str, comparison_id: str) -> Select[str]:
    return select(SecondOpinionRow.id).where(
        SecondOpinionRow.comparison_id == comparison_id, SecondOpinionRow.worker_id == worker_id
    )


def _unswapped(button: int, swap: bool) -> int:
    """A button as if reply 0 had stood on side A."""
    return 9 - button if swap else button


def _held(session: Session, looker: Looker) -> SecondLookRow | None:
    """What the worker has: theirs until another takes it, or until they opt out of what it touches."""
    held = (
        select(SecondLookRow)
        .where(SecondLookRow.holder_id == looker.worker_id, ~text_erased(SecondLookRow.maker_id), *_fit(looker))
        .order_by(SecondLookRow.comparison_id)
    )
    return next(_bearable(session, looker, list(session.scalars(held))), None)


def _first_waiting(session: Session, looker: Looker, lock: bool = False) -> SecondLookRow | None:
    """What has waited longest; with ``lock``, of what nobody else is taking at this moment."""

    def locked(statement: Select[SecondLookRow]) -> SecondLookRow | None:
        return session.scalar(statement.with_for_update(skip_locked=True, of=SecondLookRow) if lock else statement)

    if not looker.avoided.names:
        return locked(_waiting(looker).limit(1))
    rows = list(session.scalars(_waiting(looker)))  # without their texts
    for row in _bearable(session, looker, rows):
        found = locked(_waiting(looker).where(SecondLookRow.comparison_id == row.comparison_id))
        if found is not None:
            return found
    return None


def _bearable(session: Session, looker: Looker, rows: list[SecondLookRow]) -> Iterator[SecondLookRow]:
    """The rows without those of red-team work that touch what the worker would rather not meet."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        dark = [row for row in some if looker.avoided.names and row.objective == Objective.HARMLESS.value]
        talks = {row.comparison_id: talk_id_of(session, row.comparison_id) for row in dark}
        turns = exchanges(session, set(talks.values()))
        for row in some:
            if row.comparison_id not in talks or not _touches(looker, row, turns[talks[row.comparison_id]]):
                yield row


def _touches(looker: Looker, row: SecondLookRow, turns: list[Exchange]) -> bool:
    """Whether what would be shown of a comparison touches an avoided topic: the conversation up to it, both replies."""
    index = _place(row, turns)
    replies = (reply.text for reply in turns[index].replies)
    return bool(looker.avoided.touched(*(turn.text for turn in prompt_of(turns, index).turns), *replies))


def _place(row: SecondLookRow, turns: list[Exchange]) -> int:
    return next(place for place, turn in enumerate(turns) if turn.comparison.id == row.comparison_id)


def _waiting(looker: Looker) -> Select[SecondLookRow]:
    """What this worker may be asked about, in the order in which it was made.

    Not what they know already: in a conversation of which they saw a later turn, the reply that was taken stood.
    """
    opinion, other, said = aliased(SecondOpinionRow), aliased(ComparisonRow), aliased(MessageRow)
    closed = exists().where(opinion.comparison_id == SecondLookRow.comparison_id, opinion.button.is_not(None))
    asked = exists().where(
        opinion.worker_id == looker.worker_id,
        opinion.comparison_id == other.id,
        other.message_id == said.id,
        said.talk_id == MessageRow.talk_id,
        said.turn >= MessageRow.turn,
    )
    free = or_(
        SecondLookRow.holder_id.is_(None),
        SecondLookRow.holder_id == looker.worker_id,
        SecondLookRow.until < utc_now(),
    )
    return (
        select(SecondLookRow)
        .join(ComparisonRow, ComparisonRow.id == SecondLookRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(TalkRow, TalkRow.id == MessageRow.talk_id)
        .where(SecondLookRow.maker_id != looker.worker_id, free, ~closed, ~asked, *_fit(looker))
        .where(~excluded_now(SecondLookRow.maker_id), ~text_erased(SecondLookRow.maker_id))
        .order_by(TalkRow.ended, TalkRow.id, MessageRow.turn)
    )


def _fit(looker: Looker) -> list[ColumnElement[bool]]:
    return [] if looker.red_team else [SecondLookRow.objective == Objective.HELPFUL.value]


def _look(session: Session, row: SecondLookRow) -> Look:
    talk_id = talk_id_of(session, row.comparison_id)
    turns = exchanges(session, [talk_id])[talk_id]
    index = _place(row, turns)
    by_place = {reply.place: reply.text for reply in turns[index].replies}
    a, b = (by_place[1], by_place[0]) if row.swap else (by_place[0], by_place[1])
    return Look(row.comparison_id, Objective(row.objective), prompt_of(turns, index), a, b)
