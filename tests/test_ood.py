"""The experiment on made-up activations: who is in which part, and what must come out."""

from collections.abc import Sequence

import numpy as np
import pytest

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ood import BOTH_SIDES, TWICE, Plan, Side, clean, evaluate_ood, split_sides
from concordant.evaluate.ood_scores import Vector


class Table:
    """Activations out of a dict of layers."""

    def __init__(self, layers: dict[int, Vector]) -> None:
        self._layers = layers

    def layer(self, number: int) -> Vector:
        return self._layers[number]


def side(n: int, layers: dict[int, Vector] | None = None, per_opening: int = 1, files: int = 1) -> Side:
    openings = np.array([f"o{row // per_opening}" for row in range(n)])
    sources = np.array([f"file{row % files}" for row in range(n)])
    return Side(openings, sources, Table(layers or {1: np.zeros((n, 2))}))


def sides(n: int = 200, d: int = 6) -> tuple[Side, Side]:
    """Layer 1 tells nothing; in layer 2 outside prompts break the correlation of the inside ones, which single
    dimensions do not show; in layer 3 they lie elsewhere."""
    rng = np.random.default_rng(0)

    def bound(n: int) -> Vector:
        return rng.normal(size=(n, 1)) + 0.3 * rng.normal(size=(n, d))

    inside = {1: rng.normal(size=(n, d)), 2: bound(n), 3: bound(n)}
    outside = {1: rng.normal(size=(n, d)), 2: rng.normal(size=(n, d)), 3: bound(n) + np.array([1.5, *[0] * (d - 1)])}
    return side(n, inside), side(n, outside, files=2)


def prompts(texts: Sequence[str], name: str = "f") -> list[tuple[Conversation, str]]:
    return [(Conversation().human(text), name) for text in texts]


def test_openings_of_both_sides_and_repeated_prompts_are_dropped_and_counted() -> None:
    found = clean(prompts(["a", "b", "b", "Both!"]), prompts(["both", "c"]) + prompts(["c"], "g"), None)
    assert [prompt.first_human_turn for prompt, _ in found.inside] == ["a", "b"]
    assert [(prompt.first_human_turn, name) for prompt, name in found.outside] == [("c", "f")]
    assert found.dropped == {BOTH_SIDES: 2, TWICE: 2}


def test_a_limit_draws_from_each_side_and_always_the_same() -> None:
    many = prompts([f"question {number}" for number in range(50)])
    one, other = (clean(many, prompts(["x", "y"]), 10) for _ in range(2))
    assert len(one.inside) == 10
    assert len(one.outside) == 2
    assert one.inside == other.inside
    assert one.inside != many[:10]


def test_nothing_left_on_a_side_is_refused() -> None:
    with pytest.raises(UserError, match=r"--outside holds no prompt whose opening is not on the other side too"):
        clean(prompts(["a", "b"]), prompts(["A"]), None)


def test_a_split_cuts_openings_and_uses_every_prompt_once() -> None:
    split = split_sides(side(300, per_opening=3), side(200), 0.3, seed=0)
    openings = side(300, per_opening=3).openings
    assert (len(split.fit), len(split.exam), len(split.pool), len(split.strange)) == (210, 90, 140, 60)
    assert not set(openings[split.fit]) & set(openings[split.exam])
    assert sorted([*split.fit, *split.exam]) == list(range(300))
    again, other = (split_sides(side(300, per_opening=3), side(200), 0.3, seed=seed) for seed in (0, 1))
    assert np.array_equal(split.exam, again.exam)
    assert not np.array_equal(split.exam, other.exam)


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(UserError, match=r"200 inside and 40 outside prompts leave 12 in one part, fewer than 20"):
        split_sides(side(200), side(40), 0.3, seed=0)


def test_what_each_score_can_see() -> None:
    inside, outside = sides()
    seen: list[int] = []
    result = evaluate_ood(inside, outside, Plan((1, 2, 3), 2), lambda done, total, what: seen.append(done))
    blind, broken, moved = result["by_layer"]
    assert seen == [1, 2, 3]
    assert blind["relative"]["auroc"] == pytest.approx(0.5, abs=0.15)
    assert broken["relative"]["auroc"] > 0.97
    assert broken["plain"]["auroc"] > 0.97
    assert moved["plain"]["auroc"] > 0.8
    assert result["best_relative"]["auroc"] == max(row["relative"]["auroc"] for row in result["by_layer"])
    assert result["at_layer"] == broken
    assert len(broken["relative"]["values"]) == 3
    assert broken["relative"]["sd"] == pytest.approx(np.std(broken["relative"]["values"], ddof=1))
    assert (result["n_inside"], result["parts"]) == (
        200,
        {"fit": 140, "inside_exam": 60, "outside_pool": 140, "outside_exam": 60},
    )


def test_more_outliers_help_where_the_mean_tells() -> None:
    inside, outside = sides()
    result = evaluate_ood(inside, outside, Plan((3,), 3, seeds=(0, 1), draws=2))
    rows = {row["outliers"]: row for row in result["by_outliers"]}
    assert list(rows) == [1, 3, 10, 30, 100]  # 140 are there to be drawn from
    assert rows[1]["auroc"] < rows[100]["auroc"]
    assert rows[100]["auroc"] > 0.9
    assert len(rows[10]["values"]) == 4  # two splits, two draws
    assert list(result["by_outside_file"]) == ["file0", "file1"]
    assert result["by_outside_file"]["file0"]["outliers"] == 100


def test_one_split_has_no_spread() -> None:
    inside, outside = sides()
    result = evaluate_ood(inside, outside, Plan((3,), 3, seeds=(4,), draws=1))
    assert result["at_layer"]["relative"]["sd"] is None
    assert result["at_layer"]["relative"]["se_exam"] > 0


def test_the_same_prompts_on_both_sides_are_not_told_apart() -> None:
    rng = np.random.default_rng(3)
    one, other = (side(300, {1: rng.normal(size=(300, 5))}) for _ in range(2))
    result = evaluate_ood(one, other, Plan((1,), 1, draws=1, shrinkage=0.0))
    for score in (result["at_layer"]["relative"], result["at_layer"]["plain"], result["by_outliers"][-1]):
        assert abs(score["auroc"] - 0.5) < 4 * score["se_exam"]
    # What is not correlated is shrunk to its diagonal, and the relative score is 0 everywhere: all ties.
    assert evaluate_ood(one, other, Plan((1,), 1, draws=1))["at_layer"]["relative"]["values"] == [0.5] * 3
