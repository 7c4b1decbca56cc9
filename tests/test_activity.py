"""Active time and paces, worked out by hand, alike on both databases."""

from concordant.store.activity import Pace, active_seconds, paces, sitting_seconds
from concordant.store.database import Database
from stories import base_model, draw, person, play
from working_days import Day, Played, Turn, sit, whole


def test_gaps_above_the_limit_do_not_count_and_waiting_for_us_does(database: Database) -> None:
    worker, model = person(database), base_model(database)
    played = Played(
        100,  # 100 s after arriving
        [
            Turn(200, 500, 540.9),  # 100 to write, 300 waiting, 40 to choose (whole seconds)
            Turn(1600, 1610, 1700),  # away for 1060 s: nothing; then 10 and 90
        ],
        1720,
        wanted=2,
    )
    sitting = sit(database, worker, model, Day([played]))
    with database.read() as session:
        # 100 + 100 + 300 + 40 + (1600 - 540 = 1060: too long) + 10 + 90 + 20
        assert active_seconds(session, 600) == {sitting: 660}
        assert active_seconds(session, 1060) == {sitting: 1720}, "a gap of exactly the limit counts"
        assert active_seconds(session, 299) == {sitting: 360}
        assert active_seconds(session, 600, worker.id) == {sitting: 660}
        assert active_seconds(session, 600, "nobody") == {}


def test_of_some_sittings_nothing_else_is_counted(database: Database) -> None:
    ann, bob, model = person(database), person(database, "bob"), base_model(database)
    first, second = (sit(database, ann, model, Day([whole(0)] * times)) for times in (1, 2))
    third = sit(database, bob, model, Day([whole(0), whole(1000)]))
    play(database, ann, draw(model), [1])
    with database.read() as session:
        every = active_seconds(session, 600)
        assert active_seconds(session, 600, ann.id, [first, third]) == {first: every[first]}
    for some in ([], [first], [second, third], [third, "none"]):
        assert sitting_seconds(database, 600, some) == {one: every[one] for one in some if one != "none"}
    assert sitting_seconds(database, 1000, [third]) == {third: 1180} and every[third] == 360


def test_replies_that_nobody_answered_are_no_sign_of_life(database: Database) -> None:
    worker, model = person(database), base_model(database)
    sitting = sit(database, worker, model, Day([Played(0, [Turn(60, 400)], None)], None))
    with database.read() as session:
        assert active_seconds(session, 600) == {sitting: 60}


def test_a_sitting_in_which_nothing_happened_has_no_time(database: Database) -> None:
    sitting = sit(database, person(database), base_model(database), Day())
    with database.read() as session:
        assert active_seconds(session, 600) == {sitting: 0}


def test_medians_of_odd_and_even_numbers(database: Database) -> None:
    ann, bob, model = person(database, "Ann"), person(database, "Bob"), base_model(database)
    three = Played(0, [Turn(10, 20, 25), Turn(125, 130, 160), Turn(180, 200, 290)], 300, wanted=3)
    sit(database, ann, model, Day([three]))  # writing 10, 100, 20; choosing 5, 30, 90
    sit(database, bob, model, Day([whole(0), Played(200, [Turn(220, 230, 237)], 240)]))  # 60, 20 and 50, 7
    with database.read() as session:
        found = paces(session)
        assert found == {ann.id: Pace(20.0, 3, 30.0, 3), bob.id: Pace(40.0, 2, 28.5, 2)}
        assert paces(session, bob.id) == {bob.id: Pace(40.0, 2, 28.5, 2)}


def test_conversations_outside_sittings_stand_for_themselves(database: Database) -> None:
    worker, model = person(database), base_model(database)
    play(database, worker, draw(model), [1])
    with database.read() as session:
        assert list(active_seconds(session, 600).values()) == [0] or sum(active_seconds(session, 600).values()) < 60
