"""Buttons, and rows put together into the text of a talk."""

import pytest
from sqlalchemy import insert

from concordant.conversation import Conversation
from concordant.store.database import Database
from concordant.store.tables import ChoiceRow
from concordant.store.talk_views import view_of
from concordant.store.transcripts import clicked_side, conversation, exchanges, prompt_of, strength
from stories import base_model, draw, person, play


def test_eight_buttons_are_two_sides_of_four_strengths() -> None:
    assert [clicked_side(button) for button in range(1, 9)] == ["a"] * 4 + ["b"] * 4
    assert [strength(button) for button in range(1, 9)] == [4, 3, 2, 1, 1, 2, 3, 4]


@pytest.mark.parametrize("button", range(1, 9))
def test_mirrored_buttons_say_the_same_of_the_other_side(button: int) -> None:
    assert strength(9 - button) == strength(button)
    assert clicked_side(9 - button) != clicked_side(button)


def test_a_talk_is_put_together_in_order(database: Database) -> None:
    comparisons = play(database, person(database), draw(base_model(database)), [1, 8, 4])
    talk = view_of(database, comparisons[0]).id
    with database.read() as session:
        turns = exchanges(session, [talk, "no such talk"])
        assert [turn.comparison.id for turn in turns[talk]] == comparisons
        assert turns["no such talk"] == []
        two = Conversation().human("question 1").assistant("reply 0").human("question 2").assistant("reply 1")
        assert prompt_of(turns[talk], 2) == two.human("question 3")
        assert conversation(turns[talk]) == two.human("question 3").assistant("reply 0")


def test_a_later_choice_supersedes_the_earlier(database: Database) -> None:
    (comparison,) = play(database, person(database), draw(base_model(database)), [1])
    with database.write() as session:
        session.execute(insert(ChoiceRow).values(comparison_id=comparison, number=2, button=8, key="undo"))
    talk = view_of(database, comparison).id
    with database.read() as session:
        assert conversation(exchanges(session, [talk])[talk]).turns[-1].text == "reply 1"
