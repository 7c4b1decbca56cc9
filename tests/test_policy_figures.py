import numpy as np
import pytest

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.policy_figures import climb_figure, frontier_figure, parting_figure
from concordant.runs import Json


def rows(slope: float, later: float = 0.0, noise: float = 0.02) -> list[Json]:
    """16 updates whose score rises with √KL, and bends by ``later`` for each √nat above 2."""
    random = np.random.default_rng(0)
    root = np.linspace(0, 3, 16)
    score = slope * root + later * np.maximum(root - 2, 0) + random.normal(0, noise, 16)
    return [
        {"step": i + 1, "samples": 32 * (i + 1), "score": float(score[i]), "score_se": 0.05, "kl": float(root[i] ** 2)}
        for i in range(16)
    ]


@pytest.mark.parametrize(
    ("updates", "says"),
    [
        (rows(0.5), "and stays on the line"),
        (rows(0.5, later=-0.5), "then falls short of the line"),
        (rows(0.5, later=0.5), "then faster"),
        (rows(0.0, noise=0.3), "No clear rise"),
        (rows(-0.5), "The score falls with √KL"),
    ],
)
def test_the_title_says_what_the_score_does(updates: list[Json], says: str) -> None:
    figure = frontier_figure(updates)
    assert isinstance(figure, Figure)
    assert says in figure.title
    assert "n = 16 updates" in figure.caption
    assert len(figure.csv.splitlines()) == 17


def test_too_few_updates_or_none_say_so() -> None:
    for updates, why in (([], "train policy"), (rows(0.5)[:3], "3 policy updates cannot show a line")):
        figure = frontier_figure(updates)
        assert isinstance(figure, Missing)
        assert why in figure.why
    climb = climb_figure([])
    assert isinstance(climb, Missing)


@pytest.mark.parametrize(("slope", "verb"), [(0.5, "rose"), (-0.5, "fell"), (0.01, "did not clearly move")])
def test_the_climb_is_judged_by_its_intervals(slope: float, verb: str) -> None:
    figure = climb_figure(rows(slope))
    assert isinstance(figure, Figure)
    assert verb in figure.title
    assert "KL of 9.0 nats" in figure.title
    assert "512 replies" in figure.caption
    assert figure.csv.splitlines()[0] == "samples,score,score_ci95_half,kl,test_score"


def test_rows_without_a_standard_error_are_drawn_without_a_band() -> None:
    figure = climb_figure(
        [{"step": 1, "samples": 4, "score": 0.0, "kl": 0.0}, {"step": 2, "samples": 8, "score": 1.0, "kl": 1.0}]
    )
    assert isinstance(figure, Figure)


def judged(updates: list[Json], falls: float) -> list[Json]:
    """With a test score that rises by ½ for each √nat and, from √KL = 1 on, falls by so much."""
    roots = [row["kl"] ** 0.5 for row in updates]
    return [
        {**row, "test_score": 7 + 0.5 * min(root, 1) - falls * max(root - 1, 0), "test_score_se": 0.02}
        for row, root in zip(updates, roots, strict=True)
    ]


def test_where_two_models_part_is_marked() -> None:
    """The test score's mean of five is highest over √KL 0.4, 0.6, … 1.2, whose mean KL is 0.72; then it falls."""
    figure = parting_figure(judged(rows(0.5), falls=1.9))
    assert isinstance(figure, Figure)
    assert "part at √KL = 0.85, after 224 replies" in figure.title
    assert ">parted</text>" in figure.svg
    assert figure.csv.splitlines()[0] == "samples,root_kl,score,test_score,test_score_se"
    assert len(figure.csv.splitlines()) == 17
    climb = climb_figure(judged(rows(0.5), falls=1.9))
    assert isinstance(climb, Figure) and "the two models part, after 224 replies" in climb.caption


def test_two_models_that_agree_have_not_parted() -> None:
    """Each from its own start: 7 is nothing."""
    figure = parting_figure(judged(rows(0.5), falls=-0.5))
    assert isinstance(figure, Figure)
    assert figure.title.startswith("The two models have not parted: the train score moved by +1.")
    assert figure.title.endswith("the test score by +1.10")
    assert ">parted</text>" not in figure.svg


def test_without_a_test_model_there_is_nothing_to_part() -> None:
    for updates in ([], rows(0.5), judged(rows(0.5), 0.5)[:4]):
        figure = parting_figure(updates)
        assert isinstance(figure, Missing) and "--test-pm" in figure.why
