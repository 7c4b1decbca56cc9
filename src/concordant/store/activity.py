"""How long people worked, and how long they take over a message and a choice, from the moments that are stored.

The rule of active time: the signs of life of a sitting are its beginning, its conversations' beginnings and ends, every
message, choice and rewriting, and, because waiting for us is work, the completion of two replies that were then
answered. They are put in order, in whole seconds; a gap between two neighbours counts as a whole if it is at most
``idle_seconds`` long, and otherwise not at all. Nothing counts before the first sign or after the last. Work outside
sittings (of scripted workers) counts by conversation. The sums are made in the database, the same on both.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Select, and_, case, func, select, union_all
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from concordant.store.database import Database
from concordant.store.day_tables import EditRow, SittingRow
from concordant.store.quality_tables import SecondOpinionRow
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow


class _WholeSeconds(FunctionElement[int]):
    """SQL: seconds since 1970 of a moment, fractions cut off."""

    type = BigInteger()
    inherit_cache = True
    name = "whole_seconds"


@compiles(_WholeSeconds, "sqlite")
def _on_sqlite(element: _WholeSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(strftime('%s', substr({compiler.process(element.clauses, **options)}, 1, 19)) AS INTEGER)"


@compiles(_WholeSeconds, "postgresql")
def _on_postgres(element: _WholeSeconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)})) AS BIGINT)"


@dataclass(frozen=True, slots=True)
class Pace:
    """Median seconds of one worker, and of how many. None: nothing to say it of.

    ``message``: from what they had before them (the conversation's beginning, or their last choice) to their message;
    ``choice``: from both replies being complete to their first choice between them.
    """

    message: float | None = None
    messages: int = 0
    choice: float | None = None
    choices: int = 0


def active_seconds(
    session: Session, idle_seconds: int, worker_id: str | None = None, sittings: Collection[str] | None = None
) -> dict[str, int]:
    """Sitting id, or conversation id where there is no sitting, → seconds by the rule above.

    ``sittings``: of these alone, which reads no other's moments.
    """
    moments = _moments(worker_id, sittings).subquery()
    before = func.lag(moments.c.at).over(partition_by=moments.c.stretch, order_by=moments.c.at)
    gaps = select(moments.c.stretch, (moments.c.at - before).label("gap")).subquery()
    counted = func.sum(case((gaps.c.gap <= idle_seconds, gaps.c.gap), else_=0))
    rows = session.execute(select(gaps.c.stretch, counted).group_by(gaps.c.stretch))
    return {stretch: int(seconds) for stretch, seconds in rows}


def sitting_seconds(db: Database, idle_seconds: int, sittings: Collection[str]) -> dict[str, int]:
    """``active_seconds`` of these sittings: what pages show beside them is what pay goes by."""
    with db.read() as session:
        return active_seconds(session, idle_seconds, sittings=sittings)


def paces(session: Session, worker_id: str | None = None) -> dict[str, Pace]:
    """Worker id → how long they take."""
    said = {worker: (middle, n) for worker, middle, n in session.execute(_medians(_message_seconds(worker_id)))}
    made = {worker: (middle, n) for worker, middle, n in session.execute(_medians(_choice_seconds(worker_id)))}
    return {worker: Pace(*_pair(said.get(worker)), *_pair(made.get(worker))) for worker in (said.keys() | made.keys())}


def _pair(found: tuple[Any, int] | None) -> tuple[float | None, int]:
    return (None, 0) if found is None else (float(found[0]), found[1])


def _moments(worker_id: str | None, sittings: Collection[str] | None) -> Any:
    """(stretch, at) of every sign of life."""
    stretch = func.coalesce(TalkRow.sitting_id, TalkRow.id)

    def own(found: Select[Any, int], worker: Any, sitting: Any) -> Select[Any, int]:
        if worker_id is not None:
            found = found.where(worker == worker_id)
        return found if sittings is None else found.where(sitting.in_(sittings))

    def of_talks(moment: InstrumentedAttribute[Any]) -> Select[str, int]:
        found = select(stretch.label("stretch"), _WholeSeconds(moment).label("at")).select_from(TalkRow)
        return own(found, TalkRow.worker_id, TalkRow.sitting_id)

    def of_turns(moment: InstrumentedAttribute[Any]) -> Select[str, int]:
        return (
            of_talks(moment)
            .join(MessageRow, MessageRow.talk_id == TalkRow.id)
            .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        )

    arrived = select(SittingRow.id.label("stretch"), _WholeSeconds(SittingRow.created).label("at"))
    looked = select(SecondOpinionRow.sitting_id.label("stretch"), _WholeSeconds(SecondOpinionRow.created).label("at"))
    looked = looked.where(SecondOpinionRow.sitting_id.is_not(None))
    first = and_(ChoiceRow.comparison_id == ComparisonRow.id, ChoiceRow.number == 1)
    return union_all(
        own(arrived, SittingRow.worker_id, SittingRow.id),
        own(looked, SecondOpinionRow.worker_id, SecondOpinionRow.sitting_id).where(
            SecondOpinionRow.sitting_id.is_not(None)
        ),
        of_talks(TalkRow.created),
        of_talks(TalkRow.ended).where(TalkRow.ended.is_not(None)),
        of_talks(MessageRow.created).join(MessageRow, MessageRow.talk_id == TalkRow.id),
        of_turns(ChoiceRow.created).join(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id),
        of_turns(EditRow.created).join(EditRow, EditRow.comparison_id == ComparisonRow.id),
        of_turns(ReplyRow.done)
        .join(ReplyRow, ReplyRow.comparison_id == ComparisonRow.id)
        .join(ChoiceRow, first)
        .where(ReplyRow.done.is_not(None)),
    )


def _message_seconds(worker_id: str | None) -> Select[str, int]:
    earlier = aliased(MessageRow)
    before = (
        select(func.max(ChoiceRow.created))
        .join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
        .join(earlier, earlier.id == ComparisonRow.message_id)
        .where(earlier.talk_id == MessageRow.talk_id, earlier.turn == MessageRow.turn - 1)
        .correlate(MessageRow)
        .scalar_subquery()
    )
    seconds = _WholeSeconds(MessageRow.created) - _WholeSeconds(func.coalesce(before, TalkRow.created))
    found = select(TalkRow.worker_id.label("worker"), seconds.label("seconds")).join(
        MessageRow, MessageRow.talk_id == TalkRow.id
    )
    return found if worker_id is None else found.where(TalkRow.worker_id == worker_id)


def _choice_seconds(worker_id: str | None) -> Select[str, int]:
    ready = (
        select(func.max(ReplyRow.done))
        .where(ReplyRow.comparison_id == ComparisonRow.id)
        .correlate(ComparisonRow)
        .scalar_subquery()
    )
    seconds = _WholeSeconds(ChoiceRow.created) - _WholeSeconds(ready)
    found = (
        select(TalkRow.worker_id.label("worker"), seconds.label("seconds"))
        .join(MessageRow, MessageRow.talk_id == TalkRow.id)
        .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .join(ChoiceRow, and_(ChoiceRow.comparison_id == ComparisonRow.id, ChoiceRow.number == 1))
        .where(ready.is_not(None))
    )
    return found if worker_id is None else found.where(TalkRow.worker_id == worker_id)


def _medians(of: Select[str, int]) -> Any:
    """(worker, median, n): the middle value, or the mean of the two in the middle."""
    rows = of.subquery()
    place = func.row_number().over(partition_by=rows.c.worker, order_by=rows.c.seconds)
    number = func.count().over(partition_by=rows.c.worker)
    ranked = select(rows.c.worker, rows.c.seconds, place.label("place"), number.label("n")).subquery()
    # Places (n + 1) / 2 and (n + 2) / 2, whole: the same one where n is odd.
    middle = and_(2 * ranked.c.place >= ranked.c.n, 2 * ranked.c.place <= ranked.c.n + 2)
    return (
        select(ranked.c.worker, func.avg(ranked.c.seconds), func.max(ranked.c.n))
        .where(middle)
        .group_by(ranked.c.worker)
    )
