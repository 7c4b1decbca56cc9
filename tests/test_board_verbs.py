import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from concordant.cli import main

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(text: str) -> Path:
        path = tmp_path / "games.csv"
        path.write_text(text)
        return path

    return to


HEAD = "model_a,model_b,winner,worker,strength,shown_left,conversation,objective"


def rows(number: int, objective: str = "", new: str = "new", every: int = 4) -> list[str]:
    """Choices for ``new``, one in ``every`` against it, by six workers; each fifth is of the weakest strength."""
    return [
        f"{new},old,{'b' if index % every == 0 else 'a'},w{index % 6},{1 if index % 5 == 0 else 2 + index % 3},"
        f"{'ab'[index // 6 % 2]},t{index // 12},{objective}"
        for index in range(number)
    ]


@pytest.fixture
def games(write: Write) -> Path:
    return write("\n".join([HEAD, *rows(160)]))


@pytest.fixture
def two_boards(write: Write) -> Path:
    return write("\n".join([HEAD, *rows(120, "harmless", every=2), *rows(160, "helpful")]))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_elo(games: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "elo", str(games), "--anchor", "old", "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["n"], result["dropped"]) == (128, {"weakest strength": 32})
    assert result["ratings"][0]["elo"] == pytest.approx(400 * math.log10(3), abs=30)  # 96 wins to 32, but for the side
    assert (result["ratings"][0]["rank"], result["objective"], result["conversations"]) == (1, None, 82)
    assert result["side_effect"] is not None
    assert "boards" not in result
    assert (tmp_path / "out" / "elo.svg").exists()


def test_elo_with_strengths_a_pair_and_conversations(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "elo", str(games), "--ordinal", "--draw", "both", "--pair", "old", "new"]
    assert main([*command, "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["n"], result["dropped"]) == (160, {})
    assert list(result["strength_thresholds"]) == ["2", "3", "4"]
    assert result["pair"]["games"] == 160
    assert result["pair"]["win_rate"] < 0.5
    assert result["interval_method"].startswith("bootstrap over 6 workers and their 82 conversations, 2000 draws")
    assert main(command) == 0
    text = said(capsys)
    assert "old beats new in" in text and "Strength, by how far a choice lies from even" in text


def test_helpful_and_red_team_boards_stand_apart(
    two_boards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "elo", str(two_boards), "--anchor", "old", "--out", str(tmp_path / "o"), "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["objective"], result["n"]) == ("helpful", 128)
    assert {name: board["n"] for name, board in result["boards"].items()} == {"helpful": 128, "harmless": 96}
    assert abs(result["boards"]["harmless"]["ratings"][0]["elo"]) < 40 < result["ratings"][0]["elo"]
    assert [Path(file).name for file in result["files"]][::2] == ["elo.svg", "elo-harmless.svg"]
    assert main(["evaluate", "elo", str(two_boards), "--objective", "harmless", "--json"]) == 0
    only = json.loads(said(capsys))
    assert (only["objective"], only["n"]) == ("harmless", 96)
    assert main(["evaluate", "elo", str(two_boards)]) == 0
    text = said(capsys)
    assert "for helpful replies" in text and "for harmless replies" in text


def test_a_board_that_cannot_be_made_does_not_hide_the_other(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    file = write("\n".join([HEAD, *rows(40, "helpful"), "x,y,a,w1,4,a,t1,harmless"]))
    assert main(["evaluate", "elo", str(file), "--json"]) == 0
    result = json.loads(said(capsys))
    assert "'x' won all 1 games against 'y'" in result["boards"]["harmless"]["refused"]
    assert main(["evaluate", "elo", str(file)]) == 0
    assert "no board of harmless replies: 'x' won all" in said(capsys)


def test_plan(games: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "plan", str(games), "--half-width", "30", "--votes-per-worker", "10", "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["model_a"], result["model_b"], result["votes_per_worker"]) == ("new", "old", 10)
    assert result["now"]["votes"] == 128 and result["now"]["workers"] == 6
    assert result["more_votes"] == 10 * result["more_workers"] > 0
    assert result["half_width"] <= 30
    assert [row["votes_per_worker"] for row in result["table"]] == [5, 10, 20, 50, 100]
    assert main(["evaluate", "plan", str(games), "--half-width", "30"]) == 0
    text = said(capsys)
    assert "Wanted: a 95 % interval of ±30 Elo" in text and "←" in text
    assert max(map(len, text.splitlines())) <= 80
    # a gap this wide is decided already
    assert main(["evaluate", "plan", str(games), "--worker-sd", "0", "--pair", "old", "new", "--json"]) == 0
    decided = json.loads(said(capsys))
    assert (decided["more_workers"], decided["goal"]) == (0, {"half_width": None, "power": 0.8})


def test_plan_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "plan", "--worker-sd", "100", "--gap", "50", "--power", "0.9", "--json"]) == 0
    result = json.loads(said(capsys))
    assert (result["model_a"], result["now"], result["votes_per_worker"]) == (None, None, 20)
    assert result["worker_sd_elo"] == pytest.approx(100, abs=0.1)
    assert result["more_workers"] > 20
    assert main(["evaluate", "plan", "--worker-sd", "100", "--gap", "50"]) == 0
    assert said(capsys).startswith("Two models: gap +50 Elo. Wanted: a decision with 80 % chance")


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("model_a,model_b,winner,worker\n", [], "no games to rate"),
        ("model_a,model_b,winner,worker\nx,x,a,w\n", [], "1 left out: same model on both sides"),
        ("model_a,model_b,winner,worker\nx,y,tie,w\n", [], "line 2: winner is 'tie'"),
        ("model_a,model_b,winner,worker\nx,y,a,w\n", [], "'x' won all 1 games against 'y'"),
        ("model_a,model_b,winner,worker\nx,y,a,w\nx,y,b,w\n", ["--anchor", "z"], "anchor 'z' is not among"),
        ("model_a,model_b,winner,worker\nx,y,a,w\nx,y,b,w\n", ["--pair", "x", "z"], "model 'z' is not among"),
        ("model_a,model_b,winner,worker\nx,y,a,w\nx,y,b,w\n", ["--draw", "both"], "no game says which conversation"),
        (
            "model_a,model_b,winner,worker\nx,y,a,w\nx,y,b,w\np,q,a,w\np,q,b,w\n",
            [],
            "no game links 'p', 'q' and 'x', 'y'",
        ),
    ],
)
def test_boards_that_cannot_be_made_say_why_in_one_line(
    text: str, more: list[str], message: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "elo", str(write(text)), *more]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "without FILE.csv, give --worker-sd"),
        (["--worker-sd", "100"], "without FILE.csv, give --worker-sd"),
        (["--worker-sd", "-1", "--gap", "5"], "--worker-sd -1.0 must be at least 0"),
        (["--worker-sd", "nan", "--gap", "5"], "--worker-sd nan is no number of Elo"),
        (["--worker-sd", "10", "--gap", "0"], "two level models"),
        (["--worker-sd", "10", "--half-width", "0"], "--half-width 0.0 must be above 0"),
        (["--worker-sd", "10", "--gap", "9", "--power", "1"], "--power 1.0 must be"),
        (["--worker-sd", "10", "--gap", "9", "--votes-per-worker", "0"], "--votes-per-worker 0 must be"),
    ],
)
def test_plans_that_mean_nothing(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "plan", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
