import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.evaluate.bag_of_words import (
    PENALTIES,
    BagOfWords,
    WordCounts,
    choose_penalty,
    fit_bag_of_words,
    fit_weights,
    words_of,
)
from toy_lessons import good_over_bad, preference

ELSEWHERE = [preference("nobody asks this", "x", "y")]


def counts(*rows: Sequence[float]) -> WordCounts:
    table = np.array(rows, dtype=np.float64)
    row, column = table.nonzero()
    return WordCounts(
        row.astype(np.int64), column.astype(np.int64), table[row, column], (table.shape[0], table.shape[1])
    )


def test_two_words_that_never_meet_worked_by_hand() -> None:
    # The first word stands in the chosen reply 3 times of 4, the second in the rejected one 3 times of 4. Where the
    # gradient is zero, 3σ(−w) − σ(w) = l2·w. With w = ln 2, σ(w) = 2/3: 1 − 2/3 = l2·ln 2.
    found = fit_weights(counts(*[[1, 0]] * 3, [-1, 0], *[[0, -1]] * 3, [0, 1]), l2=1 / (3 * math.log(2)))
    assert found == pytest.approx([math.log(2), -math.log(2)], abs=1e-9)


def test_two_words_that_meet_worked_by_hand() -> None:
    # One word against the other, 3 to 1. By symmetry w = (w, −w), and 3σ(−2w) − σ(2w) = l2·w; with 2w = ln 2 the left
    # side is 1/3.
    found = fit_weights(counts(*[[1, -1]] * 3, [-1, 1]), l2=2 / (3 * math.log(2)))
    assert found == pytest.approx([math.log(2) / 2, -math.log(2) / 2], abs=1e-9)


def test_the_gradient_is_zero_at_what_is_found_and_a_stronger_penalty_shrinks_it() -> None:
    random = np.random.default_rng(0)
    table = random.integers(-2, 3, (60, 12)).astype(float)
    sizes = []
    for l2 in (0.01, 1.0, 100.0):
        weights = fit_weights(counts(*table.tolist()), l2)
        gradient = l2 * weights - table.T @ (1 / (1 + np.exp(table @ weights)))
        assert np.abs(gradient).max() < 1e-7
        sizes.append(float(np.abs(weights).max()))
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("l2", [0.0, -1.0, math.nan])
def test_without_a_penalty_there_may_be_no_minimum(l2: float) -> None:
    with pytest.raises(ValueError, match="without a penalty"):
        fit_weights(counts([1.0]), l2)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=12))
def test_exchanging_the_sides_of_what_is_learned_flips_every_weight_exactly(table: list[list[int]]) -> None:
    rows = [[float(value) for value in row] for row in table]
    there = fit_weights(counts(*rows), 0.5)
    back = fit_weights(counts(*[[-value for value in row] for row in rows]), 0.5)
    assert (there == -back).all()


def swapped(one: Preference) -> Preference:
    return preference(one.prompt.first_human_turn, one.rejected, one.chosen)


def test_exchanging_the_sides_of_what_is_judged_flips_every_gap_exactly() -> None:
    lessons, exam = good_over_bad(60), good_over_bad(20, seed=1)
    model = fit_bag_of_words(lessons, [])
    gaps = model.gaps(exam)
    assert (gaps > 0).all()
    assert (model.gaps([swapped(one) for one in exam]) == -gaps).all()


def test_it_learns_the_words_that_decide() -> None:
    model = fit_bag_of_words(good_over_bad(60), [])
    by_weight = sorted(model.words, key=lambda word: float(model.weights[model.words[word]]))
    assert (by_weight[0], by_weight[-1]) == ("bad", "good")
    assert model.trained_on == 60
    assert model.score("Good, GOOD") == pytest.approx(2 * model.score("good"))
    assert model.score("xylophone") == 0.0


def test_the_vocabulary_takes_the_words_of_most_comparisons_then_the_alphabet() -> None:
    lessons = [preference("a", "one two", "three"), preference("b", "two", "three"), preference("c", "two", "one")]
    # two: 3 comparisons, one and three: 2 each
    assert list(fit_bag_of_words(lessons, [], most_words=2).words) == ["two", "one"]


def test_the_penalty_is_chosen_on_openings_held_out_of_training() -> None:
    # the two words always decide, so the weakest penalty is best; where nothing decides, a strong one
    assert choose_penalty(good_over_bad(80), 100) == PENALTIES[-1]
    random = np.random.default_rng(0)
    words = ["one", "two", "three", "four"]
    replies = [" ".join(random.choice(words, 6)) for _ in range(160)]
    noise = [preference(f"q {i}", replies[i], replies[80 + i]) for i in range(80)]
    assert choose_penalty(noise, 100) >= 100
    assert choose_penalty(good_over_bad(1), 100) == PENALTIES[0]


def test_beginning_near_by_ends_at_the_same_place() -> None:
    table = np.random.default_rng(1).integers(-2, 3, (40, 6)).astype(float).tolist()
    near = fit_weights(counts(*table), 3.0)
    assert fit_weights(counts(*table), 1.0, near) == pytest.approx(fit_weights(counts(*table), 1.0), abs=1e-8)


def test_openings_of_the_test_set_and_unsure_choices_are_left_out_and_counted() -> None:
    lessons = [
        preference("How do I bake?", "flour", "bread"),
        preference("how do i BAKE", "flour", "water"),
        preference("another", "flour", "bread", strength=1),
        preference("a third", "flour", "bread"),
    ]
    model = fit_bag_of_words(lessons, [preference("How do I bake", "x", "y")])
    assert model.trained_on == 1
    assert model.left_out == {"opening stands in the test set": 2, "weakest strength": 1}
    with pytest.raises(UserError, match=r"2 opening stands in the test set\); give others by --train"):
        fit_bag_of_words(lessons[:2], lessons[:1])
    with pytest.raises(UserError, match="none was given"):
        fit_bag_of_words([], lessons)


def test_words_are_letters_and_digits_whatever_their_size() -> None:
    assert words_of("It's 20 °C — Straße!") == ["it", "s", "20", "c", "strasse"]


def test_replies_without_any_word_of_the_vocabulary_tie() -> None:
    model = BagOfWords({"good": 0}, np.array([1.0]), 1.0, 1, {})
    assert model.gaps([preference("q", "a good one", "none"), preference("q", "x", "y")]).tolist() == [1.0, 0.0]
    assert fit_bag_of_words([preference("q", "...", "!!!")], ELSEWHERE).words == {}
