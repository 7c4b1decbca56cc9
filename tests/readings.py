"""Conversations with moments of our own choice, for tests of reviews, drift and second opinions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from concordant.comparison import Objective
from concordant.programme_config import ReviewConfig
from concordant.store.database import Database
from concordant.store.people import Worker
from concordant.store.registry import Snapshot
from concordant.store.review_draws import Rule
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow, new_id

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""


@dataclass(frozen=True)
class Story:
    """A conversation that has ended. ``seconds`` to each message; choices follow at once."""

    began: datetime = NOON
    seconds: Sequence[float] = (30.0,)
    buttons: Sequence[int] = (2,)
    objective: Objective = Objective.HELPFUL
    swap: bool = False
    text: str = "question"


def tell(db: Database, worker: Worker, by: Snapshot, story: Story) -> tuple[str, list[str]]:
    """Write a story into the store: (talk, its comparisons)."""
    now = story.began
    talk = TalkRow(id=new_id(), worker_id=worker.id, objective=story.objective.value, study="", created=now)
    talk.turns = len(story.buttons)
    comparisons = []
    with db.write() as session:
        session.add(talk)
        session.flush()
        for turn, (seconds, button) in enumerate(zip(story.seconds, story.buttons, strict=True), start=1):
            now += timedelta(seconds=seconds)
            message = MessageRow(id=new_id(), talk_id=talk.id, turn=turn, text=f"{story.text} {turn}", created=now)
            message.key = str(turn)
            session.add(message)
            session.flush()
            comparison = ComparisonRow(id=new_id(), message_id=message.id, swap=story.swap, created=now)
            session.add(comparison)
            session.flush()
            for place in (0, 1):
                reply = ReplyRow(comparison_id=comparison.id, place=place, snapshot_id=by.id, seed=place, created=now)
                reply.status, reply.text = "done", f"reply {place}"
                session.add(reply)
            session.flush()
            session.add(ChoiceRow(comparison_id=comparison.id, number=1, button=button, key="1", created=now))
            comparisons.append(comparison.id)
        session.flush()
        talk.ended = now
    return talk.id, comparisons


def rule(**settings: float) -> Rule:
    """A rule under which nobody is fast unless it says so."""
    values: dict[str, float] = {"fast_seconds": 0.0, "fast_quantile": 0.0, "second_reviews": 0.0, **settings}
    return Rule(ReviewConfig.model_validate(values), "seed")
