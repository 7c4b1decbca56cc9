"""The table of workers: what each did, by hand."""

import pytest

from concordant.errors import UserError
from concordant.store.activity import Pace
from concordant.store.consents import ConsentText, agree
from concordant.store.database import Database
from concordant.store.people import WorkerKind, participant, permit_edits
from concordant.store.sittings import Outcome
from concordant.store.workforce import Work, agreements, talks_of, worker_line, workforce
from stories import base_model, person
from working_days import NOON, Day, Played, Turn, sit, whole


def test_a_line_for_each_worker(database: Database) -> None:
    model = base_model(database)
    ann, _ = participant(database, "prolific", "p-1")
    script = person(database, "script", WorkerKind.SCRIPTED)
    left = Played(400, [Turn(430, 440, 450)], 460, wanted=3)
    sit(database, ann, model, Day([whole(0), whole(200, red_team=True), left], Outcome.LEFT))
    permit_edits(database, ann.id, True)
    first, second = workforce(database, 600)
    assert (first.name, first.source, first.participant, first.kind) == (
        "prolific p-1",
        "prolific",
        "p-1",
        WorkerKind.PERSON,
    )
    assert first.work.first == NOON and first.work.last is not None and (first.work.last - NOON).seconds == 400
    assert (first.work.tasks, first.work.begun, first.work.red_team, first.work.choices) == (2, 3, 1, 3)
    assert first.work.red_share == 1 / 3
    assert first.seconds == 460 and first.pace == Pace(60.0, 3, 50.0, 3)
    assert first.marks == ("may rewrite",)
    assert (second.name, second.source, second.kind) == ("script", "own link", WorkerKind.SCRIPTED)
    assert second.work == Work() and second.work.red_share is None and second.pace == Pace()
    assert worker_line(database, 600, ann.id) == first and worker_line(database, 600, script.id) == second
    with pytest.raises(UserError, match="no worker 'nobody'"):
        worker_line(database, 600, "nobody")


def test_talks_and_agreements_of_one(database: Database) -> None:
    ann, model = person(database), base_model(database)
    sit(database, ann, model, Day([whole(0), whole(200), whole(400)]))
    assert len(talks_of(database, ann.id, 2)) == 2
    agree(database, ann.id, ConsentText("Be well."))
    assert [one.digest for one in agreements(database, ann.id)] == [ConsentText("Be well.").digest]
    assert agreements(database, person(database).id) == []
