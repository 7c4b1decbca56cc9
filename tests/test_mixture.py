"""Draws are nested and mixtures exact; two parts share no opening."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.mixture import Source, apportion, draw, in_order, largest_total, mix, parse_split, part_of, teaching

WEIGHTS = st.lists(st.integers(0, 20).map(float), min_size=1, max_size=5).filter(any)


def rows(
    count: int, name: str, objective: Objective = Objective.HELPFUL, strength: int | None = None
) -> list[Preference]:
    return [
        Preference(Comparison(Conversation().human(f"{name} {i}"), "good", "bad"), "a", objective, strength=strength)
        for i in range(count)
    ]


@given(st.integers(0, 60), st.integers(0, 60), st.integers(-3, 3))
def test_a_smaller_draw_begins_a_larger_one_and_nothing_comes_twice(one: int, other: int, seed: int) -> None:
    everything = list(range(60))
    small, large = sorted((one, other))
    drawn = draw(everything, large, seed)
    assert draw(everything, small, seed) == drawn[:small]
    assert len(drawn) == len(set(drawn)) == large
    assert sorted(draw(everything, 60, seed)) == everything


def test_another_seed_draws_others_and_too_many_are_refused() -> None:
    assert draw(range(100), 10, 0) != draw(range(100), 10, 1)
    with pytest.raises(UserError, match="11 comparisons were asked for, and there are 10"):
        draw(range(10), 11, 0)


def test_apportioning_by_hand() -> None:
    assert apportion([0.7, 0.3], 10) == [7, 3]
    assert apportion([7.0, 3.0], 4200) == [2940, 1260]
    # 3 : 2 : 1 divided by 1, 3, 5 …: the five largest quotients are 3, 1 of the first, 2, 2/3 of the second, 1.
    assert apportion([3.0, 2.0, 1.0], 5) == [2, 2, 1]
    assert apportion([1.0, 0.0], 9) == [9, 0]
    assert apportion([0.1, 0.9], 0) == [0, 0]


@given(WEIGHTS, st.integers(0, 300))
def test_parts_sum_up_and_never_shrink_as_the_total_grows(weights: list[float], total: int) -> None:
    now, more = apportion(weights, total), apportion(weights, total + 1)
    assert sum(now) == total
    assert all(before <= after for before, after in zip(now, more, strict=True))
    exact = int(sum(weights)) * 7
    assert apportion(weights, exact) == [7 * weight for weight in weights]


@given(WEIGHTS, st.data())
def test_the_largest_total_is_the_largest(weights: list[float], data: st.DataObject) -> None:
    available = [data.draw(st.integers(0, 40)) for _ in weights]

    def possible(total: int) -> bool:
        return all(part <= most for part, most in zip(apportion(weights, total), available, strict=True))

    most = largest_total(weights, available)
    assert possible(most)
    assert most == sum(available) or not possible(most + 1)


def test_a_mixture_holds_its_shares_and_grows_by_adding() -> None:
    sources = [Source("h", rows(70, "h"), 0.7), Source("x", rows(60, "x", Objective.HARMLESS), 0.3)]
    small, large = mix(sources, 20, seed=3), mix(sources, 50, seed=3)
    assert (small.counts, large.counts) == ([14, 6], [35, 15])
    assert set(small.preferences) < set(large.preferences)
    assert sum(row.objective == Objective.HARMLESS for row in large.preferences) == 15
    assert mix(sources, None, seed=3).counts == [70, 30]  # the scarcer one decides


def test_without_weights_it_is_everything_or_a_draw_from_all() -> None:
    sources = [Source("h", rows(30, "h")), Source("x", rows(10, "x"))]
    assert mix(sources, None, 0).preferences == [*rows(30, "h"), *rows(10, "x")]
    drawn = mix(sources, 8, 0)
    assert len(drawn.preferences) == sum(drawn.counts) == 8
    assert drawn.counts[1] == sum(row.prompt.first_human_turn.startswith("x") for row in drawn.preferences)
    assert mix(sources, 16, 0).preferences[:8] == drawn.preferences
    assert mix(sources, 1000, 0).counts == [30, 10]


def test_the_weakest_are_never_drawn() -> None:
    source = [*rows(5, "sure", strength=3), *rows(50, "unsure", strength=1)]
    assert sorted(row.prompt.first_human_turn for row in mix([Source("s", source)], 5, 0).preferences) == [
        f"sure {i}" for i in range(5)
    ]
    assert len(mix([Source("s", source)], None, 0).preferences) == 55  # training drops and counts them itself
    assert teaching(source) == source[:5]


@pytest.mark.parametrize(
    ("weights", "total", "message"),
    [
        ((1.0, 1.0), 30, "x has 10 comparisons, and its share of 30 is 15; the most that these weights allow is 2"),
        ((1.0, None), 10, "needs a weight of 0 or more on every file"),
        ((0.0, 0.0), 10, "one above 0"),
        ((1.0, -1.0), 10, "needs a weight of 0 or more"),
    ],
)
def test_what_cannot_be_mixed(weights: tuple[float | None, ...], total: int, message: str) -> None:
    sources = [Source("h", rows(30, "h"), weights[0]), Source("x", rows(10, "x"), weights[1])]
    with pytest.raises(UserError, match=message):
        mix(sources, total, 0)


def test_an_empty_source_leaves_nothing_to_mix() -> None:
    assert mix([Source("h", rows(3, "h"), 1.0), Source("x", [], 0.0)], None, 0).counts == [3, 0]
    with pytest.raises(UserError, match="x has no comparison left to draw"):
        mix([Source("h", rows(3, "h"), 1.0), Source("x", [], 1.0)], None, 0)


def test_two_parts_share_no_opening_and_lie_inside_each_other() -> None:
    every = [row for number in range(400) for row in rows(1, f"talk {number}") * 2]
    a, b = part_of(every, (50, 50), "a"), part_of(every, (50, 50), "b")
    openings = [{row.prompt.split_key for row in part} for part in (a, b)]
    assert len(a) + len(b) == 800 and not openings[0] & openings[1]
    assert 150 < len(openings[0]) < 250
    small = part_of(every, (95, 5), "b")
    assert 5 < len(small) < 80 and all(row in b for row in small)
    assert part_of(list(reversed(every)), (1, 1), "a") == list(reversed(a))


def test_splits_as_they_are_written() -> None:
    assert parse_split("65/35") == (65, 35)
    for text in ("65", "0/100", "a/b", "65/35/1", "-5/5", "0.5/0.5", "²/3", "1/20000"):
        with pytest.raises(UserError, match="split"):
            parse_split(text)


@settings(deadline=None, max_examples=20)  # each makes some sixty mixtures
@given(WEIGHTS, st.integers(0, 3))
def test_in_one_order_every_beginning_is_a_mixture(weights: list[float], seed: int) -> None:
    """Exactly in proportion, and of the same comparisons as a mixture of that size."""
    sources = [Source(str(place), rows(12, str(place)), weight) for place, weight in enumerate(weights)]
    largest = in_order(sources, largest_total(weights, [12] * len(weights)), seed)
    assert largest.counts == apportion(weights, len(largest.preferences))
    for size in range(len(largest.preferences) + 1):
        smaller = in_order(sources, size, seed)
        assert smaller.preferences == largest.preferences[:size]
        assert smaller.counts == mix(sources, size, seed).counts
        assert set(smaller.preferences) == set(mix(sources, size, seed).preferences)


def test_taking_turns_by_hand() -> None:
    """3 : 1 divided by 1, 3, 5 …: 3, 1 (a before b where equal), 1, 3/5, 3/7, 1/3 …"""
    sources = [Source("a", rows(9, "a"), 3.0), Source("b", rows(9, "b"), 1.0)]
    names = [row.prompt.turns[0].text[0] for row in in_order(sources, 8, 0).preferences]
    assert "".join(names) == "aabaaaba"
    plain = [Source("a", rows(9, "a")), Source("b", rows(9, "b"))]
    assert in_order(plain, 7, 1) == mix(plain, 7, 1)
