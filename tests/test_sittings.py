"""Sittings: what is counted in them, how they end, and that limits hold when many tabs press at once."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.deployment_tables import GivenRow, WrittenRow
from concordant.store.people import Worker
from concordant.store.registry import Snapshot
from concordant.store.sittings import (
    Handoff,
    Offer,
    Outcome,
    Sitting,
    Stint,
    begin_task,
    end_sitting,
    last_sitting,
    open_sitting,
    prefer_everyday,
    sittings,
    stints,
)
from concordant.store.tables import TalkRow
from concordant.store.talk_views import current_talk, view
from concordant.store.talks import Ending, choose, end_talk, say
from stories import base_model, draw, person, write_replies

OFFER = Offer(2, "WHOLE", "PART")


def one_choice(sitting: Sitting, stints: Sequence[Stint], now: datetime) -> tuple[Objective, int]:
    return Objective.HELPFUL, 1


def red(sitting: Sitting, stints: Sequence[Stint], now: datetime) -> tuple[Objective, int]:
    return Objective.HARMLESS, 1


def do_task(database: Database, sitting: Sitting, model: Snapshot, number: int) -> None:
    talk = begin_task(database, sitting.id, one_choice)
    comparison = say(database, talk, f"question {number}", "k", draw(model))
    write_replies(database)
    choose(database, comparison, 2, "c")
    end_talk(database, talk, Ending())


def again(database: Database, worker: Worker) -> Sitting:
    found = last_sitting(database, worker.id)
    assert found is not None
    return found


def test_a_sitting_is_completed_by_its_last_task(database: Database) -> None:
    worker, model = person(database), base_model(database)
    assert last_sitting(database, worker.id) is None
    sitting = open_sitting(database, worker.id, OFFER)
    assert (sitting.done, sitting.choices, sitting.outcome, sitting.code) == (0, 0, None, "")
    assert open_sitting(database, worker.id, OFFER) == sitting, "one open sitting a worker"
    do_task(database, sitting, model, 1)
    half = again(database, worker)
    assert (half.done, half.left, half.choices, half.red_team, half.ended) == (1, 0, 1, 0, None)
    assert half.last > half.began
    do_task(database, sitting, model, 2)
    whole = again(database, worker)
    assert (whole.done, whole.choices, whole.outcome, whole.code) == (2, 2, Outcome.COMPLETED, "WHOLE")
    with pytest.raises(UserError, match="this session has ended"):
        begin_task(database, sitting.id, one_choice)
    assert end_sitting(database, sitting.id, Outcome.LEFT) == whole, "an ended sitting stays as it is"


def test_leaving_ends_the_conversation_too_and_keeps_what_was_done(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sitting = open_sitting(database, worker.id, OFFER)
    do_task(database, sitting, model, 1)
    talk = begin_task(database, sitting.id, red)
    assert begin_task(database, sitting.id, one_choice) == talk, "one conversation at a time"
    say(database, talk, "hello", "k", draw(model))
    left = end_sitting(database, sitting.id, Outcome.LEFT)
    assert (left.done, left.left, left.choices, left.red_team) == (1, 1, 1, 1)
    assert (left.outcome, left.code) == (Outcome.LEFT, "PART")
    assert current_talk(database, worker.id) is None and view(database, talk).finished


def test_who_has_done_everything_has_completed_it_however_they_go(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sitting = open_sitting(database, worker.id, Offer(1, "WHOLE", "PART"))
    talk = begin_task(database, sitting.id, one_choice)
    comparison = say(database, talk, "hello", "k", draw(model))
    write_replies(database)
    choose(database, comparison, 8, "c")
    assert end_sitting(database, sitting.id, Outcome.LEFT).outcome is Outcome.COMPLETED


def test_a_panels_session_is_one_sitting_and_a_new_one_abandons_the_old(database: Database) -> None:
    worker = person(database)
    first, second = Handoff("prolific", "study", "s1"), Handoff("prolific", "study", "s2")
    one = open_sitting(database, worker.id, OFFER, first)
    assert one.handoff == first and open_sitting(database, worker.id, OFFER, first) == one
    talk = begin_task(database, one.id, one_choice)
    two = open_sitting(database, worker.id, OFFER, second)
    assert two.id != one.id and view(database, talk).finished
    assert open_sitting(database, worker.id, OFFER, first).outcome is Outcome.ABANDONED
    assert again(database, worker) == two
    by_id = {sitting.id: (name, sitting) for name, sitting in sittings(database)}
    assert by_id[one.id][0] == "worker" and by_id[one.id][1].code == "" and by_id[two.id][1].ended is None


def test_who_did_a_part_and_did_not_come_back_can_be_paid_for_it(database: Database) -> None:
    worker, model = person(database), base_model(database)
    one = open_sitting(database, worker.id, OFFER, Handoff("prolific", "study", "s1"))
    do_task(database, one, model, 1)
    open_sitting(database, worker.id, OFFER, Handoff("prolific", "study", "s2"))
    (abandoned,) = (sitting for _, sitting in sittings(database) if sitting.id == one.id)
    assert (abandoned.outcome, abandoned.code) == (Outcome.ABANDONED, "PART")


def test_choices_over_given_messages_are_a_part_too(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sitting = open_sitting(database, worker.id, OFFER)
    do_task(database, sitting, model, 1)
    with database.write() as session:
        talk = session.scalars(select(TalkRow.id)).one()
        people = WrittenRow(snapshot_id=model.id, row=1, prompt="p", reply="r", writer="w")
        session.add(people)
        session.flush()
        session.add(GivenRow(talk_id=talk, written_id=people.id))
    left = end_sitting(database, sitting.id, Outcome.LEFT)
    assert (left.messages, left.choices, left.code) == (0, 1, "PART")


def test_who_is_back_is_not_ended_for_having_been_silent(database: Database) -> None:
    worker = person(database)
    sitting = open_sitting(database, worker.id, OFFER)
    before, after = sitting.last - timedelta(seconds=1), sitting.last + timedelta(seconds=1)
    assert end_sitting(database, sitting.id, Outcome.ABANDONED, silent_since=before).outcome is None
    assert end_sitting(database, sitting.id, Outcome.ABANDONED, silent_since=after).outcome is Outcome.ABANDONED


def test_an_ended_sitting_is_kept_by_the_database(database: Database) -> None:
    worker = person(database)
    sitting = open_sitting(database, worker.id, OFFER)
    prefer_everyday(database, sitting.id, True)
    assert again(database, worker).everyday
    end_sitting(database, sitting.id, Outcome.DECLINED)
    prefer_everyday(database, sitting.id, False)
    assert again(database, worker).everyday and again(database, worker).code == ""
    for statement in ("UPDATE sittings SET outcome = 'completed'", "DELETE FROM sittings"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))


def test_what_there_is_not(database: Database) -> None:
    with pytest.raises(UserError, match="no worker 'x'"):
        open_sitting(database, "x", OFFER)
    with pytest.raises(UserError, match="no sitting 'x'"):
        end_sitting(database, "x", Outcome.LEFT)


def test_a_limit_of_three_holds_against_eight_tabs(database: Database) -> None:
    """Eight tabs begin and leave red-team tasks as fast as they can; each decision sees all that were begun before."""
    worker = person(database)
    sitting = open_sitting(database, worker.id, Offer(50))
    barrier = Barrier(8)

    def at_most_three(now: Sitting, recent: Sequence[Stint], moment: datetime) -> tuple[Objective, int]:
        dark = sum(stint.objective is Objective.HARMLESS for stint in recent)
        return (Objective.HARMLESS if dark < 3 else Objective.HELPFUL), 1

    def press(number: int) -> None:
        barrier.wait()
        for _ in range(3):
            end_talk(database, begin_task(database, sitting.id, at_most_three), Ending())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(press, range(8)))
    found = stints(database, worker.id, sitting.id)
    assert sum(stint.objective is Objective.HARMLESS for stint in found) == 3
    assert len(found) > 3 and all(stint.here and stint.ended is not None for stint in found)
