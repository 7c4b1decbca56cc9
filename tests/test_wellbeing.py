"""How people feel: counted by the week and by enough people, or not at all."""

from datetime import date

from sqlalchemy import select, text

from concordant.store.database import Database
from concordant.store.day_tables import WellbeingRow
from concordant.store.sittings import Offer, Outcome, Sitting, end_sitting, open_sitting
from concordant.store.wellbeing import WeekOfAnswers, feel, has_answered, week_of, weeks
from stories import person

MONDAY, SUNDAY, NEXT = date(2026, 11, 16), date(2026, 11, 22), date(2026, 11, 23)


def sat(database: Database, name: str) -> Sitting:
    sitting = open_sitting(database, person(database, name).id, Offer(1))
    return end_sitting(database, sitting.id, Outcome.LEFT)


def test_weeks_run_from_monday_to_sunday() -> None:
    assert week_of(MONDAY) == week_of(SUNDAY) == "2026-W47" and week_of(NEXT) == "2026-W48"
    assert week_of(date(2027, 1, 3)) == "2026-W53"  # a year has its first Thursday's week first


def test_a_week_is_told_when_it_is_over_and_enough_people_answered(database: Database) -> None:
    for number, answer in enumerate((1, 4, 4)):
        feel(database, "secret", sat(database, f"w{number}"), answer, MONDAY)
    assert weeks(database, 3, SUNDAY) == [], "the week is not over"
    assert weeks(database, 3, NEXT) == [WeekOfAnswers("2026-W47", (1, 0, 0, 2, 0))]
    assert weeks(database, 4, NEXT) == [WeekOfAnswers("2026-W47", None)]


def test_a_week_in_which_all_say_the_same_would_tell_everybodys_answer(database: Database) -> None:
    for number in range(3):
        feel(database, "secret", sat(database, f"w{number}"), 1, MONDAY)
    assert weeks(database, 3, NEXT) == [WeekOfAnswers("2026-W47", None)]


def test_one_person_who_answers_often_is_one_person(database: Database) -> None:
    worker = person(database)
    for _ in range(5):
        sitting = open_sitting(database, worker.id, Offer(1))
        feel(database, "secret", end_sitting(database, sitting.id, Outcome.LEFT), 2, MONDAY)
    assert weeks(database, 3, NEXT) == [WeekOfAnswers("2026-W47", None)]


def test_an_answer_counts_once_and_names_nobody(database: Database) -> None:
    sitting = sat(database, "Ann")
    assert not has_answered(database, "secret", sitting.id)
    for answer in (5, 1):
        feel(database, "secret", sitting, answer, MONDAY)
    assert has_answered(database, "secret", sitting.id)
    with database.read() as session:
        (row,) = session.scalars(select(WellbeingRow)).all()
        stored = str(session.execute(text("SELECT * FROM wellbeing")).all())
    assert row.answer == 5
    assert sitting.id not in stored and sitting.worker_id not in stored
    other = sat(database, "Bob")
    feel(database, "another secret", other, 5, MONDAY)
    assert not has_answered(database, "secret", other.id), "without the secret nobody can look an answer up"
