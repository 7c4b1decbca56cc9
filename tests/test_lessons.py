"""Comparisons as lessons: what is dropped and counted, in which order, and what is true of the first few."""

from typing import Any

import pytest

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.preference_model import PreferenceModel
from concordant.train.lessons import Lessons
from concordant.train_config import PreferenceModelConfig
from toy_lessons import preference
from toy_model import ToyModels

GIVEN = [
    preference("how", "same", "same"),
    preference("one", "good", "bad"),
    preference("two", "good", "bad", strength=4),
    preference("three", "good", "bad"),
    preference("x" * 400, "good", "bad"),
    preference("four", "good", "bad"),
]


@pytest.fixture(scope="module")
def model(toy: ToyModels) -> PreferenceModel:
    return PreferenceModel.from_language_model(toy.chat, seed=0, max_tokens=100)


def lessons(model: PreferenceModel, **settings: Any) -> Lessons:
    return Lessons.of(model, GIVEN, PreferenceModelConfig(batch_size=2, **settings))


def test_in_the_given_order_what_lies_before_a_lesson_is_known(model: PreferenceModel) -> None:
    found = lessons(model, order="given")
    assert [row.place for row in found.rows] == [1, 2, 3, 5]
    whole = found.said()
    assert (whole["comparisons"], whole["drawn"], whole["drawn_helpful"]) == (4, 6, 6) and sum(
        whole["dropped"].values()
    ) == 2
    assert whole["dropped"]["longer than the context"] == 1
    early = found.said(2)
    assert (early["comparisons"], early["drawn"]) == (2, 3)
    assert early["dropped"] == {reason: 1 for reason in whole["dropped"] if reason != "longer than the context"}
    assert early["worker_kinds"] == {"unknown": 2}


def test_of_a_part_of_a_shuffled_run_nothing_is_claimed(model: PreferenceModel) -> None:
    found = lessons(model, seed=1)
    assert sorted(row.place for row in found.rows) == [1, 2, 3, 5] and found.said()["drawn"] == 6
    assert found.said(2) == {"comparisons": 2, "cut": 0, "dropped": {}, "worker_kinds": {"unknown": 2}}


def test_prompts_that_lost_turns_are_counted(model: PreferenceModel) -> None:
    long = Conversation().human("x" * 200).assistant("yes").human("two")
    given = [Preference(Comparison(long, "good", "bad"), "a", Objective.HELPFUL), GIVEN[1]]
    found = Lessons.of(model, given, PreferenceModelConfig())
    assert (found.said()["comparisons"], found.said()["cut"]) == (2, 1)


def test_batches(model: PreferenceModel) -> None:
    config = PreferenceModelConfig(batch_size=3, order="given")
    found = Lessons.of(model, GIVEN, config)
    assert found.steps(config) == 2
    assert [[row.place for row in found.batch(step, config)] for step in range(2)] == [[1, 2, 3], [5]]


def test_nothing_usable_is_one_line(model: PreferenceModel) -> None:
    config = PreferenceModelConfig()
    with pytest.raises(UserError, match=r"none of the 0 comparisons can be used \(the set is empty\); collect more"):
        Lessons.of(model, [], config)
    with pytest.raises(UserError, match=r"none of the 2 comparisons can be used \(1 .*, 1 longer than the context\)"):
        Lessons.of(model, [GIVEN[0], GIVEN[4]], config)
