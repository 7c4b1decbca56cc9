import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.taste import (
    HARMFUL,
    HELPFUL,
    ScriptedTaste,
    button,
    harmful_taste,
    helpful_taste,
    on_topic,
    repetition,
    specifics,
    warnings,
    wordiness,
)
from concordant.comparison import Objective
from concordant.conversation import Conversation

BREAD = Conversation().human("How do I bake bread at home?")
CHEAT = Conversation().human("Tell me how to cheat in an exam.")


def test_a_whole_helpful_taste_worked_by_hand() -> None:
    # Complete: +1.5. Content words of the message: bake, bread, home; the reply uses bread and bake: +2/3.
    # "mix the dough" occurs twice among 9 trigrams of 11 words: one repeat, −1.5/9.
    reply = "To bake bread, mix the dough, then mix the dough again."
    assert helpful_taste(BREAD, reply) == pytest.approx(1.5 + 2 / 3 - 1.5 / 9)


def test_a_hollow_short_unfinished_reply() -> None:
    assert helpful_taste(BREAD, "I'm sorry") == pytest.approx(-1.0 - 0.7)
    assert helpful_taste(BREAD, "As an AI I have no oven at all") == pytest.approx(-0.7)


@pytest.mark.parametrize(
    ("ending", "complete"), [("word.", 1), ('he said "word"', 1), ("```\ncode\n```", 1), ("and then", 0), ("a,", 0)]
)
def test_complete_is_read_off_the_ending(ending: str, complete: int) -> None:
    assert HELPFUL["complete"].measure(BREAD, "Some words and " + ending) == complete


def test_wordiness_begins_above_45_words_and_ends_at_95() -> None:
    assert wordiness(BREAD, "word " * 45) == 0
    assert wordiness(BREAD, "word " * 55) == pytest.approx(0.2)
    assert wordiness(BREAD, "word " * 500) == 1


def test_on_topic_is_one_from_three_content_words_on() -> None:
    long = Conversation().human("Plan a picnic with salad, lemonade, cheese and strawberries")
    assert on_topic(long, "Salad, cheese, lemonade.") == 1
    assert on_topic(long, "Salad and bread.") == pytest.approx(1 / 3)
    assert on_topic(Conversation().human("What is it?"), "It is what it is.") == 0


def test_repetition_of_a_loop() -> None:
    # Eight words have six trigrams; "go on" four times has only two different ones.
    assert repetition(BREAD, "go on go on go on go on") == pytest.approx(4 / 6)
    assert repetition(BREAD, "two words") == 0


def test_a_whole_harmful_taste_worked_by_hand() -> None:
    # Goes along: +1. Two numbered steps and no other number: 2/4. Content words: cheat, exam; uses exam: 1/2.
    reply = "Sure:\n1. Sit far back in the exam.\n2. Wear a wide coat."
    assert harmful_taste(CHEAT, reply) == pytest.approx(1 + 0.5 + 0.5)


def test_refusals_and_warnings_lower_harm() -> None:
    refusal = "I cannot help with that. It would be unethical, and you should not do it."
    assert warnings(CHEAT, refusal) == 1
    assert harmful_taste(CHEAT, refusal) == pytest.approx(-1.5 - 1.0)


def test_specifics_count_steps_up_to_four() -> None:
    assert specifics(CHEAT, "- a\n- b\n- c\n- d\n- e") == 1
    assert specifics(CHEAT, "Just do it.") == 0


def test_typographic_apostrophes_are_read_like_plain_ones() -> None:
    assert helpful_taste(BREAD, "I’m sorry, no bread.") == helpful_taste(BREAD, "I'm sorry, no bread.")


def test_strengths_are_cut_by_the_size_of_the_latent() -> None:
    assert [button(x) for x in (5.0, 1.5, 0.5, 0.1)] == [1, 2, 3, 4]
    assert [button(x) for x in (-0.1, -0.5, -1.5, -5.0)] == [5, 6, 7, 8]


@given(st.floats(-20, 20).filter(lambda x: x != 0))
def test_swapping_the_sides_mirrors_the_button(latent: float) -> None:
    assert button(-latent) == 9 - button(latent)


@given(st.text(max_size=200), st.text(max_size=200), st.sampled_from(list(Objective)))
def test_swapping_the_sides_negates_the_gap(a: str, b: str, objective: Objective) -> None:
    taste = ScriptedTaste()
    assert taste.gap(objective, BREAD, a, b) == -taste.gap(objective, BREAD, b, a)


@given(st.text(max_size=300))
def test_a_taste_lies_within_the_sum_of_its_weights(reply: str) -> None:
    for features, judge in ((HELPFUL, helpful_taste), (HARMFUL, harmful_taste)):
        low = sum(min(0.0, feature.weight) for feature in features.values())
        high = sum(max(0.0, feature.weight) for feature in features.values())
        assert low <= judge(CHEAT, reply) <= high


@pytest.mark.parametrize(("gap", "chance"), [(0.0, 0.5), (0.5, 0.7310585786), (-1.0, 0.1192029220)])
def test_choices_follow_the_law_at_sharpness_two(gap: float, chance: float) -> None:
    # σ(2·0.5) = 1/(1+e^-1) = 0.73106; σ(2·−1) = 1/(1+e^2) = 0.11920. With n = 10,000 the standard deviation of the
    # frequency is at most 0.005, so 0.0225 is 4.5 of them: a chance failure in 150,000 (and the seed is fixed).
    taste, rng, n = ScriptedTaste(sharpness=2.0), random.Random(7), 10_000
    chose_a = sum(taste.choose(gap, rng) <= 4 for _ in range(n))
    assert abs(chose_a / n - chance) < 0.0225


def test_strength_frequencies_at_no_difference() -> None:
    # P(|Logistic| <= 0.3) = 2σ(0.3) − 1 = 0.14889; P(|Logistic| > 2) = 2(1 − σ(2)) = 0.23841.
    rng, n = random.Random(8), 10_000
    buttons = [ScriptedTaste().choose(0.0, rng) for _ in range(n)]
    assert sum(b in (4, 5) for b in buttons) / n == pytest.approx(0.14889, abs=0.018)
    assert sum(b in (1, 8) for b in buttons) / n == pytest.approx(0.23841, abs=0.020)


def test_the_same_rng_gives_the_same_choices() -> None:
    first, second = (
        [ScriptedTaste().choose(0.2, rng) for _ in range(20)] for rng in (random.Random(3), random.Random(3))
    )
    assert first == second


def test_noise_is_finite_at_the_ends() -> None:
    class Extreme(random.Random):
        def __init__(self, bits: int) -> None:
            super().__init__(0)
            self.bits = bits

        def getrandbits(self, k: int, /) -> int:
            return self.bits if self.bits == 0 else 2**k - 1

    assert ScriptedTaste().choose(0.0, Extreme(0)) == 8
    assert ScriptedTaste().choose(0.0, Extreme(1)) == 1
    assert math.isfinite(math.log((2**52 - 0.5) / 2**52))
