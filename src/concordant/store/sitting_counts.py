"""What sittings add up to: whole conversations, choices, messages, second opinions, the last sign of life (App. D)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, bindparam, case, func, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.store.day_tables import SittingRow
from concordant.store.deployment_tables import GivenRow
from concordant.store.quality_tables import SecondOpinionRow
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, TalkRow


@dataclass(frozen=True, slots=True)
class Counts:
    """What the conversations of a sitting add up to; ``last``: the last sign of life, None: there was none."""

    done: int = 0
    left: int = 0
    messages: int = 0
    choices: int = 0
    red_team: int = 0
    last: datetime | None = None
    looks: int = 0


def counts(session: Session, which: ColumnElement[bool]) -> dict[str, Counts]:
    """Sitting id → what its conversations add up to."""
    return _counted(session.execute(_adding_up(which)), session.execute(_opinions(which)))


def counts_of(session: Session, sitting_id: str) -> Counts:
    """The same of one sitting; every page of a worker asks for it."""
    given = {"sitting": sitting_id}
    talks, opinions = _of_one()
    return _counted(session.execute(talks, given), session.execute(opinions, given)).get(sitting_id, Counts())


@cache
def _of_one() -> tuple[Select[Any], Select[str | None, int, datetime]]:
    """Made once: making them takes longer than running them."""
    which = SittingRow.id == bindparam("sitting", type_=Text())
    return _adding_up(which), _opinions(which)


def _adding_up(which: ColumnElement[bool]) -> Select[Any]:
    own = GivenRow.talk_id.is_(None) | (MessageRow.turn > 1)  # a first message that was given is not their writing
    per_talk = (
        select(
            TalkRow.sitting_id.label("sitting"),
            TalkRow.turns,
            TalkRow.objective,
            TalkRow.ended,
            func.count(case((own, MessageRow.id)).distinct()).label("messages"),
            func.count(ChoiceRow.comparison_id.distinct()).label("choices"),
            func.max(TalkRow.created).label("began"),
            func.max(MessageRow.created).label("said"),
            func.max(ChoiceRow.created).label("chosen"),
        )
        .join(SittingRow, SittingRow.id == TalkRow.sitting_id)
        .outerjoin(MessageRow, MessageRow.talk_id == TalkRow.id)
        .outerjoin(GivenRow, GivenRow.talk_id == TalkRow.id)
        .outerjoin(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .outerjoin(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .where(which)
        .group_by(TalkRow.id, TalkRow.sitting_id, TalkRow.turns, TalkRow.objective, TalkRow.ended)
        .subquery()
    )
    over = per_talk.c.ended.is_not(None)
    whole = per_talk.c.choices >= per_talk.c.turns
    return select(
        per_talk.c.sitting,
        func.sum(case((and_(over, whole), 1), else_=0)),
        func.sum(case((and_(over, ~whole), 1), else_=0)),
        func.sum(per_talk.c.messages),
        func.sum(per_talk.c.choices),
        func.sum(case((per_talk.c.objective == Objective.HARMLESS.value, 1), else_=0)),
        *(func.max(per_talk.c[name]) for name in ("began", "said", "chosen", "ended")),
    ).group_by(per_talk.c.sitting)


def _opinions(which: ColumnElement[bool]) -> Select[str | None, int, datetime]:
    """Second opinions by sitting."""
    return (
        select(SecondOpinionRow.sitting_id, func.count(), func.max(SecondOpinionRow.created))
        .join(SittingRow, SittingRow.id == SecondOpinionRow.sitting_id)
        .where(which)
        .group_by(SecondOpinionRow.sitting_id)
    )


def _counted(talks: Iterable[Any], opinions: Iterable[Any]) -> dict[str, Counts]:
    found = {
        sitting: Counts(done, left, int(said), int(choices), red, max(one for one in moments if one is not None))
        for sitting, done, left, said, choices, red, *moments in talks
    }
    for sitting, looks, said in opinions:
        before = found.get(sitting, Counts())
        found[sitting] = replace(before, looks=looks, last=said if before.last is None else max(before.last, said))
    return found
