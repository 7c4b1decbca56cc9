"""Preferences: exchanging sides changes nothing that is said; a split never leaks an opening."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import (
    Comparison,
    Objective,
    Preference,
    Tranche,
    preference_from_hh,
    split_by_opening,
)
from concordant.conversation import Conversation
from concordant.errors import UserError

prompts = st.builds(
    lambda opening, more: (
        Conversation().human(opening) if not more else Conversation().human(opening).assistant(more).human(more)
    ),
    st.text(),
    st.text(),
)
preferences = st.builds(
    Preference,
    st.builds(Comparison, prompts, st.text(), st.text()),
    st.sampled_from(["a", "b"]),
    st.sampled_from(Objective),
    st.sampled_from(Tranche),
    strength=st.none() | st.integers(1, 4),
    worker=st.none() | st.text(),
    models=st.none() | st.tuples(st.text(), st.text()),
)


def preference(chosen: str, rejected: str, prompt: Conversation | None = None) -> Preference:
    prompt = Conversation().human("hi") if prompt is None else prompt
    return Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL)


@given(preferences)
def test_swapping_twice_is_the_identity(preference: Preference) -> None:
    assert preference.swap().swap() == preference
    assert preference.comparison.swap().swap() == preference.comparison


@given(preferences)
def test_swapping_turns_the_answer_but_says_the_same(preference: Preference) -> None:
    swapped = preference.swap()
    assert swapped.preferred != preference.preferred
    assert (swapped.chosen, swapped.rejected) == (preference.chosen, preference.rejected)
    assert swapped.flaw() == preference.flaw()
    if preference.models is not None:
        assert swapped.models == (preference.models[1], preference.models[0])


def test_chosen_and_rejected_follow_the_preferred_side() -> None:
    comparison = Comparison(Conversation().human("hi"), "left", "right")
    liked_b = Preference(comparison, "b", Objective.HARMLESS, models=("old", "new"))
    assert (liked_b.chosen, liked_b.rejected) == ("right", "left")
    assert liked_b.swap().comparison == Comparison(Conversation().human("hi"), "right", "left")
    assert liked_b.swap().models == ("new", "old")


@pytest.mark.parametrize(
    ("flawed", "reason"),
    [
        (preference("x", "x"), "equal replies"),
        (preference("x", " \n"), "empty reply"),
        (preference("", "x"), "empty reply"),
        (preference("x", "y", Conversation()), "prompt does not end on a human turn"),
        (preference("x", "y", Conversation().human("a").assistant("b")), "prompt does not end on a human turn"),
        (preference("x", "y"), None),
    ],
)
def test_what_cannot_teach_is_named(flawed: Preference, reason: str | None) -> None:
    assert flawed.flaw() == reason


@pytest.mark.parametrize("strength", [0, 5, -1])
def test_a_strength_outside_1_to_4_is_refused(strength: int) -> None:
    with pytest.raises(UserError, match=f"strength is {strength}"):
        Preference(Comparison(Conversation().human("q"), "x", "y"), "a", Objective.HELPFUL, strength=strength)


def test_only_strength_1_is_the_weakest() -> None:
    comparison = Comparison(Conversation().human("q"), "x", "y")
    weakest = [
        strength
        for strength in (None, 1, 2, 3, 4)
        if Preference(comparison, "a", Objective.HELPFUL, strength=strength).is_weakest
    ]
    assert weakest == [1]


def test_a_pair_of_transcripts_becomes_a_preference_split_at_the_last_reply() -> None:
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    made = preference_from_hh(f"{start} good", f"{start} bad", Objective.HARMLESS, Tranche.RS, "file")
    prompt = Conversation().human("a").assistant("b").human("c")
    assert made == Preference(Comparison(prompt, "good", "bad"), "a", Objective.HARMLESS, Tranche.RS, source="file")


def test_transcripts_that_part_before_the_last_reply_are_refused() -> None:
    with pytest.raises(UserError, match="do not share a prompt"):
        preference_from_hh(
            "\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: y", Objective.HELPFUL, Tranche.BASE
        )


@given(st.lists(preferences, max_size=12), st.floats(0, 1), st.text(max_size=3))
def test_a_split_keeps_every_row_in_order_and_leaks_no_opening(
    rows: list[Preference], fraction: float, salt: str
) -> None:
    train, test = split_by_opening(rows, fraction, salt)
    assert {row.prompt.split_key for row in train}.isdisjoint(row.prompt.split_key for row in test)
    assert (train, test) == split_by_opening(rows, fraction, salt)
    merged = {True: iter(test), False: iter(train)}
    in_test = {row.prompt.split_key for row in test}
    assert [next(merged[row.prompt.split_key in in_test]) for row in rows] == rows


def test_where_an_opening_falls_does_not_depend_on_its_company() -> None:
    rows = [preference("x", "y", Conversation().human(f"question {number}")) for number in range(40)]
    _, of_all = split_by_opening(rows, 0.5)
    _, of_half = split_by_opening(rows[::2], 0.5)
    assert of_half == [row for row in of_all if row in rows[::2]]


def test_the_ends_of_the_fraction_and_its_expectation() -> None:
    rows = [preference("x", "y", Conversation().human(f"question {number}")) for number in range(1000)]
    assert split_by_opening(rows, 0.0) == (rows, [])
    assert split_by_opening(rows, 1.0) == ([], rows)
    _, test = split_by_opening(rows, 0.2)
    assert 150 <= len(test) <= 250  # 200 expected, standard deviation 12.6: within four of them


def test_another_salt_gives_another_cut() -> None:
    rows = [preference("x", "y", Conversation().human(f"question {number}")) for number in range(100)]
    cuts = [split_by_opening(rows, 0.5, salt)[1] for salt in ("", "b", "c")]
    assert all(one != other for one, other in combinations(cuts, 2))
