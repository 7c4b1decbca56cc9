import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.evaluate import report
from concordant.evaluate.elo import board
from concordant.evaluate.report import Material, write_report
from reported import evaluation, full, games


class Page(HTMLParser):
    """What a page holds: its words, what it asks for, and which tags are left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.asks: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action"):
                self.asks.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


def written(material: Material, tmp_path: Path) -> tuple[Page, str, Path]:
    index = write_report(material, tmp_path / "report").index
    text = index.read_text()
    page = Page(text)
    assert page.open == []
    return page, " ".join(" ".join(page.words).split()), index


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str, Path]:
    return written(full(), tmp_path_factory.mktemp("whole"))


def test_every_figure_the_data_allows_is_on_one_page_with_its_files(whole: tuple[Page, str, Path]) -> None:
    page, words, index = whole
    names = {path.name for path in index.parent.iterdir()}
    figures = {
        "calibration",
        "accuracy-by-turn",
        "accuracy-by-threshold",
        "learning-curve",
        "hhh-accuracy",
        "hhh-differences",
        "score-against-root-kl",
        "train-and-test-score",
        "score-and-kl",
        "policies-against-root-kl",
        "best-of-k-against-root-kl",
        "tension",
        "scan-comparisons",
        "scan-comparisons-2",
        "scan-mixture",
        "scan-loss-weight",
        "ood-by-layer",
        "ood-by-outliers",
        "elo",
        "elo-harmless",
        "score-by-tranche",
        "snapshots-promised-and-voted",
        "writers-and-model",
    }
    assert names == {f"{name}.{end}" for name in figures for end in ("svg", "csv")} | {"index.html", "report.json"}
    assert figures <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert words.count("The paper.") == len(figures)
    for what in (
        "Mean score by the test PM",
        "fitted on 1,234 other comparisons agrees in 65.0",
        "ahead of it by 4.1 points (\u22122.0 to 10.0)",
        "Accuracy by objective",
        "bag of words: 65.0",
        "“Who <i>won</i>?”",
        "Fig. 9 of the paper",
        "Iteration 1",
        "concordant iterate",
        "4 left out: equal replies",
        "1 min 01 s",
        "pm-1, pm-1-again",
        "64.0 %, 66.0 %",
        "+1.00 ± 0.14",
        "0.42 (0.40 to 0.44)",
        "policy-1: base, all weights, seed 3",
        "concordant evaluate pm RUN --data FILE",
    ):
        assert what in words


def test_the_page_runs_no_script_and_asks_no_other_machine(whole: tuple[Page, str, Path]) -> None:
    page, _, index = whole
    assert "script" not in page.open
    for asked in page.asks:
        assert asked.startswith("#") or (index.parent / asked).exists()
    addresses = set(re.findall(r"https?://[^\s\"'<]+", index.read_text()))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_what_models_wrote_stays_text(whole: tuple[Page, str, Path]) -> None:
    _, words, index = whole
    assert "<script>alert(1)" in words
    assert "<script" not in index.read_text()


def test_scripted_choices_are_announced_before_the_first_number(whole: tuple[Page, str, Path], tmp_path: Path) -> None:
    _, words, _ = whole
    announced = words.index("All 240 choices behind this report were made by scripted workers")
    assert announced < words.index("65.0\u202f%".replace("\u202f", " "))
    _, words, _ = written(Material("Of people", worker_kinds={"person": 240}), tmp_path)
    assert "Not from people" not in words


def test_with_nothing_at_hand_each_figure_says_what_is_missing(tmp_path: Path) -> None:
    _, words, index = written(Material("Empty", no_board="Nobody has met two models."), tmp_path)
    assert "What is missing" in words and "Preference model" not in words
    assert words.count("of the paper") == 31
    for why in (
        "evaluate pm RUN",
        "evaluate hhh RUN",
        "at least 10 training steps",
        "train policy",
        "Nobody has met two models.",
    ):
        assert why in words
    assert {path.name for path in index.parent.iterdir()} == {"index.html", "report.json"}


def test_an_evaluation_made_before_there_were_thresholds_is_shown_too(tmp_path: Path) -> None:
    new = ("by_objective", "by_threshold", "words_baseline")
    _, words, _ = written(
        Material("x", pm={key: value for key, value in evaluation().items() if key not in new}), tmp_path
    )
    assert "It was evaluated without thresholds" in words
    assert "bag of words" not in words and "Accuracy by objective" not in words


def test_lineage_links_lead_to_what_is_on_the_page(whole: tuple[Page, str, Path]) -> None:
    page, words, _ = whole
    anchors = [asked[1:] for asked in page.asks if asked.startswith("#from-")]
    assert anchors == ["from-data-1"]
    assert set(anchors) <= set(page.ids)
    assert "made from data-1 , base" in words


def test_a_new_report_replaces_an_old_one_whole(tmp_path: Path) -> None:
    written(Material("Iteration 1", board=board(games(), anchor="old").json()), tmp_path)
    assert (tmp_path / "report" / "elo.svg").exists()
    _, words, index = written(Material("Second"), tmp_path)
    assert "Iteration 1" not in words
    assert not (index.parent / "elo.svg").exists()
    assert json.loads((index.parent / "report.json").read_text())["title"] == "Second"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="holds something other than a report"):
        write_report(Material("x"), tmp_path / "mine")
    with pytest.raises(UserError, match="is a file"):
        write_report(Material("x"), tmp_path / "mine" / "thesis.tex")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is the folder you are in"):
        write_report(Material("x"), Path("."))
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_a_failure_leaves_the_old_report_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(Material("First"), tmp_path / "report")

    def full_disk(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "write_whole", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_report(Material("Second"), tmp_path / "report")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert "First" in (tmp_path / "report" / "index.html").read_text()


def test_only_the_first_samples_are_shown_and_it_says_so(tmp_path: Path) -> None:
    samples = [{"prompt": f"prompt {index}", "before": "b", "after": "a"} for index in range(11)]
    _, words, _ = written(Material("x", samples=samples), tmp_path)
    assert "The first 8 of 11 prompts." in words
    assert "prompt 7" in words
    assert "prompt 8" not in words
