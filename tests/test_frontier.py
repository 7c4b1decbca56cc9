import json

import numpy as np
import pytest

from concordant.errors import UserError
from concordant.evaluate.frontier import fit_frontier
from concordant.runs import Json


def rows(kl: list[float], score: list[float]) -> list[Json]:
    return [{"step": i, "kl": k, "score": s} for i, (k, s) in enumerate(zip(kl, score, strict=True))]


def test_a_straight_line_in_root_kl_is_found() -> None:
    # √KL = 0, 1, 2, 3, 4, 5, 6; score = 1 + 0.5 √KL; early is √KL ≤ 4
    kl = [0.0, 1, 4, 9, 16, 25, 36]
    result = fit_frontier(rows(kl, [1 + 0.5 * k**0.5 for k in kl]))
    assert (result.slope, result.intercept, result.r2) == pytest.approx((0.5, 1.0, 1.0))
    assert (result.early, result.early_kl, result.later) == (5, 16.0, 2)
    assert result.later_gap == pytest.approx(0.0, abs=1e-12)
    json.dumps(result.json(), allow_nan=False)


def test_a_score_that_stops_rising_lies_below_the_early_line() -> None:
    # the line through 0..4 reaches 5 and 6; the score stays at 4
    result = fit_frontier(rows([0.0, 1, 4, 9, 16, 25, 36], [0.0, 1, 2, 3, 4, 4, 4]))
    assert result.slope == pytest.approx(1.0)
    assert result.later_gap == pytest.approx(-1.5)
    assert result.later_gap_ci95 is not None
    assert result.later_gap_ci95[1] < 0


def test_slope_and_interval_agree_with_numpy() -> None:
    random = np.random.default_rng(0)
    root = np.linspace(0, 2, 12)
    score = 0.3 + 0.8 * root + random.normal(0, 0.1, 12)
    result = fit_frontier(rows((root**2).tolist(), score.tolist()))
    early = root <= 2 * root.max() / 3
    (slope, intercept), covariance = np.polyfit(root[early], score[early], 1, cov=True)
    assert (result.early, result.slope, result.intercept) == pytest.approx((8, slope, intercept))
    half = 2.446912 * np.sqrt(covariance[0, 0])  # Student's t, 6 degrees of freedom
    assert result.slope_ci95 == pytest.approx((slope - half, slope + half), rel=4e-3)
    assert result.r2 == pytest.approx(np.corrcoef(root[early], score[early])[0, 1] ** 2)


def test_the_interval_covers_the_true_slope() -> None:
    random = np.random.default_rng(1)
    root = np.linspace(0, 3, 15)
    covered = 0
    for _ in range(300):
        result = fit_frontier(rows((root**2).tolist(), (0.5 * root + random.normal(0, 0.2, 15)).tolist()))
        covered += result.slope_ci95[0] <= 0.5 <= result.slope_ci95[1]
    assert 0.91 * 300 <= covered <= 0.99 * 300


def test_estimates_below_zero_are_drawn_at_zero_and_counted() -> None:
    result = fit_frontier(rows([-0.01, 0.0, 1.0, 4.0, 9.0], [0.0, 0, 1, 2, 3]))
    assert result.clipped == 1
    assert result.root_kl[0] == 0.0


def test_with_few_early_updates_all_are_fitted() -> None:
    result = fit_frontier(rows([0.0, 9.0, 9.5, 10.0], [0.0, 3, 3, 3]))
    assert (result.early, result.later, result.later_gap) == (4, 0, None)


def test_rows_without_a_score_are_left_out() -> None:
    found: list[Json] = [*rows([0.0, 1, 4, 9], [0.0, 1, 2, 3]), {"step": 9, "score": None, "kl": 2.0}, {"step": 10}]
    assert len(fit_frontier(found).score) == 4


def test_too_little_to_show_a_line() -> None:
    with pytest.raises(UserError, match="3 policy updates cannot show a line"):
        fit_frontier(rows([0.0, 1, 2], [0.0, 1, 2]))
    with pytest.raises(UserError, match=r"all 4 updates have the same divergence \(KL = 0\)"):
        fit_frontier(rows([0.0] * 4, [0.0, 1, 2, 3]))


def test_a_test_models_scores_have_a_line_of_their_own() -> None:
    both = [{**row, "test_score": 3 - 2 * row["kl"] ** 0.5} for row in rows([0.0, 1, 4, 9], [0.0, 1, 2, 3])]
    assert fit_frontier(both, "test_score").slope == pytest.approx(-2.0)
    assert fit_frontier(both).slope == pytest.approx(1.0)
