import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.assignment import (
    draw,
    draw_beside,
    draw_given,
    draw_objective,
    expected_shares,
    wanted_turns,
)
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.registry import Deployment, Snapshot, SnapshotKind, State

N = 4_000
"""Draws in each count. A share then has a standard deviation of at most 0.008; 0.036 is 4.5 of them."""


def deployed(name: str, weight: float, objective: Objective | None = None) -> Deployment:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Deployment(f"d-{name}", Snapshot(name, name, SnapshotKind.MODEL, {}, None, (), now), weight, objective)


def pairs(deployments: list[Deployment], share: float, study: str = "") -> Counter[tuple[str, str]]:
    rng, config = random.Random(1), CollectConfig(cross_model_share=share)
    return Counter(draw(deployments, Objective.HELPFUL, config, study, rng).snapshots for _ in range(N))


def test_one_model_meets_itself() -> None:
    assert pairs([deployed("a", 1.0)], share=1.0) == {("a", "a"): N}
    assert pairs([deployed("a", 1.0)], share=1.0, study="board:x") == {("a", "a"): N}


def test_the_cross_model_share_is_kept() -> None:
    found = pairs([deployed("a", 1.0), deployed("b", 1.0)], share=0.3)
    assert (found["a", "b"] + found["b", "a"]) / N == pytest.approx(0.3, abs=0.036)
    assert found["a", "a"] / N == pytest.approx(0.35, abs=0.036)


def test_a_board_study_is_always_between_two_models() -> None:
    found = pairs([deployed("a", 1.0), deployed("b", 9.0)], share=0.0, study="board:iteration-1")
    assert found["a", "a"] == found["b", "b"] == 0


def test_weights_count_and_deployments_of_one_model_add_up() -> None:
    # Weight 3 of a (in two parts) against 1 of b: a is drawn in 75 %.
    found = pairs([deployed("a", 1.0), deployed("b", 1.0), deployed("a", 2.0)], share=0.0)
    assert found["a", "a"] / N == pytest.approx(0.75, abs=0.036)
    # Of the others than the first, by weight: after a (0.5) comes b with 2/3, c with 1/3.
    three = pairs([deployed("a", 3.0), deployed("b", 2.0), deployed("c", 1.0)], share=1.0)
    assert three["a", "b"] / N == pytest.approx(0.5 * 2 / 3, abs=0.036)


def test_a_deployment_for_other_work_is_not_drawn() -> None:
    models = [deployed("a", 1.0), deployed("b", 1.0, Objective.HARMLESS)]
    assert pairs(models, share=1.0) == {("a", "a"): N}
    with pytest.raises(UserError, match="no model is deployed for harmless"):
        draw([deployed("a", 1.0, Objective.HELPFUL)], Objective.HARMLESS, CollectConfig(), "", random.Random(0))


def test_sides_are_swapped_half_of_the_time_whatever_the_pair() -> None:
    rng, config = random.Random(2), CollectConfig(cross_model_share=1.0)
    draws = [draw([deployed("a", 1.0), deployed("b", 1.0)], Objective.HELPFUL, config, "", rng) for _ in range(N)]
    first = [drawn.swap for drawn in draws if drawn.snapshots == ("a", "b")]
    # About 2,000 of them: the standard deviation is 0.0112, and 0.0503 is 4.5 of them.
    assert sum(first) / len(first) == pytest.approx(0.5, abs=0.0503)
    assert len({seed for drawn in draws for seed in drawn.seeds}) > 1.99 * N


@given(st.integers(), st.permutations([deployed("a", 1.0), deployed("b", 2.0), deployed("c", 0.5)]))
def test_the_rng_alone_decides(seed: int, deployments: list[Deployment]) -> None:
    config = CollectConfig()
    first, again = (
        draw(order, Objective.HELPFUL, config, "", random.Random(seed))
        for order in (deployments, list(reversed(deployments)))
    )
    assert first == again


def test_red_team_share_and_turns_come_from_the_config() -> None:
    rng, config = random.Random(3), CollectConfig(red_team_share=0.2, helpful_turns=3, red_team_turns=5)
    harmless = sum(draw_objective(config, rng) is Objective.HARMLESS for _ in range(N))
    assert harmless / N == pytest.approx(0.2, abs=0.029)
    assert draw_objective(CollectConfig(), rng) is Objective.HELPFUL
    assert (wanted_turns(config, Objective.HELPFUL), wanted_turns(config, Objective.HARMLESS)) == (3, 5)


class Grid(random.Random):
    """Gives the numbers that it was given, one after the other; whole numbers as usual."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(0)
        self._numbers = list(numbers)

    def random(self) -> float:
        return self._numbers.pop(0) if self._numbers else super().random()

    def getrandbits(self, k: int, /) -> int:
        return int(5 % 2**k)


def everywhere(cells: int) -> list[float]:
    """The middles of equal parts of [0, 1): summed over them, a share that falls on their edges is exact."""
    return [(cell + 0.5) / cells for cell in range(cells)]


def exact_counts(deployments: list[Deployment], share: float, cells: int) -> Counter[tuple[str, str]]:
    """Over a grid of the three numbers that decide (first, whether two, second): every cell has the same weight."""
    config = CollectConfig(cross_model_share=share)
    found: Counter[tuple[str, str]] = Counter()
    for first in everywhere(cells):
        for cross in everywhere(cells):
            for second in everywhere(cells):
                grid = Grid(first, cross, second)
                found[draw(deployments, Objective.HELPFUL, config, "", grid).snapshots] += 1
    return found


def test_the_drawing_is_exact() -> None:
    """Weights 3, 2, 1 and a share of 1/4, on a grid of 12³: every probability is a whole number of its cells."""
    three = [deployed("a", 3.0), deployed("b", 2.0), deployed("c", 1.0)]
    found = exact_counts(three, 0.25, 12)
    total = 12**3
    assert sum(found.values()) == total
    weights = {"a": 3 / 6, "b": 2 / 6, "c": 1 / 6}
    for name, weight in weights.items():
        assert found[name, name] == pytest.approx(total * weight * 0.75), "three quarters meet themselves"
    # First a: then b and c by 2 to 1. First b: a and c by 3 to 1. First c: a and b by 3 to 2, not on the grid's edges.
    assert found["a", "b"] == total * 0.5 * 0.25 * 2 / 3 and found["a", "c"] == total * 0.5 * 0.25 / 3
    assert found["b", "a"] == pytest.approx(total / 3 * 0.25 * 0.75) and found["b", "c"] == pytest.approx(
        total / 3 * 0.25 * 0.25
    )
    assert found["c", "a"] + found["c", "b"] == pytest.approx(total / 6 * 0.25)


def test_the_expected_shares_are_those_of_the_drawing() -> None:
    """By hand for weights 3 and 1 and a share of one half: the second of a pair is the other in half of them."""
    two = [deployed("a", 3.0), deployed("b", 1.0)]
    config = CollectConfig(cross_model_share=0.5)
    # first: a 3/4. second: a if (same and a) or (cross and first b) = 3/8 + 1/8 = 1/2. Together (3/4 + 1/2) / 2.
    assert expected_shares(two, Objective.HELPFUL, config) == pytest.approx({"a": 0.625, "b": 0.375})
    found = exact_counts(two, 0.5, 8)
    written = Counter(name for pair, number in found.items() for name in pair for _ in range(number))
    assert written["a"] / written.total() == 0.625
    assert expected_shares(two[:1], Objective.HELPFUL, config) == {"a": 1.0}
    assert expected_shares([], Objective.HELPFUL, config) == {}


@given(
    st.lists(st.floats(0.01, 100), min_size=2, max_size=5),
    st.floats(0, 1),
)
def test_expected_shares_add_up(weights: list[float], share: float) -> None:
    many = [deployed(f"m{number}", weight) for number, weight in enumerate(weights)]
    found = expected_shares(many, Objective.HELPFUL, CollectConfig(cross_model_share=share))
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(0 < value < 1 for value in found.values())


def test_what_drains_or_was_stopped_is_not_drawn() -> None:
    models = [deployed("a", 1.0), replace(deployed("b", 9.0), state=State.DRAINING)]
    models.append(replace(deployed("c", 9.0), state=State.STOPPED))
    assert pairs(models, share=1.0) == {("a", "a"): N}
    with pytest.raises(UserError, match="no model is deployed"):
        draw(models[1:], Objective.HELPFUL, CollectConfig(), "", random.Random(0))


def written(weight: float) -> Deployment:
    plain = deployed("people", weight)
    return replace(plain, snapshot=replace(plain.snapshot, kind=SnapshotKind.WRITTEN))


def test_people_write_only_where_their_prompt_is_given() -> None:
    models = [deployed("a", 3.0), written(1.0)]
    assert pairs(models, share=1.0) == {("a", "a"): N}
    given = [draw_given(models, Objective.HELPFUL, Grid(number)) for number in everywhere(8)]
    assert given.count("people") == 2 and given.count(None) == 6, "by weight: 1 to 3"
    assert draw_given([written(1.0)], Objective.HELPFUL, random.Random(0)) is None, "nobody could write the other"
    beside = draw_beside("people", models, Objective.HELPFUL, random.Random(0))
    assert beside is not None and beside.snapshots == ("people", "a")
    swaps = [draw_beside("people", models, Objective.HELPFUL, random.Random(n)) for n in range(200)]
    assert 60 < sum(one.swap for one in swaps if one is not None) < 140
    assert draw_beside("people", [written(1.0)], Objective.HELPFUL, random.Random(0)) is None
