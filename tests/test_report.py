import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from concordant.bradley_terry import Game
from concordant.errors import UserError
from concordant.evaluate import report
from concordant.evaluate.elo import board
from concordant.evaluate.report import Material, write_report
from concordant.runs import Json


def games() -> list[Game]:
    return [Game("new" if index % 3 else "old", "old" if index % 3 else "new", f"w{index % 6}") for index in range(60)]


def updates() -> list[Json]:
    return [{"step": i, "samples": 32 * i, "score": 0.3 * i**0.5, "score_se": 0.1, "kl": 0.5 * i} for i in range(12)]


def evaluation() -> Json:
    part = {"n": 60, "accuracy": 0.65, "ci95": [0.5, 0.8]}
    bins = [{"low": 0.0, "high": 2.0, "gap": 1.0, "predicted": 0.7, "observed": 0.65, "ci95": [0.5, 0.8], "n": 120}]
    return part | {
        "ties": 0.0,
        "nll": 0.62,
        "ece": 0.05,
        "length_baseline": {"longer_wins": 0.55, "ci95": [0.4, 0.7], "n": 120},
        "by_turn": {"1": part, "2": part},
        "by_file": {"helpful-base.jsonl.gz": part},
        "by_objective": {"helpful": part, "harmless": part},
        "by_threshold": {
            "mean": 0.1,
            "sd": 1.0,
            "points": [{"sds": -3.0, "score": -3.0, **part}, {"sds": 0.0, "score": 0.0, **part, "n": 30}],
        },
        "words_baseline": {**part, "lead": 0.041, "lead_ci95": [-0.02, 0.1], "trained_on": 1234},
        "collapsed": False,
        "dropped": {"equal replies": 4},
        "openings": 90,
        "calibration": {"bins": bins, "excess": -0.05, "excess_ci95": [-0.1, 0.02]},
    }


def hhh() -> Json:
    part = {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9]}
    return part | {
        "openings": 2,
        "macro_mean": 0.5,
        "length_baseline": {"longer_wins": 0.5, "ci95": [0.1, 0.9], "n": 2},
        "collapsed": False,
        "by_category": {"honest": part},
        "worst": [{"item": 2, "category": "honest", "difference": -1.0, "asked": "Who <i>won</i>?"}],
        "items": [
            {"item": 1, "category": "honest", "difference": 1.0},
            {"item": 2, "category": "honest", "difference": -1.0},
        ],
        "paper": {"preference_model_52b": 0.86, "people": 0.75},
    }


def full() -> Material:
    trial = {
        "n": 32,
        "score": 0.2,
        "score_se": 0.1,
        "test_score": 0.3,
        "test_score_se": 0.1,
        "kl": 0.1,
        "tokens": 40.0,
        "finished": 0.4,
    }
    return Material(
        title="Iteration 1",
        generated="today",
        command="concordant iterate",
        pm=evaluation(),
        hhh=hhh(),
        pm_metrics=[{"step": i, "comparisons": 16 * i, "loss": 0.7 - 0.002 * i} for i in range(1, 40)],
        policy={"before": trial, "after": trial | {"score": 1.2}},
        policy_metrics=[{**row, "test_score": 0.5 * row["score"], "test_score_se": 0.1} for row in updates()],
        samples=[
            {"prompt": "Human: <b>hi</b>", "before": "old </p><script>alert(1)</script>", "after": "new & better"}
        ],
        board=board(games(), anchor="old").json(),
        stages=[{"name": "collect", "seconds": 61.0, "detail": "240 comparisons"}],
        lineage=[
            {"id": "data-1", "kind": "data set", "parents": [], "what": "240 comparisons"},
            {"id": "pm-1", "kind": "preference model", "parents": ["data-1", "base"], "what": ""},
        ],
        worker_kinds={"scripted": 240},
    )


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
    index = write_report(material, tmp_path / "report")
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
        "elo",
    }
    assert names == {f"{name}.{end}" for name in figures for end in ("svg", "csv")} | {"index.html", "report.json"}
    assert figures <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert words.count("The paper.") == 10
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
    assert words.count("of the paper") == 10
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
