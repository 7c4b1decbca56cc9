import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.accuracy import evaluate_scores
from concordant.evaluate.intervals import wilson


def preference(
    opening: str,
    turn: int = 1,
    chosen: str = "yes",
    rejected: str = "no",
    source: str = "f",
    strength: int | None = None,
) -> Preference:
    prompt = Conversation().human(opening)
    for _ in range(turn - 1):
        prompt = prompt.assistant("go on").human("more")
    return Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL, source=source, strength=strength)


def four() -> list[Preference]:
    return [
        preference("one", 1, "long reply", "short", "base"),
        preference("two", 1, "short", "long reply", "base"),
        preference("two", 2, "equal", "equel", "base"),
        preference("three", 3, "long reply", "short", "online"),
    ]


def test_every_field_worked_by_hand() -> None:
    # gaps 1, −1, 0, 2
    result = evaluate_scores(four(), np.array([1.0, 0.0, 3.0, 5.0]), np.array([0.0, 1.0, 3.0, 3.0])).json()
    assert result["n"] == 4
    assert result["accuracy"] == pytest.approx(2.5 / 4)
    assert result["ties"] == pytest.approx(1 / 4)
    # −ln σ: 0.313262, 1.313262, ln 2, 0.126928
    assert result["nll"] == pytest.approx((0.313262 + 1.313262 + 0.693147 + 0.126928) / 4, abs=1e-6)
    # one bin: predicted (0.731059 + 0.731059 + 0.5 + 0.880797) / 4 = 0.710729 against 0.625
    assert result["ece"] == pytest.approx(0.085729, abs=1e-6)
    # longer wins, loses, equal, wins
    assert result["length_baseline"]["longer_wins"] == pytest.approx(2.5 / 4)
    assert {turn: (part["n"], part["accuracy"]) for turn, part in result["by_turn"].items()} == {
        "1": (2, 0.5),
        "2": (1, 0.5),
        "3": (1, 1.0),
    }
    assert {name: (part["n"], part["accuracy"]) for name, part in result["by_file"].items()} == {
        "base": (3, 0.5),
        "online": (1, 1.0),
    }
    # residual sums by opening: 0.375, −0.75, 0.375: variance 3/2 · 0.84375/16; 1 + 0.234375 / 0.079102 credits
    assert result["ci95"] == pytest.approx(list(wilson(0.625, 3.962963)))
    assert (result["openings"], result["collapsed"], result["dropped"]) == (3, False, {})
    json.dumps(result, allow_nan=False)


def test_the_contracts_fields_are_all_there() -> None:
    result = evaluate_scores(four(), np.ones(4), np.zeros(4)).json()
    assert {"n", "accuracy", "ci95", "ties", "nll", "ece", "length_baseline", "by_turn", "by_file"} <= result.keys()


def test_a_collapsed_model_is_half_right_and_raises_the_alarm() -> None:
    result = evaluate_scores(four(), np.full(4, 7.0), np.full(4, 7.0))
    assert (result.accuracy.value, result.ties, result.collapsed) == (0.5, 1.0, True)
    assert result.nll == pytest.approx(math.log(2))
    nearly = evaluate_scores(four(), np.full(4, 7.0001), np.full(4, 7.0))
    assert (nearly.accuracy.value, nearly.collapsed) == (1.0, True)


def test_scores_that_differ_between_prompts_only_are_collapsed_too() -> None:
    scores = np.array([-3.0, 0.0, 2.0, 9.0])
    assert evaluate_scores(four(), scores, scores).collapsed


def test_unsure_choices_are_dropped_and_counted() -> None:
    preferences = [preference("one", strength=4), preference("two", strength=1), preference("three", strength=2)]
    result = evaluate_scores(preferences, np.array([1.0, -9.0, 1.0]), np.zeros(3))
    assert (result.accuracy.n, result.accuracy.value, dict(result.dropped)) == (2, 1.0, {"weakest strength": 1})


def test_many_comparisons_of_one_conversation_are_not_many_conversations() -> None:
    scores = np.array([1.0] * 30 + [-1.0] * 10)
    one_each = evaluate_scores([preference(f"opening {i}") for i in range(40)], scores, np.zeros(40))
    in_fours = evaluate_scores([preference(f"opening {i // 4}") for i in range(40)], scores, np.zeros(40))
    assert one_each.accuracy.ci95 == pytest.approx(wilson(0.75, 40.0))
    assert in_fours.accuracy.ci95[0] < one_each.accuracy.ci95[0] - 0.1


@pytest.mark.parametrize(
    ("preferences", "message"),
    [
        ([], "none was given"),
        ([preference("one", strength=1)], "1 weakest strength"),
    ],
)
def test_nothing_to_evaluate_is_an_error(preferences: list[Preference], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_scores(preferences, np.zeros(len(preferences)), np.zeros(len(preferences)))


def test_a_score_that_is_not_finite_is_an_error_and_not_a_loss() -> None:
    with pytest.raises(UserError, match="1 of 4 comparisons are not finite"):
        evaluate_scores(four(), np.array([1.0, math.nan, 1.0, 1.0]), np.zeros(4))


def test_scores_and_preferences_must_match_one_for_one() -> None:
    with pytest.raises(ValueError, match="not one for one"):
        evaluate_scores(four(), np.zeros(3), np.zeros(3))


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=30))
def test_exchanging_chosen_and_rejected_turns_accuracy_round(scores: list[tuple[float, float]]) -> None:
    preferences = [preference(f"opening {index}") for index in range(len(scores))]
    chosen, rejected = np.array(scores, dtype=float).T
    forward, backward = (evaluate_scores(preferences, *pair) for pair in ((chosen, rejected), (rejected, chosen)))
    assert forward.accuracy.value + backward.accuracy.value == pytest.approx(1)
    assert forward.ties == backward.ties


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(-100, 100))
def test_only_differences_of_scores_count(gaps: list[float], offset: float) -> None:
    preferences = [preference(f"opening {index}") for index in range(len(gaps))]
    gap = np.round(np.array(gaps), 3)
    first = evaluate_scores(preferences, gap, np.zeros(len(gaps)))
    second = evaluate_scores(preferences, gap + round(offset), np.full(len(gaps), float(round(offset))))
    assert first.nll == pytest.approx(second.nll, abs=1e-6)
