import numpy as np

from concordant.evaluate.figures import Figure, Missing
from concordant.evaluate.ood_figures import by_layer_figure, by_outliers_figure
from reported import ood_result


def test_layers_say_which_score_is_ahead_and_where() -> None:
    figure = by_layer_figure(ood_result())
    assert isinstance(figure, Figure)
    # relative .65 .70 .75 .80 against plain .86 .81 .76 .71: ahead at the last one alone
    assert figure.title == "Best at layer 4: 0.800; the relative score is ahead at 1 of 4 layers"
    assert "3 splits by opening, each with about 140 inside prompts to fit on" in figure.caption
    assert "chosen on the exam itself" in figure.caption
    lines = figure.csv.splitlines()
    assert lines[0] == "layer,score,auroc,sd,se_exam,values"
    assert len(lines) == 9
    name, score, auroc, sd, _, values = lines[-2].split(",")
    assert (name, score, sd, values) == ("4", "relative", "0.01", "0.7900 0.8000 0.8100")
    assert np.isclose(float(auroc), 0.8)
    assert "paper's 52B" in figure.svg and "layer, of 30" in figure.svg


def test_outliers_say_what_ten_of_them_give() -> None:
    figure = by_outliers_figure(ood_result())
    assert isinstance(figure, Figure)
    assert figure.title == "10 outliers: 0.800; none, by the relative score: 0.700"
    assert "5 draws of outliers in each" in figure.caption
    assert [line.split(",")[0] for line in figure.csv.splitlines()] == ["outliers", "1", "10", "100"]


def test_without_ten_the_most_there_are() -> None:
    figure = by_outliers_figure(ood_result(counts=(1, 3)))
    assert isinstance(figure, Figure)
    assert figure.title.startswith("3 outliers: 0.800")


def test_single_splits_have_no_bars() -> None:
    without = ood_result()
    for part in without["by_layer"]:
        part["relative"]["sd"] = part["plain"]["sd"] = None
    for part in without["by_outliers"]:
        part["sd"] = None
    assert isinstance(by_layer_figure(without), Figure)
    assert isinstance(by_outliers_figure(without), Figure)


def test_one_point_is_no_curve() -> None:
    assert by_layer_figure(ood_result(layers=1)) == Missing(
        by_layer_figure(ood_result(layers=1)).question, "A curve needs two layers; 1 was measured."
    )
    missing = by_outliers_figure(ood_result(counts=(1,)))
    assert isinstance(missing, Missing)
    assert missing.why == "A curve needs two numbers of outliers; 1 could be drawn."
