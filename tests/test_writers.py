"""Writers and a model's median reply, on a preference model that scores a reply by its length."""

import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.writers import measure_writers, median_reply
from concordant.evaluate.writers_figure import writers_figure
from concordant.models.made_model import model_id
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Json, Run
from concordant.store.conversation_files import read_replies
from lengths import LENGTHS


def silent(*_: object) -> None:
    pass


def sampled(asked: str, *replies: str) -> Json:
    return {"prompt": [["human", asked]], "replies": list(replies), "score": [float(len(reply)) for reply in replies]}


ROWS = [
    sampled("one", "x" * 9, "x", "x" * 5),
    sampled("two", "x" * 2, "x" * 3, "x" * 7),
    sampled("three", " ", "", "\n"),
]
WRITTEN = [
    (Conversation().human("one"), "y" * 2),
    (Conversation().human("two"), "y" * 4),
    (Conversation().human("three"), "y"),
    (Conversation().human("four"), "y"),
]


def test_the_median_is_of_replies_that_say_something() -> None:
    assert median_reply(["b", "a", "c"], [2.0, 1.0, 3.0]) == ("b", 2.0)
    assert median_reply(["b", "", "c", " \n"], [2.0, 9.0, 3.0, 9.0]) == ("b", 2.0), "the lower of two middles"
    assert median_reply(["", " "], [1.0, 2.0]) is None
    assert median_reply([str(number) for number in range(17)], [float(n) for n in range(17)]) == ("8", 8.0)


def test_by_hand() -> None:
    result, met = measure_writers(LENGTHS, WRITTEN, ROWS, silent)
    assert [(one.writer_score, one.median_score) for one in met] == [(2.0, 5.0), (4.0, 3.0)]
    assert (result["n"], result["replies"]) == (2, 3)
    assert result["gap"] == pytest.approx(1.0) and result["gap_se"] == pytest.approx(2.0)  # +3 and −1
    assert result["model_wins"] == 0.5
    assert (result["writers"]["mean"], result["median"]["mean"]) == (pytest.approx(0.0), pytest.approx(1.0))
    assert list(result["dropped"].values()) == [1, 1]
    figure = writers_figure(result)
    assert figure.title.startswith("The model's median reply scores above the writer's for 50\u202f% of 2 prompts")


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(UserError, match="none of the 1 prompts of the writers was answered"):
        measure_writers(LENGTHS, WRITTEN[3:], ROWS, silent)


def test_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(PreferenceModel, "load", lambda *_: LENGTHS)
    (tmp_path / "pm/model").mkdir(parents=True)
    (tmp_path / "pm/model/model.safetensors").write_bytes(b"weights")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/model.safetensors").write_bytes(b"other weights")
    run = Run.begin(tmp_path / "best", "best-of", {"n": 3}, {"pm": model_id(tmp_path / "pm")})
    for row in ROWS:
        run.log({"step": 1, **row})
    words = ["evaluate", "writers", str(tmp_path / "pm"), "--written", str(tmp_path / "written.jsonl")]
    words += ["--best-of", str(run.path)]
    assert main(words) == 2
    assert "is no finished best-of run" in capsys.readouterr().err
    run.finish({"n": 3})
    lines = [{"prompt": prompt.turns[0].text, "replies": [reply]} for prompt, reply in WRITTEN]
    (tmp_path / "written.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    out = tmp_path / "out"
    assert main([*words, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gap"] == pytest.approx(1.0)
    pairs = [row.items[0] for row in read_replies(out / "pairs.jsonl")]
    assert pairs == [(WRITTEN[0][0], ("yy", "xxxxx")), (WRITTEN[1][0], ("yyyy", "xxx"))]
    assert (out / "writers.json").exists()
    assert main(words) == 0
    assert "in 50.0% [" in capsys.readouterr().out
    words[2] = str(tmp_path / "other")
    assert main(words) == 2
    assert "was scored by pm@" in capsys.readouterr().err
