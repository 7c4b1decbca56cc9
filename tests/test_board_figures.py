import pytest

from concordant.evaluate.board_figures import board_figure, board_sentence
from concordant.evaluate.figures import Figure, Missing
from concordant.runs import Json


def board(*ratings: tuple[str, float, float, float], anchor: str = "old") -> Json:
    return {
        "ratings": [
            {"model": m, "elo": elo, "ci95": [low, high], "games": 50, "rank": place, "rank95": [1, place]}
            for place, (m, elo, low, high) in enumerate(ratings, 1)
        ],
        "anchor": anchor,
        "n": 100,
        "workers": 8,
        "interval_method": "bootstrap over 8 workers, 2000 draws",
    }


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ([("new", 120.0, 40.0, 200.0), ("old", 0.0, 0.0, 0.0)], "new stands 120 Elo (40 to 200) above old"),
        (
            [("new", 30.0, -40.0, 100.0), ("old", 0.0, 0.0, 0.0)],
            "new is not clearly above old: 30 Elo (\u221240 to 100)",
        ),
        (
            [("old", 0.0, 0.0, 0.0), ("new", -90.0, -150.0, -30.0)],
            "No model reaches old: new at \u221290 Elo (\u2212150 to \u221230)",
        ),
        (
            [("old", 0.0, 0.0, 0.0), ("new", -9.0, -50.0, 30.0)],
            "No model is clearly above old: new at \u22129 Elo (\u221250 to 30)",
        ),
    ],
)
def test_the_title_says_who_stands_where(ratings: list[tuple[str, float, float, float]], says: str) -> None:
    assert board_sentence(board(*ratings)) == says
    figure = board_figure(board(*ratings))
    assert isinstance(figure, Figure)
    assert figure.title == says
    assert "n = 100 comparisons by 8 workers" in figure.caption


def test_a_crowd_is_cut_to_the_best_and_says_so() -> None:
    many = [(f"a model with quite a long name {i}", 100.0 - 9 * i, 80.0 - 9 * i, 130.0 - 9 * i) for i in range(19)]
    figure = board_figure(board(*many, ("old", -300.0, -300.0, -300.0)))
    assert isinstance(figure, Figure)
    assert "The best 12 of 20 models" in figure.caption
    lines = figure.csv.splitlines()
    assert len(lines) == 21
    assert lines[0] == "model,elo,ci95_low,ci95_high,games,rank,rank95_low,rank95_high"
    assert lines[3].endswith(",50,3,1,3")
    assert ">1–3<" in figure.svg and ">rank<" in figure.svg


def test_without_a_board_it_says_why() -> None:
    assert board_figure(None, "Reasons.") == Missing(board_figure(None).question, "Reasons.")
    assert "deploy a second model" in getattr(board_figure(None), "why", "")


def test_red_team_work_has_a_figure_of_its_own() -> None:
    ratings = ("new", 120.0, 40.0, 200.0), ("old", 0.0, 0.0, 0.0)
    figure = board_figure({**board(*ratings), "objective": "harmless"})
    assert figure.question.name == "elo-harmless"
    assert board_figure({**board(*ratings), "objective": "helpful"}).question.name == "elo"
