"""Scores of strangeness: hand-worked values, and the algebra that each must obey."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concordant.errors import UserError
from concordant.evaluate.ood_scores import Gaussian, Probe, Vector, auroc, placements, shrinkage_of

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


def cloud(n: int, d: int, seed: int = 0) -> Vector:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


# Four points with mean 0, variances 4/3 and 5/6, and covariance 1.
SQUARE = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, 0.5], [-1.0, -0.5]])


def test_auroc_by_hand() -> None:
    # Pairs (outside, inside): 3 beats 1 and 2; 2 beats 1 and ties with 2: 3.5 of 4.
    assert auroc([1, 2], [3, 2]).value == 3.5 / 4
    assert auroc([1, 2], [3, 4]).value == 1.0
    assert auroc([3, 4], [1, 2]).value == 0.0
    assert auroc([1, 1], [1, 1, 1]).value == 0.5


@given(SCORES, SCORES)
def test_auroc_is_mann_whitneys_statistic(inside: list[int], outside: list[int]) -> None:
    wins = sum((high > low) + (high == low) / 2 for low, high in itertools.product(inside, outside))
    assert auroc(inside, outside).value == pytest.approx(wins / (len(inside) * len(outside)))
    assert auroc(outside, inside).value == pytest.approx(1 - wins / (len(inside) * len(outside)))
    # only the order counts
    assert auroc(np.exp(inside), np.exp(outside)).value == pytest.approx(auroc(inside, outside).value)


@given(SCORES, SCORES)
def test_placements_of_both_sides_have_the_same_mean(inside: list[int], outside: list[int]) -> None:
    of_outside, of_inside = placements(inside, outside)
    assert of_outside.mean() == pytest.approx(of_inside.mean())
    assert len(of_outside) == len(outside)
    assert len(of_inside) == len(inside)


def test_an_aurocs_error_is_that_of_repeated_samples() -> None:
    rng = np.random.default_rng(1)
    found = [auroc(rng.normal(size=60), 1 + rng.normal(size=40)) for _ in range(300)]
    spread = float(np.std([one.value for one in found]))
    assert float(np.mean([one.se for one in found])) == pytest.approx(spread, rel=0.15)
    assert np.mean([one.value for one in found]) == pytest.approx(0.760, abs=0.01)  # Φ(1/√2)


def test_repeating_every_score_leaves_the_error_where_clusters_say_so() -> None:
    rng = np.random.default_rng(2)
    low, high = rng.normal(size=30), 1 + rng.normal(size=20)
    once = auroc(low, high)
    labels = (np.repeat(np.arange(30), 3), np.repeat(np.arange(20), 3))
    thrice = auroc(np.repeat(low, 3), np.repeat(high, 3), *labels)
    assert thrice.value == pytest.approx(once.value)
    assert thrice.se == pytest.approx(once.se)
    assert auroc(np.repeat(low, 3), np.repeat(high, 3)).se < 0.7 * once.se


def test_no_scores_are_no_auroc() -> None:
    with pytest.raises(ValueError, match="both sides"):
        auroc([], [1.0])


def test_the_distance_by_hand() -> None:
    """Variances 4/3 and 5/6, covariance 1: determinant 1/9, so Σ⁻¹ = [[7.5, −9], [−9, 12]]."""
    gaussian = Gaussian.fit(SQUARE, shrinkage=0.0)
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert gaussian.plain(x) == pytest.approx([7.5, 12.0, 1.5, 0.0])
    # less x₁²·3/4 + x₂²·6/5
    assert gaussian.relative(x) == pytest.approx([6.75, 10.8, 1.5 - 1.95, 0.0])


def test_shrinkage_goes_to_the_diagonal() -> None:
    """At ½ the covariance is [[4/3, ½], [½, 5/6]], its determinant 31/36."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert Gaussian.fit(SQUARE, 0.5).plain(x) == pytest.approx([(5 / 6) * 36 / 31, (4 / 3) * 36 / 31])
    assert Gaussian.fit(SQUARE, 1.0).plain(x) == pytest.approx([3 / 4, 6 / 5])


@given(st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_the_distance_does_not_know_the_axes(seed: int) -> None:
    """Affine invariance: any invertible map of fit and exam leaves the plain distance as it is."""
    rng = np.random.default_rng(seed)
    fit, exam, turn, shift = cloud(40, 4, seed), rng.normal(size=(5, 4)), rng.normal(size=(4, 4)), rng.normal(size=4)
    turn += 3 * np.eye(4)
    before = Gaussian.fit(fit, 0.0).plain(exam)
    assert Gaussian.fit(fit @ turn + shift, 0.0).plain(exam @ turn + shift) == pytest.approx(before, rel=1e-6)


@given(st.integers(0, 100), st.sampled_from([0.0, 0.3, None]))
@settings(max_examples=20, deadline=None)
def test_no_score_knows_the_units(seed: int, shrinkage: float | None) -> None:
    """Units and zero of single dimensions, whatever the shrinkage; the relative score too."""
    rng = np.random.default_rng(seed)
    fit, exam, unit, shift = cloud(40, 4, seed), rng.normal(size=(5, 4)), rng.uniform(0.01, 99, 4), rng.normal(size=4)
    before, after = Gaussian.fit(fit, shrinkage), Gaussian.fit(fit * unit + shift, shrinkage)
    assert after.plain(exam * unit + shift) == pytest.approx(before.plain(exam), rel=1e-6)
    assert after.relative(exam * unit + shift) == pytest.approx(before.relative(exam), rel=1e-5, abs=1e-6)


def test_against_an_equal_background_nothing_is_strange() -> None:
    """Where Σ is its own diagonal the two Gaussians are equal, and the relative score is 0 everywhere."""
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=3)))  # no two columns are correlated
    far = 100 * np.random.default_rng(0).normal(size=(6, 3))
    assert np.abs(Gaussian.fit(signs, 0.0).relative(far)).max() < 1e-8
    assert np.abs(Gaussian.fit(cloud(50, 3), 1.0).relative(far)).max() < 1e-6
    assert np.abs(Gaussian.fit(cloud(50, 3), 0.0).relative(far)).min() > 1


def test_the_mean_distance_of_what_was_fitted_is_the_dimension() -> None:
    fit = cloud(200, 6)
    assert Gaussian.fit(fit, 0.0).plain(fit).mean() == pytest.approx(6 * 199 / 200)


def test_a_dimension_that_never_varied_says_nothing() -> None:
    fit = cloud(50, 3)
    with_constant = np.concatenate([fit, np.full((50, 1), 7.0)], axis=1)
    x = np.concatenate([fit[:4], np.array([[7.0], [8.0], [1e6], [-7.0]])], axis=1)
    for name in ("plain", "relative"):
        expected = getattr(Gaussian.fit(fit, 0.2), name)(fit[:4])
        assert getattr(Gaussian.fit(with_constant, 0.2), name)(x) == pytest.approx(expected)


def test_too_few_prompts_for_a_covariance_are_refused_or_shrunk() -> None:
    few = cloud(5, 8)
    with pytest.raises(UserError, match=r"5 prompts in 8 dimensions is singular at --shrinkage 0; give more"):
        Gaussian.fit(few, 0.0)
    with pytest.raises(UserError, match=r"at least 2 prompts to fit on, not 1"):
        Gaussian.fit(few[:1])
    assert 0 < Gaussian.fit(few).shrinkage <= 1


def test_the_estimated_shrinkage_by_its_definition() -> None:
    x = cloud(12, 4, seed=3)
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    n, above, below = 12, 0.0, 0.0
    for i, j in itertools.permutations(range(4), 2):
        w = z[:, i] * z[:, j]
        above += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
        below += (n / (n - 1) * w.mean()) ** 2
    assert shrinkage_of(z) == pytest.approx(above / below)
    many = np.random.default_rng(0).normal(size=(100, 30))
    assert shrinkage_of((many - many.mean(axis=0)) / many.std(axis=0, ddof=1)) > 0.9  # nothing is correlated
    assert shrinkage_of(z[:2]) == 1.0


def test_a_linear_layers_minimum_by_hand() -> None:
    """Inside −1 and +1 (mean 0, scale 1), one outlier at 3, repeated twice: the gradients in w and b must vanish."""
    inside, outlier = np.array([[-1.0], [1.0]]), np.array([[3.0]])
    probe = Probe.fit(inside, outlier, penalty=0.5)
    w, b = float(probe.weights[0]), probe.bias

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    pull = [sigmoid(-w + b), sigmoid(w + b), 2 * (sigmoid(3 * w + b) - 1)]
    assert sum(pull) == pytest.approx(0, abs=1e-5)
    assert (-pull[0] + pull[1] + 3 * pull[2]) / 4 + 0.5 * w == pytest.approx(0, abs=1e-5)
    assert probe.score(np.array([[3.0]])) == pytest.approx([3 * w + b])


def test_outliers_are_repeated_to_the_number_of_ordinary_ones() -> None:
    """One outlier among six counts as six copies of it do; among fewer than twice as many it is not repeated."""
    inside, outlier = cloud(6, 3), cloud(1, 3, seed=9)
    once, copies = Probe.fit(inside, outlier), Probe.fit(inside, np.repeat(outlier, 6, axis=0))
    assert once.weights == pytest.approx(copies.weights, abs=1e-5)
    assert once.bias == pytest.approx(copies.bias, abs=1e-5)


def test_a_linear_layer_finds_the_direction_and_ignores_units() -> None:
    rng = np.random.default_rng(0)
    inside, outliers = rng.normal(size=(300, 5)), rng.normal(size=(20, 5)) + np.array([2.0, 0, 0, 0, 0])
    probe = Probe.fit(inside, outliers)
    assert np.abs(probe.weights).argmax() == 0
    unit = np.array([100.0, 0.01, 1.0, 3.0, 7.0])
    x = rng.normal(size=(4, 5))
    assert Probe.fit(inside * unit, outliers * unit).score(x * unit) == pytest.approx(probe.score(x), abs=1e-3)


def test_a_linear_layer_gives_no_weight_to_what_never_varied_inside() -> None:
    inside = np.concatenate([cloud(30, 2), np.full((30, 1), 5.0)], axis=1)
    outliers = np.concatenate([cloud(3, 2, seed=4), np.full((3, 1), 9.0)], axis=1)
    probe = Probe.fit(inside, outliers)
    assert probe.weights[2] == 0
    assert np.isfinite(probe.score(outliers)).all()


def test_a_linear_layer_needs_both_kinds() -> None:
    with pytest.raises(UserError, match=r"30 ordinary prompts and 0 outliers: both are needed"):
        Probe.fit(cloud(30, 2), np.empty((0, 2)))
