"""Sittings with every moment set by hand, for tests of time and pay: rows as the pages would have written them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.day_tables import SittingRow
from concordant.store.people import Worker
from concordant.store.registry import Snapshot
from concordant.store.sittings import Outcome
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow, new_id

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds after the sitting's beginning: message, replies complete, choice (None: never made)."""

    said: float
    ready: float
    chosen: float | None = None
    text: str = "hello"
    button: int = 2


@dataclass(frozen=True, slots=True)
class Played:
    """One conversation; ``ended`` None: it is open."""

    began: float
    turns: Sequence[Turn]
    ended: float | None
    wanted: int = 1
    red_team: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """A sitting. ``outcome`` None: it is open."""

    played: Sequence[Played] = ()
    outcome: Outcome | None = Outcome.COMPLETED
    began: datetime = NOON
    study: str | None = None


def sit(db: Database, worker: Worker, model: Snapshot, day: Day) -> str:
    """Writes the sitting; returns its id."""

    def at(seconds: float) -> datetime:
        return day.began + timedelta(seconds=seconds)

    sitting = new_id()
    with db.write() as session:
        row = SittingRow(id=sitting, worker_id=worker.id, tasks=5, everyday=False, code="", part_code="")
        row.created, row.ended = day.began, None if day.outcome is None else at(90_000)
        row.outcome = None if day.outcome is None else day.outcome.value
        if day.study is not None:
            row.panel, row.panel_study, row.panel_session = "prolific", day.study, f"session {sitting}"
        session.add(row)
        session.flush()
        for played in day.played:
            objective = Objective.HARMLESS if played.red_team else Objective.HELPFUL
            talk = TalkRow(id=new_id(), worker_id=worker.id, objective=objective.value, study="", turns=played.wanted)
            talk.created, talk.ended = at(played.began), None if played.ended is None else at(played.ended)
            talk.sitting_id, talk.comment = sitting, played.comment
            session.add(talk)
            session.flush()
            for number, turn in enumerate(played.turns, start=1):
                message = MessageRow(id=new_id(), talk_id=talk.id, turn=number, text=turn.text, key=f"say-{number}")
                message.created = at(turn.said)
                session.add(message)
                session.flush()
                pair = ComparisonRow(id=new_id(), message_id=message.id, swap=False, created=at(turn.said))
                session.add(pair)
                session.flush()
                for place in (0, 1):
                    reply = ReplyRow(comparison_id=pair.id, place=place, snapshot_id=model.id, seed=place, tokens=3)
                    reply.status, reply.text, reply.done = "done", f"reply {place}", at(turn.ready)
                    session.add(reply)
                if turn.chosen is not None:
                    choice = ChoiceRow(comparison_id=pair.id, number=1, button=turn.button, key="c")
                    choice.created = at(turn.chosen)
                    session.add(choice)
    return sitting


def whole(began: float, red_team: bool = False) -> Played:
    """A whole conversation of one choice that takes 180 seconds: 60 to write, 60 to wait, 60 to choose and end."""
    return Played(began, [Turn(began + 60, began + 120, began + 170)], began + 180, red_team=red_team)
