"""``train distill`` and ``evaluate distill`` as typed, from files, on a toy model."""

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.hhh_prompt import HhhPrompt
from concordant.runs import Run
from toy_model import ToyModels, make_chat_model

SMALL = [
    word
    for setting in ("batch_size=4", "learning_rate=5e-3", "warmup_steps=0", "text_tokens=96", "k=10")
    for word in ("--set", setting)
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """(plain text, a dump, a prompt)."""
    words = "take 3 cups of flour, mix; wait 20 min"
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": f"{number} {words}"}) + "\n" for number in range(80)) + "[]\n")
    rows = [
        f'<row Id="{n}" PostTypeId="1" Score="1" Title="how to {n}" Body="please" />'
        f'<row Id="{n + 1}" PostTypeId="2" ParentId="{n}" Score="{n % 4}" Body="{words}" />'
        for n in range(10, 1000, 10)
    ]
    dump = tmp_path / "Posts.xml"
    dump.write_text(f"<posts>{''.join(rows)}</posts>")
    prompt = tmp_path / "mine.txt"
    prompt.write_text("Bake.\n-----\nHuman: how do I bake\n\nAssistant: with flour and water\n")
    return text, dump, prompt


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_from_files_to_a_student_and_its_uses(
    files: tuple[Path, Path, Path], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, dump, prompt = map(str, files)
    run = tmp_path / "run"
    data = ["--text", text, "--dialogues", dump]
    command = ["train", "distill", *data, "--prompt", prompt, "--model", str(toy.chat), "--out", str(run), *SMALL]
    command += ["--test-fraction", "0.25"]
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    teacher = next(line for line in captured.err.splitlines() if line.startswith("teacher:"))
    assert (
        f"{result['texts']} texts of {result['tokens']:,} tokens behind a prompt of " in teacher
        and " MB in 1 shards" in teacher
    )
    # 50 of 99 questions have an answer that was voted for; about a quarter of the documents is kept.
    assert result["dialogues"] == result["texts"] // 2 and 50 <= result["texts"] <= 100
    assert result["unread"] == {"line without a text": 1, "question without an answer that was voted for": 49}
    assert result["evaluation"]["documents"] >= 2 and "closer" in result["evaluation"]
    head = Run.open(run).head
    assert head["parents"]["prompt"] == f"mine.txt@{HhhPrompt.read(files[2]).digest}"
    assert head["parents"]["data"].startswith("text.jsonl@") and ", Posts.xml@" in head["parents"]["data"]

    # The same command again trains nothing, and measures the same.
    written = (run / "model/model.safetensors").stat().st_mtime_ns
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (run / "model/model.safetensors").stat().st_mtime_ns == written
    assert lines[-1] == str(run) and any(line.startswith("  gain ") for line in lines)
    assert json.loads((run / "evaluation.json").read_text()) == result["evaluation"]

    # Measured at another time, on those of the same files that it has not learned from.
    assert main(["evaluate", "distill", str(run), *data, "--json"]) == 0
    again = said(capsys)
    assert again["dropped"]["text that was learned from"] == result["documents"]
    assert again["documents"] >= result["evaluation"]["documents"]
    assert main(["evaluate", "distill", str(run), "--text", text, "--limit", "4"]) == 0
    assert "of 4 documents that were not learned from" in capsys.readouterr().out

    # As the model that others start from.
    assert main(["sample", str(run), "--prompt", "hi", "--max-new-tokens", "3", "--json"]) == 0
    assert said(capsys)["replies"][0]["tokens"] <= 3
    assert main(["model", "get", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "model")
    second = ["train", "distill", *data, "--prompt", prompt, "--model", str(run), "--out", str(tmp_path / "second")]
    assert main([*second, *SMALL, "--test-fraction", "0"]) == 0


def test_what_cannot_be_done_is_one_line(
    files: tuple[Path, Path, Path], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, dump, prompt = map(str, files)
    base = ["train", "distill", "--prompt", prompt, "--model", str(toy.chat), "--out", str(tmp_path / "run"), *SMALL]
    base += ["--test-fraction", "0.25"]
    both = ["--text", text, "--dialogues", dump]
    other = make_chat_model(tmp_path / "other", 280, 256)
    for arguments, message in (
        ([], "there is nothing to read; give files with --text, --dialogues, or both"),
        (["--text", text], "there is no dialogue that can be used; give --dialogues, or set dialogue_share=0"),
        ([*both, "--teacher", str(other)], "have different tokenizers"),
        ([*both, "--test-fraction", "1"], "--test-fraction 1.0 must lie between 0 and 1"),
        ([*both, "--limit", "0"], "--limit 0 must be at least 1"),
        ([*both, "--prompt", text], "text.jsonl holds no dialogue"),
        ([*both, "--set", "k=0"], "k is 0: input should be greater than or equal to 1"),
        (["--text", dump], "Posts.xml is of an unknown kind"),
    ):
        assert message in refused(capsys, [*base, *arguments])
    assert not (tmp_path / "run").exists()
    assert "k is 301, and the vocabulary has 300 tokens" in refused(capsys, [*base, *both, "--set", "k=301"])
    assert "does not fit the teacher's context of 256" in refused(capsys, [*base, *both, "--set", "text_tokens=240"])
    assert "is no finished distillation" in refused(capsys, ["evaluate", "distill", str(tmp_path / "run"), *both])
    assert "holds no model yet" in refused(capsys, ["model", "get", str(tmp_path / "run")])
