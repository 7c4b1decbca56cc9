"""Prompts: made distinct by words and nearly by words, and mixed in exact shares."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.prompts import (
    Origin,
    Prompt,
    Shares,
    asked,
    blend,
    distinct,
    mixed_in_words,
    near_duplicates,
    normalised,
    resembles,
)

HELPFUL, HARMLESS = Objective.HELPFUL, Objective.HARMLESS


def prompt(text: str, objective: Objective = HELPFUL, origin: Origin = Origin.HUMAN) -> Prompt:
    return Prompt(Conversation().human(text), objective, origin)


def stock(*counts: int) -> list[Prompt]:
    """So many (helpful by people, harmless by people, helpful by a model, harmless by a model)."""
    kinds = [(objective, origin) for origin in Origin for objective in (HELPFUL, HARMLESS)]
    return [
        prompt(f"{objective} {origin} {number}", objective, origin)
        for (objective, origin), count in zip(kinds, counts, strict=True)
        for number in range(count)
    ]


def counted(prompts: list[Prompt]) -> tuple[int, int, int]:
    """(all, by a model, harmless)."""
    return (
        len(prompts),
        sum(one.origin is Origin.MODEL for one in prompts),
        sum(one.objective is HARMLESS for one in prompts),
    )


def test_the_same_words_are_one_prompt() -> None:
    talk = Conversation().human("How do I bake bread?").assistant("Slowly.").human("And rolls?")
    prompts = [
        prompt("How do I bake bread?"),
        prompt("how do I bake BREAD"),
        Prompt(talk, HELPFUL),
        prompt("  "),
        Prompt(talk.assistant("Faster."), HELPFUL),
        prompt("?!"),
    ]
    kept, dropped = distinct(prompts)
    assert kept == [prompts[0], prompts[2], prompts[5]]
    assert dropped == {"duplicate": 1, "empty message": 1, "does not end on a human turn": 1}
    assert normalised(talk) == ("how do i bake bread", "slowly", "and rolls")


def test_near_duplicates_by_hand() -> None:
    """Ten words make eleven pairs, edges included. The last word changed: nine in common of thirteen, 0.69. A word put
    at the end: ten of thirteen, 0.77."""
    ten = "can you tell me how one bakes a large loaf"
    texts = [(ten,), ("can you tell me how one bakes a large cake",), (f"{ten} today",), ("something else",)]
    assert list(near_duplicates(texts, 0.7)) == [2]
    assert list(near_duplicates(texts, 0.69)) == [1, 2]
    assert list(near_duplicates(texts, 0.78)) == []
    # Another number of turns is another prompt: later turns hold all that was said before.
    assert list(near_duplicates([(ten,), (ten, "yes", "and")], 0.1)) == []


WORD = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.lists(st.lists(WORD, min_size=1, max_size=5).map(" ".join), max_size=12), st.sampled_from([0.3, 0.5, 0.7, 1.0])
)
def test_the_index_finds_what_comparing_all_would(texts: list[str], near: float) -> None:
    def pairs(text: str) -> set[str]:
        words = ["", *text.split(), ""]
        return {f"{one} {other}" for one, other in pairwise(words)}

    kept: list[str] = []
    found = []
    for place, text in enumerate(texts):
        if any(len(pairs(text) & pairs(other)) / len(pairs(text) | pairs(other)) >= near for other in kept):
            found.append(place)
        else:
            kept.append(text)
    assert list(near_duplicates([(text,) for text in texts], near)) == found


def test_a_copy_is_known_in_other_clothes() -> None:
    assert resembles("HOW do I bake bread!", ["How do I bake bread?"])
    assert not resembles("How do I mend a bicycle?", ["How do I bake bread?"])


@pytest.mark.parametrize(
    ("model", "harmless", "total", "expected"),
    [
        (0.5, 0.25, 40, (40, 20, 10)),
        (0.0, 0.0, 30, (30, 0, 0)),
        (1.0, 1.0, 20, (20, 20, 20)),
        (0.3, 0.5, 10, (10, 3, 5)),
        (0.73, 0.41, 50, (50, 36, 20)),  # 36.5 and 20.5: Sainte-Laguë gives the half to the smaller part or leaves it
    ],
)
def test_both_shares_are_met(model: float, harmless: float, total: int, expected: tuple[int, int, int]) -> None:
    found = counted(blend(stock(40, 40, 40, 40), Shares(model, harmless), total, seed=0))
    assert found[0] == expected[0]
    assert abs(found[1] - model * total) <= 0.5 + 1e-9 and abs(found[2] - harmless * total) <= 0.5 + 1e-9
    if (model * total) % 1 == (harmless * total) % 1 == 0:
        assert found == expected


@given(st.tuples(*[st.integers(0, 12)] * 4), st.floats(0, 1), st.floats(0, 1))
def test_the_largest_mixture_is_exact_and_one_more_is_refused(
    counts: tuple[int, int, int, int], model: float, harmless: float
) -> None:
    prompts = stock(*counts)
    try:
        found = counted(blend(prompts, Shares(model, harmless), None, seed=0))
    except UserError:
        return
    assert abs(found[1] - model * found[0]) <= 0.5 + 1e-9
    assert abs(found[2] - harmless * found[0]) <= 0.5 + 1e-9


def test_scarce_corners_move_the_corners_and_not_the_shares() -> None:
    """All harmless ones are by people, so all ten by the model are helpful."""
    mixture = blend(stock(20, 10, 20, 0), Shares(0.5, 0.5), 20, seed=0)
    assert counted(mixture) == (20, 10, 10)
    assert Counter((one.origin, one.objective) for one in mixture) == {
        (Origin.HUMAN, HARMLESS): 10,
        (Origin.MODEL, HELPFUL): 10,
    }


def test_too_few_say_what_there_is_and_the_most() -> None:
    with pytest.raises(
        UserError,
        match="20 prompts with these shares cannot be drawn from 5 harmless by people, 30 helpful by people; "
        "the most that they allow is 11",
    ):
        blend(stock(30, 5, 0, 0), Shares(harmless=0.5), 20, seed=0)
    with pytest.raises(UserError, match=r"the model share is 1.5; it must lie between 0 and 1"):
        Shares(1.5)


def test_without_shares_a_draw_is_nested_and_seeded() -> None:
    prompts = stock(10, 10, 10, 10)
    assert sorted(map(str, blend(prompts, Shares(), None, 0))) == sorted(map(str, prompts))
    small, large = (set(blend(prompts, Shares(), total, 3)) for total in (5, 15))
    assert small < large
    assert set(blend(prompts, Shares(), 5, 4)) != small


def test_what_a_policy_is_asked_is_distinct_and_in_the_shares() -> None:
    prompts = stock(6, 6, 6, 6)
    found, dropped = asked([*prompts, prompts[0], Prompt(Conversation().human(" "), HELPFUL)], Shares(), 0)
    assert found == prompts and dropped == {"duplicate": 1, "empty message": 1}
    found, dropped = asked(prompts, Shares(0.25, 0.5), 0)
    total, by_model, harmless = counted(found)
    assert (by_model / total, harmless / total) == (0.25, 0.5) and dropped == {"beyond the shares": 24 - total}
    assert asked(prompts, Shares(0.25, 0.5), 0) == (found, dropped)
    assert asked([], Shares(0.5), 0) == ([], Counter())
    for counts, shares, message in (
        ((6, 0, 6, 0), Shares(harmless=0.5), "harmless_share is 0.5, and none of the 12 prompts is harmless"),
        ((0, 6, 0, 0), Shares(harmless=0.5), "harmless_share is 0.5, and none of the 6 prompts is helpful"),
        ((6, 6, 0, 0), Shares(model=0.2), "model_share is 0.2, and none of the 12 prompts is by a model"),
        ((0, 0, 6, 0), Shares(model=0.2), "model_share is 0.2, and none of the 6 prompts is by people"),
    ):
        with pytest.raises(UserError, match=message):
            asked(stock(*counts), shares, 0)
    assert len(asked(stock(0, 0, 6, 0), Shares(model=1.0, harmless=0.0), 0)[0]) == 6


def test_a_mixture_in_words() -> None:
    said = "3 harmless by a model, 1 harmless by people, 2 helpful by people"
    assert mixed_in_words(stock(2, 1, 0, 3)) == said
