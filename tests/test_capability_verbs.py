import json
import shutil
from pathlib import Path

import pytest

from benchmark_folder import make_benchmarks
from concordant import sandbox
from concordant.cli import main
from concordant.commands.capability_verbs import short_names
from concordant.errors import UserError
from concordant.evaluate.asked_model import AskedModel
from concordant.models.language_model import LanguageModel
from toy_model import ToyModels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_benchmarks(tmp_path / "data")


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    status = main(["evaluate", "capabilities", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_two_models_on_the_same_items(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    asked = (toy.chat, toy.gpt2, "--data", data, "--out", out, "--shots", "0,1", "--limit", "4", "--json")
    status, text, _ = run(capsys, *asked)
    assert status == 0
    result = json.loads(text)
    assert result["models"] == ["chat", "gpt2"]
    zero = {row["task"] for row in result["tasks"] if row["shots"] == 0}
    assert zero == {
        "mmlu", "lambada", "hellaswag", "openbookqa", "arc-easy", "arc-challenge", "triviaqa", "truthfulqa", "hhh"
    }  # fmt: skip
    assert {row["task"] for row in result["tasks"] if row["shots"] == 1} == {"mmlu", "arc-easy"}
    assert "there are 0 examples of lambada" in result["left_out"]["lambada, 1-shot"]
    assert all(row["n"] == 4 and row["differences"].keys() == {"gpt2"} for row in result["tasks"])
    assert [part["shots"] for part in result["means"]] == [0, 1]
    assert json.loads((out / "result.json").read_text())["tasks"] == result["tasks"]
    files = [Path(path).name for path in result["files"]]
    assert files == [
        f"{name}.{ending}"
        for name in ("alignment-tax", "capabilities-zero-shot", "capabilities-few-shot")
        for ending in ("svg", "csv")
    ]
    rows = [json.loads(line) for line in (out / "items/arc-easy-0/gpt2.jsonl").read_text().splitlines()]
    score = next(row for row in result["tasks"] if (row["task"], row["shots"]) == ("arc-easy", 0))["scores"]["gpt2"]
    assert len(rows) == 4 and sum(row["acc"] for row in rows) / 4 == score["value"]
    # Again, without a model: all was answered. With a task less, the same numbers.
    monkeypatch.setattr(LanguageModel, "load", lambda *_: pytest.fail("a model was loaded"))
    assert json.loads(run(capsys, *asked)[1]) == result
    fewer = json.loads(run(capsys, *asked, "--tasks", "mmlu", "arc-easy")[1])
    assert fewer["tasks"][0] == result["tasks"][0]


def test_it_is_told_in_words(toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text, _ = run(
        capsys, toy.chat, toy.gpt2, "--data", data, "--out", tmp_path / "out", "--tasks", "arc-easy", "hhh"
    )  # fmt: skip
    assert status == 0
    assert text.startswith("arc-easy, 0-shot, n = 6, acc\n  chat ")
    assert "points [" in text and "against chat" in text and "mean, 0-shot" in text


def test_a_killed_one_goes_on(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (toy.chat, "--data", data, "--tasks", "arc-easy", "hellaswag", "--json", "--out")
    whole = json.loads(run(capsys, *asked, tmp_path / "whole")[1])
    real, calls = AskedModel.options, []

    def dies(self: AskedModel, questions: list[object]) -> object:
        calls.append(len(questions))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, questions)  # type: ignore[arg-type]

    monkeypatch.setattr(AskedModel, "options", dies)
    status, _, err = run(capsys, *asked, tmp_path / "cut")
    assert status == 130 and "goes on where it stopped" in err
    assert run(capsys, *asked, tmp_path / "cut")[0] == 0
    again = json.loads((tmp_path / "cut/result.json").read_text())
    assert again["tasks"] == whole["tasks"]


def test_programs_are_written_and_run(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        sandbox.check()
    except UserError as error:
        pytest.skip(str(error))
    status, text, _ = run(
        capsys, toy.plain, "--data", data, "--out", tmp_path / "out", "--tasks", "humaneval", "--samples", "5",
        "--max-new-tokens", "4", "--json",
    )  # fmt: skip
    assert status == 0
    result = json.loads(text)
    assert (result["tasks"][0]["metric"], result["tasks"][0]["n"]) == ("pass@1", 2)
    assert result["pass_at_k"]["plain"].keys() == {"1", "5"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tasks", "poetry"), "task 'poetry' is unknown; give mmlu, lambada"),
        (("--limit", "0"), "--limit 0 must be at least 1"),
        (("--shots", "two"), "--shots two: give whole numbers from 0 on"),
        (("--shots", "1,1"), "--shots 1,1: give whole numbers from 0 on, each once"),
        (("--tasks", "lambada", "--shots", "0,5"), "--shots 5: there are 0 examples of lambada; put a file of them"),
        (("--tasks", "arc-easy", "--shots", "9"), "--shots 9: there are 3 examples of arc-easy"),
        (("--tasks", "truthfulqa", "--shots", "3"), "truthfulqa is measured without examples only"),
        (("--samples", "0"), "--samples 0 must lie between 1 and 1,000"),
        (("--samples", "3", "--temperature", "0"), "--temperature 0 writes the same program every time"),
        (("--max-new-tokens", "0"), "--max-new-tokens 0 must be at least 1"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    status, out, err = run(capsys, "no-model", "--data", data, "--out", data / "out", *arguments)
    assert (status, out) == (2, "")
    assert said in err and err.count("\n") == 1
    assert not (data / "out").exists()


def test_files_that_are_wrong_are_named(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (toy.chat, "--out", tmp_path / "out", "--tasks", "arc-easy", "--data")
    (data / "arc_easy_test.jsonl").write_text("")
    assert "arc_easy_test.jsonl is empty; fetch it again" in run(capsys, *common, data)[2]
    (data / "arc_easy_test.jsonl").write_text('{"prompt": "x", "answer": "y"}\n')
    assert "holds no item of arc-easy (1 with no text in column 'stem'" in run(capsys, *common, data)[2]
    shutil.rmtree(data)
    assert f"--data {data} is no folder" in run(capsys, *common, data)[2]
    data.mkdir()
    assert "holds no arc_easy_test.jsonl[.gz] for arc-easy; put it there" in run(capsys, *common, data)[2]


def test_one_model_named_twice_is_refused(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(toy.chat, tmp_path / "copy")
    status, _, err = run(capsys, toy.chat, copied, "--data", data, "--out", tmp_path / "out", "--tasks", "hhh")
    assert status == 2 and "are the same model; name it once" in err


def test_names_are_as_short_as_they_can_be(tmp_path: Path) -> None:
    for name in ("a/policy", "b/policy"):
        (tmp_path / name).mkdir(parents=True)
    assert short_names(["smollm2-135m", str(tmp_path / "a/policy")]) == ["smollm2-135m", "policy"]
    assert short_names([str(tmp_path / "a/policy"), str(tmp_path / "b/policy")]) == ["a/policy", "b/policy"]
