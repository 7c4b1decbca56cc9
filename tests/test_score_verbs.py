"""``score`` as typed: on a toy model for the numbers, on a rule for the windows."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from concordant.cli import main
from concordant.commands import score_verbs
from concordant.commands.score_verbs import Tally, scored_rows
from concordant.conversation import Conversation
from concordant.models.preference_model import PreferenceModel
from concordant.store.conversation_files import RepliesRow, read_replies
from toy_model import ToyModels

TALK = "\n\nHuman: how\n\nAssistant: "


class LengthScorer:
    """Scores are lengths; replies of more than 50 letters do not fit. It counts the items it was given at once."""

    def __init__(self) -> None:
        self.held: list[int] = []

    def row(self, prompt: Conversation, replies: Sequence[str]) -> list[int] | None:
        return None if max(map(len, replies)) > 50 else [0]

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        self.held.append(len(items))
        return [[float(len(reply)) for reply in replies] for _, replies in items]


@pytest.fixture(scope="module")
def pm(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PM's folder, with a head large enough to tell replies apart."""
    folder = tmp_path_factory.mktemp("pm")
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    with torch.no_grad():
        model.network.score.weight.mul_(100)
    model.save(folder)
    return folder


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    rows = [
        {"id": "first", "transcript": TALK + "yes"},
        {"chosen": TALK + "yes", "rejected": TALK + "no, no"},
        "poem",
        {"prompt": "how", "replies": ["no, no", "yes", "well"]},
        {"transcript": TALK + "long " * 100},
        "[]",
        "poem",
    ]
    path = tmp_path / "talks.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """What a command that cannot be done says, in one line."""
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_one_line_goes_out_for_each_row_that_came_in(
    pm: Path, talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    yes, no, well = PreferenceModel.load(pm).score(Conversation().human("how"), ["yes", "no, no", "well"])
    wanted = [
        {"line": 1, "id": "first", "scores": pytest.approx([yes], abs=1e-4)},
        {"line": 2, "scores": pytest.approx([yes, no], abs=1e-4)},
        {"line": 3, "unusable": "not JSON"},
        {"line": 4, "scores": pytest.approx([no, yes, well], abs=1e-4)},
        {"line": 5, "unusable": "longer than the context"},
        {"line": 6, "unusable": "not a JSON object"},
        {"line": 7, "unusable": "not JSON"},
    ]
    left_out = {
        "not JSON": {"n": 2, "first_line": 3},
        "longer than the context": {"n": 1, "first_line": 5},
        "not a JSON object": {"n": 1, "first_line": 6},
    }
    assert main(["score", str(pm), str(talks)]) == 0
    said = capsys.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == wanted
    assert "3 of 7 rows scored, 6 replies: mean" in said.err
    assert "left out: 2 not JSON (first in line 3)" in said.err

    assert main(["score", str(pm), str(talks), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == wanted
    assert (result["n"], result["scored"], result["replies"], result["left_out"]) == (7, 3, 6, left_out)
    assert result["mean"] == pytest.approx((3 * yes + 2 * no + well) / 6, abs=1e-4)

    for name in ("scores.jsonl", "scores.jsonl.gz"):
        out = tmp_path / name
        assert main(["score", str(pm), str(talks), "--out", str(out), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["file"], result["scored"], "rows" in result) == (str(out), 3, False)
        content = gzip.decompress(out.read_bytes()).decode() if name.endswith(".gz") else out.read_text()
        assert [json.loads(line) for line in content.splitlines()] == wanted
    assert main(["score", str(pm), str(talks), "--out", str(tmp_path / "scores.jsonl")]) == 0
    assert capsys.readouterr().out.endswith(f"\n{tmp_path / 'scores.jsonl'}\n")


def test_a_long_file_is_read_a_window_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_verbs, "WINDOW", 4)
    taken: list[int] = []

    def rows() -> Any:
        for number in range(10):
            taken.append(number)
            replies = ("x" * 51,) if number == 5 else ("x" * (10 - number), "y")
            yield RepliesRow(number + 1, None, ((Conversation().human("q"), replies),))

    model, tally, seen = LengthScorer(), Tally(), list[int]()
    stream = scored_rows(model, rows(), tally, seen.append)
    assert next(stream) == {"line": 1, "scores": [10.0, 1.0]}
    assert len(taken) == 4
    rest = list(stream)
    assert [row.get("scores", row.get("unusable")) for row in rest] == [
        *[[10.0 - number, 1.0] for number in (1, 2, 3, 4)],
        "longer than the context",
        *[[10.0 - number, 1.0] for number in (6, 7, 8, 9)],
    ]
    assert model.held == [4, 3, 2]
    assert seen == [4, 4, 8, 8, 10, 10]
    # 10 9 8 7 6 4 3 2 1 and nine ones: mean 59/18; squares 360 + 9
    assert tally.json()["mean"] == pytest.approx(59 / 18)
    assert tally.json()["sd"] == pytest.approx((369 / 18 - (59 / 18) ** 2) ** 0.5)


def test_pairs_of_two_prompts_give_two_scores_or_none(tmp_path: Path) -> None:
    path = tmp_path / "f"
    two = [("a", "b"), ("aaa", "x" * 51)]
    path.write_text(
        "".join(
            json.dumps({"chosen": f"Human: p\n\nAssistant: {one}", "rejected": f"Human: q\n\nAssistant: {other}"})
            + "\n"
            for one, other in two
        )
    )
    assert list(scored_rows(LengthScorer(), read_replies(path), Tally(), lambda _: None)) == [
        {"line": 1, "scores": [1.0, 1.0]},
        {"line": 2, "unusable": "longer than the context"},
    ]


def test_a_file_without_anything_to_score_leaves_nothing_behind(
    pm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text('\n{"text": "a"}\n')
    command = ["score", str(pm), str(tmp_path / "f")]
    message = "holds nothing that can be scored: 1 none of the known forms (first in line 2)"
    assert message in refused(capsys, [*command, "--out", str(tmp_path / "out")])
    assert message in refused(capsys, [*command, "--json"])
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_cannot_be_read_or_written_is_one_line(
    pm: Path, talks: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "absent does not exist" in refused(capsys, ["score", str(pm), str(tmp_path / "absent")])
    (tmp_path / "empty").write_text("")
    assert "has no lines" in refused(capsys, ["score", str(pm), str(tmp_path / "empty")])
    assert "is no preference model" in refused(capsys, ["score", str(toy.chat), str(talks)])
    assert "is a folder; name a file" in refused(capsys, ["score", str(pm), str(talks), "--out", str(tmp_path)])
    assert "is the file that is read" in refused(capsys, ["score", str(pm), str(talks), "--out", str(talks)])


@pytest.fixture(scope="module")
def other(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second PM, of another seed and far above the first."""
    folder = tmp_path_factory.mktemp("other")
    model = PreferenceModel.from_language_model(toy.chat, seed=1)
    with torch.no_grad():
        model.network.score.weight.mul_(200)
    model.save(folder)
    return folder


def test_several_models_score_as_one_with_the_spread_beside_each(
    pm: Path, other: Path, talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each model's mean over the file's replies is taken off; a row that one of them cannot score has no score."""
    assert main(["score", str(pm), str(other), str(talks), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    how = Conversation().human("how")
    asked = [(how, replies) for replies in (["yes"], ["yes", "no, no"], ["no, no", "yes", "well"])]
    each = np.array([np.concatenate(PreferenceModel.load(model).score_many(asked)) for model in (pm, other)])
    centred = each - each.mean(axis=1, keepdims=True)
    rows = [row for row in result["rows"] if "scores" in row]
    assert np.concatenate([row["scores"] for row in rows]) == pytest.approx(centred.mean(axis=0), abs=1e-4)
    assert np.concatenate([row["spread"] for row in rows]) == pytest.approx(centred.std(axis=0), abs=1e-4)
    assert result["spread"] == pytest.approx(centred.std(axis=0).mean(), abs=1e-4)
    assert (result["replies"], result["left_out"]["longer than the context"]["n"]) == (6, 1)
    out = tmp_path / "scores.jsonl"
    assert main(["score", str(pm), str(other), str(talks), "--combine", "minimum", "--out", str(out)]) == 0
    words = capsys.readouterr().out
    assert f"have a standard deviation of {result['spread']:.3f}" in words
    lowest = [row for row in map(json.loads, out.read_text().splitlines()) if "scores" in row]
    assert np.concatenate([row["scores"] for row in lowest]) == pytest.approx(centred.min(axis=0), abs=1e-4)
    assert "is named twice" in refused(capsys, ["score", str(pm), str(pm), str(talks)])
    assert main(["score", str(pm), str(talks), "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["spread"] is None and not any("spread" in row for row in alone["rows"])
