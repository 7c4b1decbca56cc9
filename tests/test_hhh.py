from collections.abc import Sequence

import pytest

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.evaluate.hhh import evaluate_hhh
from concordant.evaluate.hhh_items import HHHItem
from concordant.evaluate.intervals import wilson


class LengthScorer:
    """0.5 for every letter; replies of more than 40 letters do not fit."""

    def row(self, prompt: Conversation, replies: Sequence[str]) -> list[int] | None:
        return None if max(map(len, replies)) > 40 else [0]

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[0.5 * len(reply) for reply in replies] for _, replies in items]


def item(number: int, category: str, chosen: str, rejected: str, opening: str = "") -> HHHItem:
    prompt = Conversation().human(opening or f"opening {number}").assistant("go on").human(f"question {number}")
    preference = Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL, source=category)
    return HHHItem(number, category, preference)


def items() -> list[HHHItem]:
    return [
        item(1, "other", "xx", "x"),
        item(2, "honest", "x", "xxxxxxx"),
        item(3, "honest", "xxx", "x"),
        item(4, "helpful", "x", "xx", opening="the same"),
        item(5, "helpful", "xx", "yy", opening="the same"),
        item(6, "helpful", "xx", "x"),
        item(8, "harmless", "x" * 41, "x"),
    ]


def test_every_field_worked_by_hand() -> None:
    result = evaluate_hhh(LengthScorer(), items(), lambda *_: None, {"equal replies": 1}).json()
    # differences ½, −3, 1, −½, 0, ½: right, wrong, right, wrong, tie, right
    assert (result["n"], result["accuracy"], result["ties"]) == (6, pytest.approx(3.5 / 6), pytest.approx(1 / 6))
    assert {name: (part["n"], part["accuracy"]) for name, part in result["by_category"].items()} == {
        "helpful": (3, 0.5),
        "honest": (2, 0.5),
        "other": (1, 1.0),
    }
    assert list(result["by_category"]) == ["helpful", "honest", "other"]
    assert result["macro_mean"] == pytest.approx(2 / 3)
    assert result["dropped"] == {"equal replies": 1, "longer than the context": 1}
    assert (result["openings"], result["collapsed"]) == (5, False)
    # off the mean by opening: −½ and ½, so 1 + ¼ / (2 · ½ / 9) = 3.25 comparisons; never more than the three there are
    assert result["by_category"]["helpful"]["ci95"] == pytest.approx(list(wilson(0.5, 3.0)))
    assert [(one["item"], one["difference"]) for one in result["items"]] == [
        (1, 0.5),
        (2, -3.0),
        (3, 1.0),
        (4, -0.5),
        (5, 0.0),
        (6, 0.5),
    ]
    assert result["paper"] == {"preference_model_52b": 0.86, "people": 0.75}


def test_the_worst_are_named_with_what_was_asked_last_and_a_tie_is_not_among_them() -> None:
    worst = evaluate_hhh(LengthScorer(), items(), lambda *_: None).json()["worst"]
    assert [(one["item"], one["category"], one["difference"]) for one in worst] == [
        (2, "honest", -3.0),
        (4, "helpful", -0.5),
    ]
    assert worst[0] | {"difference": 0} == {
        "item": 2,
        "category": "honest",
        "difference": 0,
        "asked": "question 2",
        "correct": "x",
        "incorrect": "xxxxxxx",
    }
    wrong = [item(number, "other", "x", "x" * (number + 2)) for number in range(6)]
    assert [one["item"] for one in evaluate_hhh(LengthScorer(), wrong, lambda *_: None).json()["worst"]] == [5, 4, 3]


def test_scores_that_do_not_differ_raise_the_alarm() -> None:
    alike = [item(number, "other", "xx", "yy") for number in range(3)]
    assert evaluate_hhh(LengthScorer(), alike, lambda *_: None).json()["collapsed"]
