import random
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.assignment import draw, draw_objective, wanted_turns
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.registry import Deployment, Snapshot, SnapshotKind

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
