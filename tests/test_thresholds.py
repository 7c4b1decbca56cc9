import numpy as np
import pytest

from concordant.evaluate.intervals import wilson
from concordant.evaluate.thresholds import GRID, above_thresholds


def test_every_point_worked_by_hand() -> None:
    # all eight scores: mean 2
    chosen, rejected = np.array([2.0, 4.0, 0.0, 0.0]), np.array([0.0, 4.0, 2.0, 4.0])
    # squared differences: 0, 4, 4, 4, 4, 0, 4, 4 → mean 3
    found = above_thresholds(chosen, rejected, np.array([1.0, 0.5, 0.0, 0.0]), np.arange(4))
    assert (found.mean, found.sd) == pytest.approx((2.0, 3**0.5))
    by_sds = {point.sds: (point.accuracy.n, point.accuracy.value) for point in found.points}
    # lower scores, the mean taken off: −2, +2, −2, −2; in standard deviations −1.155 and +1.155
    assert by_sds == {
        **{sds: (4, 0.375) for sds in (-3.0, -2.5, -2.0, -1.5)},
        **{sds: (1, 0.5) for sds in (-1.0, -0.5, 0.0, 0.5, 1.0)},
    }
    assert found.points[0].score == pytest.approx(-3 * 3**0.5)
    assert found.points[-1].accuracy.ci95 == pytest.approx(wilson(0.5, 1.0))


def test_another_zero_and_another_unit_change_no_point() -> None:
    random = np.random.default_rng(0)
    chosen, rejected = random.normal(0.3, 1, 200), random.normal(0, 1, 200)
    credit, openings = (chosen > rejected).astype(float), np.arange(200) // 2
    one = above_thresholds(chosen, rejected, credit, openings)
    other = above_thresholds(8 * chosen + 64, 8 * rejected + 64, credit, openings)
    assert [point.accuracy for point in one.points] == [point.accuracy for point in other.points]
    assert [point.sds for point in one.points] == list(GRID)[: len(one.points)]
    counts = [point.accuracy.n for point in one.points]
    assert counts == sorted(counts, reverse=True)
    assert other.points[2].score == pytest.approx(8 * one.points[2].score)


def test_scores_that_are_all_alike_have_no_thresholds() -> None:
    assert above_thresholds(np.full(3, 7.0), np.full(3, 7.0), np.full(3, 0.5), np.arange(3)).points == ()


def test_json_holds_what_the_figure_needs() -> None:
    json = above_thresholds(np.array([1.0]), np.array([0.0]), np.array([1.0]), ["x"]).json()
    assert (json["mean"], json["sd"]) == (0.5, 0.5)
    assert json["points"][0].keys() == {"sds", "score", "n", "accuracy", "ci95"}
