"""Which snapshots along √KL are kept: by hand, and what holds for any run."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from concordant.train.kept_policies import chosen_steps


def test_the_first_beyond_each_mark() -> None:
    """Marks 0.5, 1, 1.5 …: 0.6 is beyond the first, 0.7 beyond nothing new, 1.7 beyond two at once, 1.9 is not."""
    assert chosen_steps([0.0, 0.6, 0.7, 1.7, 1.9, 0.4, 2.0], 0.5, 9) == [1, 3, 6]
    assert chosen_steps([0.5, 1.0], 0.5, 9) == [0, 1]
    assert chosen_steps([0.0, 0.4], 0.5, 9) == []


def test_where_there_are_too_many_the_step_doubles() -> None:
    """With a step of 1, places 1 to 5 pass a mark; at most three, so the step is 2 from the fourth on: 2 and 4."""
    roots = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert chosen_steps(roots[:4], 1.0, 3) == [1, 2, 3]
    assert chosen_steps(roots, 1.0, 3) == [2, 4, 6]
    assert chosen_steps([0.0, 1.1, 2.1], 1.0, 1) == [2]


ROOTS = st.lists(st.floats(0, 20), max_size=40)


@given(ROOTS, st.floats(0.1, 3), st.integers(1, 6))
def test_there_are_never_too_many_and_each_is_further_away(roots: list[float], step: float, most: int) -> None:
    kept = chosen_steps(roots, step, most)
    assert len(kept) <= most
    assert all(roots[one] < roots[other] for one, other in itertools.pairwise(kept))
    assert bool(kept) == any(root >= step for root in roots)


@given(ROOTS, st.floats(0.1, 3), st.integers(1, 6))
def test_what_was_let_go_of_never_comes_back(roots: list[float], step: float, most: int) -> None:
    """So that a run may drop a folder as soon as it is not chosen any more."""
    before: set[int] = set()
    for end in range(len(roots) + 1):
        now = set(chosen_steps(roots[:end], step, most))
        assert now <= before | {end - 1}
        before = now
