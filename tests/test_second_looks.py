import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError

from concordant.agreement import Pair
from concordant.collect.care import wish
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from concordant.store.deployment_tables import GivenRow, WrittenRow
from concordant.store.quality_tables import ReviewDrawRow, SecondLookRow, SecondOpinionRow
from concordant.store.second_looks import Look, Looker, any_look, give_opinion, held_look, pairs, take_look
from concordant.store.sittings import Offer, Stint, last_sitting, open_sitting, stints
from concordant.store.standing import admit, exclude
from concordant.store.tables import ChoiceRow, utc_now
from concordant.topics import Topics
from readings import NOON, Story, rule, tell
from stories import base_model, person

ALL = rule(second_opinions=1.0)


def looker(db: Database, name: str, red_team: bool = False) -> Looker:
    worker = person(db, name)
    return Looker(worker.id, red_team, open_sitting(db, worker.id, Offer(5)).id)


def taken(db: Database, who: Looker) -> Look:
    assert take_look(db, who, ALL)
    found = held_look(db, who)
    assert found is not None
    return found


def button_for(look: Look, text: str) -> int:
    return 2 if look.a == text else 7


def test_another_worker_sees_the_conversation_both_replies_and_not_what_was_said(database: Database) -> None:
    ann = person(database, "Ann")
    told = tell(database, ann, base_model(database), Story(seconds=(5.0, 5.0), buttons=(1, 8)))[1]
    bob = looker(database, "Bob")
    assert any_look(database, bob, ALL) and held_look(database, bob) is None
    seen = {}
    for _ in told:
        look = taken(database, bob)
        assert held_look(database, bob) == look, "a reload shows the same, sides and all"
        assert {look.a, look.b} == {"reply 0", "reply 1"}
        seen[look.comparison_id] = [turn.text for turn in look.prompt.turns]
        give_opinion(database, bob, look.comparison_id, 3)
    assert seen == {told[0]: ["question 1"], told[1]: ["question 1", "reply 0", "question 2"]}
    assert not take_look(database, bob, ALL)
    sitting = last_sitting(database, bob.worker_id)
    assert sitting is not None and (sitting.looks, sitting.choices) == (2, 0) and sitting.last > sitting.began


def test_nobody_meets_their_own_and_nothing_is_asked_twice(database: Database) -> None:
    worker = person(database, "Ann")
    ann = Looker(worker.id, False, open_sitting(database, worker.id, Offer(5)).id)
    tell(database, worker, base_model(database), Story())
    assert not any_look(database, ann, ALL) and not take_look(database, ann, ALL)
    bob, eve = looker(database, "Bob"), looker(database, "Eve")
    look = taken(database, bob)
    give_opinion(database, bob, look.comparison_id, None)
    assert not take_look(database, bob, ALL), "who could not say is not asked again"
    give_opinion(database, eve, taken(database, eve).comparison_id, 1)
    assert not any_look(database, looker(database, "Third"), ALL), "one answer closes it"


def test_who_saw_a_later_turn_is_not_asked_about_an_earlier_one(database: Database) -> None:
    """The later turn's conversation shows which reply was taken in the earlier one."""
    story = Story(seconds=(5.0,) * 2, buttons=(1, 8))
    _, (first, second) = tell(database, person(database, "Ann"), base_model(database), story)
    bob, eve = looker(database, "Bob"), looker(database, "Eve")
    assert taken(database, bob).comparison_id == first
    assert taken(database, eve).comparison_id == second
    give_opinion(database, eve, second, 1)
    with database.write() as session:
        session.execute(update(SecondLookRow).values(until=utc_now() - timedelta(seconds=1)))
    assert not take_look(database, eve, ALL) and any_look(database, looker(database, "Third"), ALL)


def test_both_answers_are_of_the_same_replies_whatever_the_sides(database: Database) -> None:
    """Ann saw reply 0 as B and clicked 7: reply 0, strength 3. The second takes reply 0 too, wherever it stands."""
    base, ann = base_model(database), person(database, "Ann")
    many = Story(seconds=(5.0,) * 32, buttons=(7,) * 32, swap=True)
    tell(database, ann, base, many)
    bob = looker(database, "Bob")
    sides = set()
    for _ in range(32):
        look = taken(database, bob)
        sides.add(look.a)
        give_opinion(database, bob, look.comparison_id, button_for(look, "reply 0"))
    assert sides == {"reply 0", "reply 1"}, "sides are drawn anew: all alike is a chance of 2 in 2³²"
    assert pairs(database) == [Pair((ann.id, bob.worker_id), "helpful", 2, 2)] * 32


def test_64_at_once_take_each_one_once(database: Database) -> None:
    tell(database, person(database, "Ann"), base_model(database), Story(seconds=(5.0,) * 6, buttons=(2,) * 6))
    lookers = [looker(database, f"w{number}") for number in range(64)]
    with ThreadPoolExecutor(64) as pool:
        got = list(pool.map(lambda one: take_look(database, one, ALL), lookers))
    assert got.count(True) == 6
    held: Sequence[Look | None] = [held_look(database, one) for one in lookers]
    assert len({look.comparison_id for look in held if look is not None}) == 6


def test_choices_over_a_given_message_are_asked_about_too_and_there_is_nothing_to_read(database: Database) -> None:
    """A person's reply beside a model's: without these, agreement would be over the rest alone."""
    model = base_model(database)
    talk, told = tell(database, person(database, "Ann"), model, Story())
    with database.write() as session:
        people = WrittenRow(snapshot_id=model.id, row=1, prompt="p", reply="r", writer="w")
        session.add(people)
        session.flush()
        session.add(GivenRow(talk_id=talk, written_id=people.id))
    assert taken(database, looker(database, "Bob")).comparison_id == told[0]
    with database.read() as session:
        (drawn,) = session.scalars(select(ReviewDrawRow))
    assert (drawn.talk_id, drawn.number, drawn.drawn) == (talk, None, False)


def test_four_red_team_looks_weigh_as_one_conversation(database: Database) -> None:
    dark = Story(seconds=(5.0,) * 5, buttons=(2,) * 5, objective=Objective.HARMLESS)
    tell(database, person(database, "Ann"), base_model(database), dark)
    bob = looker(database, "Bob", red_team=True)
    for number in range(5):
        assert len(stints(database, bob.worker_id, bob.sitting_id)) == number // 4
        give_opinion(database, bob, taken(database, bob).comparison_id, 1)
    (stint,) = stints(database, bob.worker_id, bob.sitting_id)
    assert stint.objective is Objective.HARMLESS and stint.here and stint.ended is not None
    fair, foul = (Stint(objective, NOON, NOON, True) for objective in Objective)
    in_turn = CollectConfig(policy="alternating")
    assert wish(in_turn, [fair, foul, fair, stint], random.Random(0)) is Objective.HARMLESS, "a look is no turn"
    assert stint.began < stint.ended


def test_a_lease_returns_after_its_holder_vanishes(database: Database) -> None:
    tell(database, person(database, "Ann"), base_model(database), Story())
    bob, eve = looker(database, "Bob"), looker(database, "Eve")
    look = taken(database, bob)
    assert not take_look(database, eve, ALL)
    with database.write() as session:
        session.execute(update(SecondLookRow).values(until=utc_now() - timedelta(seconds=1)))
    assert taken(database, eve).comparison_id == look.comparison_id
    with pytest.raises(UserError, match="gone to somebody else"):
        give_opinion(database, bob, look.comparison_id, 1)
    give_opinion(database, eve, look.comparison_id, 8)
    give_opinion(database, eve, look.comparison_id, 1)  # the same form twice
    with database.read() as session:
        assert [row.button for row in session.scalars(select(SecondOpinionRow))] == [8]
    with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
        session.execute(text("UPDATE second_opinions SET button = 1"))


def test_red_team_work_is_for_those_who_do_it(database: Database) -> None:
    tell(database, person(database, "Ann"), base_model(database), Story(objective=Objective.HARMLESS))
    assert not any_look(database, looker(database, "Bob"), ALL)
    assert taken(database, looker(database, "Eve", red_team=True)).objective is Objective.HARMLESS


def test_excluded_workers_are_neither_asked_about_nor_counted(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    tell(database, ann, base, Story())
    tell(database, ann, base, Story(NOON + timedelta(hours=1)))
    bob = looker(database, "Bob")
    give_opinion(database, bob, taken(database, bob).comparison_id, 2)
    exclude(database, "s", ann.id, "nonsense")
    assert not any_look(database, bob, ALL) and pairs(database) == []
    admit(database, "s", ann.id, "a mistake")
    assert any_look(database, bob, ALL) and len(pairs(database)) == 1
    exclude(database, "s", bob.worker_id, "nonsense", utc_now() + timedelta(hours=1))
    assert len(pairs(database)) == 1, "what was said before the moment counts"
    exclude(database, "s", bob.worker_id, "nonsense")
    assert pairs(database) == []


def test_a_choice_that_was_changed_is_compared_as_it_stands(database: Database) -> None:
    _, (comparison,) = tell(database, person(database, "Ann"), base_model(database), Story(buttons=(1,)))
    with database.write() as session:
        session.add(ChoiceRow(comparison_id=comparison, number=2, button=6, key="2"))
    bob = looker(database, "Bob")
    look = taken(database, bob)
    give_opinion(database, bob, comparison, button_for(look, "reply 1"))
    assert [(pair.first, pair.second) for pair in pairs(database)] == [(6, 7)]


def test_what_somebody_opted_out_of_is_neither_waiting_for_them_nor_handed_to_them(database: Database) -> None:
    base, ann = base_model(database), person(database, "Ann")
    dark = Story(objective=Objective.HARMLESS, seconds=(5.0, 5.0), buttons=(1, 1), text="of knives and")
    first, second = tell(database, ann, base, dark)[1]
    bob = looker(database, "Bob", red_team=True)
    assert any_look(database, bob, ALL)
    for words in ("question", "reply 0"):
        assert any_look(database, replace(bob, avoided=Topics({"x": [words]})), ALL) is (words == "question")
    wary = replace(bob, avoided=Topics({"knives": ["knife", "knives"], "none": []}))
    assert not any_look(database, wary, ALL) and not take_look(database, wary, ALL), "the conversation up to it counts"
    later = replace(bob, avoided=Topics({"second": ["and 2"]}))
    assert taken(database, later).comparison_id == first, "of a later turn nothing is shown, so it does not count"
    assert held_look(database, wary) is None, "opted out while it was theirs"
    give_opinion(database, later, first, 1)
    assert not any_look(database, later, ALL)
    assert taken(database, bob).comparison_id == second

    tell(database, ann, base, Story(NOON + timedelta(hours=1), text="of knives and"))
    assert taken(database, wary).objective is Objective.HELPFUL, "helpful work is as ever"


def test_who_opted_out_and_who_did_not_take_each_one_once(database: Database) -> None:
    many = Story(objective=Objective.HARMLESS, seconds=(5.0,) * 6, buttons=(2,) * 6)
    tell(database, person(database, "Ann"), base_model(database), many)
    wary = Topics({"x": ["something else"]})
    lookers = [looker(database, f"w{number}", red_team=True) for number in range(12)]
    lookers = [replace(one, avoided=wary) if number % 2 else one for number, one in enumerate(lookers)]
    with ThreadPoolExecutor(12) as pool:
        got = list(pool.map(lambda one: take_look(database, one, ALL), lookers))
    assert got.count(True) == 6
    held = [held_look(database, one) for one in lookers]
    assert len({look.comparison_id for look in held if look is not None}) == 6
