import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.accuracy import PM_FIELDS, evaluate_scores
from concordant.evaluate.bag_of_words import BagOfWords
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


def test_every_field_is_explained() -> None:
    assert evaluate_scores(four(), np.ones(4), np.zeros(4)).json().keys() == PM_FIELDS.keys()


def test_objectives_are_told_apart() -> None:
    harmless = [replace(one, objective=Objective.HARMLESS) for one in four()[:1]]
    result = evaluate_scores([*harmless, *four()[1:]], np.array([1.0, 0.0, 3.0, 5.0]), np.array([0.0, 1.0, 3.0, 3.0]))
    found = {name: (part["n"], part["accuracy"]) for name, part in result.json()["by_objective"].items()}
    assert found == {"harmless": (1, 1.0), "helpful": (3, 0.5)}


def test_thresholds_are_of_the_comparisons_that_count() -> None:
    preferences = [*four(), preference("five", strength=1)]
    result = evaluate_scores(preferences, np.array([1.0, 0.0, 3.0, 5.0, 900.0]), np.array([0.0, 1.0, 3.0, 3.0, 900.0]))
    # scores 1, 0, 3, 5, 0, 1, 3, 3: mean 2
    assert result.by_threshold.mean == pytest.approx(2.0)
    assert result.by_threshold.points[0].accuracy.n == 4
    # both above the mean: the third (a tie) and the fourth
    assert [(p.accuracy.n, p.accuracy.value) for p in result.by_threshold.points if p.sds == 0] == [(2, 0.75)]


def test_a_bag_of_words_stands_beside_on_the_same_comparisons() -> None:
    # "long" is worth 1: right on the first and the fourth, wrong on the second, blind on the third
    words = BagOfWords({"long": 0}, np.array([1.0]), 30.0, 77, {"weakest strength": 3})
    result = evaluate_scores(four(), np.array([1.0, 0.0, 3.0, 5.0]), np.array([0.0, 1.0, 4.0, 3.0]), words=words).json()
    assert result["accuracy"] == 0.5
    baseline = result["words_baseline"]
    assert (baseline["n"], baseline["accuracy"], baseline["ties"]) == (4, 2.5 / 4, 0.25)
    # −ln σ(1), −ln σ(−1), ln 2, −ln σ(1)
    assert baseline["nll"] == pytest.approx((0.313262 + 1.313262 + 0.693147 + 0.313262) / 4, abs=1e-6)
    assert {name: part["accuracy"] for name, part in baseline["by_file"].items()} == {"base": 0.5, "online": 1.0}
    # differences of credit 0, 0, −½, 0; less their mean, summed by opening: 1/8, −3/8 + 1/8, 1/8
    assert baseline["lead"] == pytest.approx(-0.125)
    sums = [0.125, -0.25, 0.125]
    error = math.sqrt(3 / 2 * sum(value**2 for value in sums)) / 4
    assert baseline["lead_ci95"] == pytest.approx([-0.125 - 1.959964 * error, -0.125 + 1.959964 * error])
    assert (baseline["trained_on"], baseline["words"], baseline["l2"]) == (77, 1, 30.0)
    assert baseline["left_out"] == {"weakest strength": 3}
    assert evaluate_scores(four(), np.ones(4), np.zeros(4)).json()["words_baseline"] is None


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
