"""A store worked out by hand, for tests of the researcher's pages.

Two days, two models, three workers:

    day 1  Ann     helpful   pilot  base/policy  1, 4   "How do I bake bread?" …
    day 1  Ben     red team         base/policy  8
    day 2  Ann     helpful          base/base    2, 7   rated 5
    day 2  a script helpful         base/policy  5

Ann's conversations are rated 3 and 5, Ben's 4, the script's 3. The weakest are 4 and 5.
"""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.people import Worker, WorkerKind
from concordant.store.reply_queue import ReplyJob
from concordant.store.talks import Draw, Ending, choose, end_talk, open_talk, say
from stories import base_model, draw, person, policy_model, write_replies
from visitors import sign_in_staff

DAY_1, DAY_2 = datetime(2026, 3, 1, 23, 50, tzinfo=UTC), datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Clock:
    """Stands in for the store's clock; every look moves it on by a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: datetime = DAY_1) -> None:
        self.now = now
        # What the store calls is the same function everywhere, and SQLAlchemy keeps hold of it: so its own clock goes.
        monkeypatch.setattr("concordant.store.tables.datetime", SimpleNamespace(now=self.tick))

    def tick(self, zone: tzinfo) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now.astimezone(zone)


class Story:
    """The store above. ``talks`` in the order in which they began."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db = db
        self.base, self.policy = base_model(db), policy_model(db)
        self.ann, self.ben = person(db, "Ann"), person(db, "Ben")
        self.script = person(db, "a script", WorkerKind.SCRIPTED)
        self.talks = [
            self.talk(self.ann, draw(self.base, self.policy), [1, 4], "How do I bake bread?", study="pilot"),
            self.talk(self.ben, draw(self.base, self.policy), [8], "Tell me how to be unkind.", Objective.HARMLESS),
        ]
        clock.now = DAY_2
        self.talks += [
            self.talk(self.ann, draw(self.base), [2, 7], "Wie weit ist es nach ÄGYPTEN?", rating=5),
            self.talk(self.script, draw(self.base, self.policy, swap=True), [5], "100%_sure?"),
        ]

    def talk(
        self,
        worker: Worker,
        pair: Draw,
        buttons: list[int],
        text: str,
        objective: Objective = Objective.HELPFUL,
        **more: Any,
    ) -> str:
        """A whole talk; ``more``: its study, its rating."""
        talk = open_talk(self.db, worker.id, objective, len(buttons), more.get("study", ""))
        for turn, button in enumerate(buttons, start=1):
            comparison = say(self.db, talk, text if turn == 1 else f"and turn {turn}?", f"say-{turn}", pair)
            write_replies(self.db, self._reply)
            choose(self.db, comparison, button, f"choose-{turn}")
        red_team = objective is Objective.HARMLESS
        end_talk(self.db, talk, Ending(4, "", 3, 2) if red_team else Ending(more.get("rating", 3), ""))
        return talk

    def _reply(self, job: ReplyJob) -> str:
        return f"Answer {job.seed} of {'the base' if job.snapshot_id == self.base.id else 'the policy'}"


@contextmanager
def staff_client(room: Room) -> Iterator[TestClient]:
    """A researcher's browser."""
    with TestClient(create_app(room)) as client:
        sign_in_staff(client, room.db)
        yield client


def flat(html: str) -> str:
    """A page with white space made even."""
    return " ".join(html.split())


def rows_of(csv_text: str) -> list[dict[str, str]]:
    """A CSV file's rows."""
    return list(csv.DictReader(io.StringIO(csv_text)))
