"""What is wrong with data, models or the disk, through the commands: counted, or one line and status 2.

After each refusal that comes in the middle of a run, the same command goes on from the last good state.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from concordant.cli import main
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from concordant.train.losses import preference_loss
from hh_rows import write_hh
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

SMALL = ["--set", "batch_size=8", "--set", "learning_rate=5e-3", "--set", "warmup_steps=0"]
TINY = ["updates=3", "prompts_per_update=2", "replies_per_prompt=2", "max_new_tokens=6", "lora_rank=2"]
FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def hh(chosen: str, rejected: str) -> str:
    return json.dumps({"chosen": chosen, "rejected": rejected})


ASK = "\n\nHuman: how\n\nAssistant:"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_hh(tmp_path / "data.jsonl", good_over_bad(24))
    return tmp_path / "data.jsonl"


@pytest.fixture
def pm(toy: ToyModels, tmp_path: Path) -> Path:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    return tmp_path / "pm"


@pytest.fixture
def policy(toy: ToyModels, data: Path, pm: Path, tmp_path: Path) -> list[str]:
    settings = [word for setting in TINY for word in ("--set", setting)]
    return ["train", "policy", "--pm", str(pm), "--model", str(toy.chat), "--out", str(tmp_path / "run"), *settings]


def train_pm(model: Path, *words: str | Path) -> list[str]:
    return ["train", "pm", "--model", str(model), *map(str, words), *SMALL]


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    capsys.readouterr()
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1, found.err
    return found.err


def said(capsys: pytest.CaptureFixture[str], command: list[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_comparisons_that_teach_nothing_are_counted(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "\n\nHuman: " + "x" * 300 + "\n\nAssistant: yes\n\nHuman: and\n\nAssistant:"
    rows = [
        hh(f"{ASK} a", "\n\nHuman: other\n\nAssistant: b"),
        hh(f"{ASK} same", f"{ASK} same"),
        hh(f"{ASK} ", f"{ASK} b"),
        json.dumps({"prompt": "how", "response": "a"}),
        hh(f"{ASK} {'y' * 400}", f"{ASK} b"),
        hh(f"{long} a", f"{long} b"),
    ]
    with data.open("a") as file:
        file.write("".join(row + "\n" for row in rows))
    command = train_pm(toy.chat, "--data", data, "--out", tmp_path / "run")
    result = said(capsys, command)
    assert result["unread"] == {
        "no shared prompt": 1, "equal replies": 1, "empty reply": 1, "missing 'chosen'": 1,
    }  # fmt: skip
    assert (result["comparisons"], result["dropped"], result["cut"]) == (25, {"longer than the context": 1}, 1)
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "1 no shared prompt" in lines[1] and "1 longer than the context" in lines[1]
    assert lines[2] == "the first turns of the prompt did not fit in 1 of them and were cut off"
    card = (tmp_path / "run/model/README.md").read_text()
    assert (
        "Of 1 of them, the first turns of the prompt did not fit" in card and "| longer than the context | 1 |" in card
    )


def test_files_without_a_usable_comparison_are_one_line(
    toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (
        ("columns.jsonl", json.dumps({"prompt": "how", "response": "a"}) + "\n"),
        ("equal.jsonl", hh(f"{ASK} same", f"{ASK} same") + "\n"),
        ("empty.jsonl", ""),
    ):
        (tmp_path / name).write_text(content)
        command = train_pm(toy.chat, "--data", tmp_path / name, "--out", tmp_path / "run")
        assert f"{name} holds no usable comparison" in refused(capsys, command)
    write_hh(tmp_path / "long.jsonl", [preference("x" * 400, "a", "b")])
    assert "none of the 1 comparisons can be used (1 longer than the context)" in refused(
        capsys, train_pm(toy.chat, "--data", tmp_path / "long.jsonl", "--out", tmp_path / "run")
    )


def test_a_tokenizer_without_padding_template_or_end(
    toy: ToyModels, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without padding or template it is trained on all the same; without an end of turn it says what to set."""
    bare = tmp_path / "bare"
    shutil.copytree(toy.plain, bare)
    tokenizer = AutoTokenizer.from_pretrained(bare)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(bare)
    said(capsys, train_pm(bare, "--data", data, "--out", tmp_path / "run"))
    assert said(capsys, ["doctor", str(tmp_path / "run")])["kind"] == "preference model"
    tokenizer.eos_token = None
    tokenizer.save_pretrained(bare)
    message = refused(capsys, train_pm(bare, "--data", data, "--out", tmp_path / "other"))
    assert "has no end-of-turn token; set eos_token in its config" in message


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    toy: ToyModels, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = train_pm(toy.chat, "--data", data, "--out", tmp_path / "run", "--set", "checkpoint_seconds=0")
    calls = []

    def broken(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return preference_loss(chosen, rejected) * (float("nan") if len(calls) == 3 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr("concordant.train.pm.preference_loss", broken)
        message = refused(capsys, command)
    assert "the loss became nan" in message and "the run diverged; its last good checkpoint is kept" in message
    said(capsys, command)
    said(capsys, train_pm(toy.chat, "--data", data, "--out", tmp_path / "straight"))
    one, other = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("run", "straight"))
    assert one == other


def test_prompts_that_cannot_be_answered(
    policy: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hh(tmp_path / "long.jsonl", [preference("x" * 300, "a", "b")])
    (tmp_path / "empty.jsonl").write_text("")
    for words, message in (
        (["--data", tmp_path / "long.jsonl"], "none of the 1 prompts fits policy.max_prompt_tokens=512"),
        (["--prompts", tmp_path / "long.jsonl"], "none of the 1 prompts fits"),
        (["--prompts", tmp_path / "empty.jsonl"], "empty.jsonl holds no prompt (it is empty)"),
        ([], "a policy needs prompts to answer; give --prompts FILE, or comparisons with --data FILE"),
        (["--data", data, "--set", "model_share=0.5"], "model_share is 0.5, and none of the 24 prompts is by a model"),
        (["--data", data, "--set", "harmless_share=2"], "harmless_share is 2: input should be less than"),
    ):
        assert message in refused(capsys, [*policy, *map(str, words)])
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    # Those that fit are answered, and the others counted.
    write_hh(tmp_path / "mixed.jsonl", [preference("x" * 300, "a", "b"), *good_over_bad(8)])
    assert said(capsys, [*policy, "--prompts", str(tmp_path / "mixed.jsonl")])["prompts"]["too_long"] == 1


def test_shares_of_prompts_are_set_in_the_config(
    policy: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of people's and a model's, helpful and harmless; what stands twice and what is too many is counted."""
    rows = [
        {"messages": [{"role": "user", "content": f"{objective} {origin} {number}"}], "objective": objective,
         "origin": origin}
        for objective in ("helpful", "harmless") for origin in ("human", "model") for number in range(6)
    ]  # fmt: skip
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    words = ["--prompts", str(tmp_path / "prompts.jsonl"), "--set", "model_share=0.25", "--set", "harmless_share=0.5"]
    result = said(capsys, [*policy, *words])
    parents = Run.open(tmp_path / "run").head["parents"]
    assert parents["mixed_prompts"] == (
        "2 harmless by a model, 6 harmless by people, 2 helpful by a model, 6 helpful by people"
    )
    assert result["prompts_left_out"] == {"duplicate": 1, "beyond the shares": 8}
    assert result["prompts"]["trained_on"] + result["prompts"]["held_out"] == 16
    assert "was 0.25, now 0.5" in refused(capsys, [*policy, *words, "--set", "model_share=0.5"])


def test_a_preference_model_of_another_base_or_tokenizer(
    policy: list[str], toy: ToyModels, pm: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is shown text, so it trains the policy as well; but no critic can begin as it."""
    shutil.rmtree(pm)
    from toy_model import make_chat_model

    base = make_chat_model(pm.parent / "other", 280, 256)
    PreferenceModel.from_language_model(base, seed=0).save(pm)
    message = refused(capsys, [*policy, "--data", str(data), "--set", "critic=pm"])
    assert "the preference model has other tokens than the policy" in message
    assert said(capsys, [*policy, "--data", str(data)])["updates"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "the check 'score position' fails before training: its scores are no numbers"),
        (0.0, "the check 'score position' fails before training: the score is the same everywhere: the head is flat"),
    ],
)
def test_a_reward_that_is_no_number_or_constant(
    value: float, message: str, policy: list[str], pm: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = load_file(pm / "model.safetensors")
    weights["score.weight"][:] = value
    save_file(weights, pm / "model.safetensors", metadata={"format": "pt"})
    assert message in refused(capsys, [*policy, "--data", str(data)])


@pytest.mark.parametrize("what", ["checkpoint", "model"])
def test_a_disk_that_fills_in_a_save(
    what: str, policy: list[str], data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*policy, "--data", str(data), "--set", "checkpoint_seconds=0"]
    place = "concordant.models.checkpoints.save_file" if what == "checkpoint" else "peft.peft_model.safe_save_file"
    calls = []

    def full(tensors: dict[str, torch.Tensor], path: Path | str, **rest: object) -> None:
        calls.append(path)
        if what == "model" or len(calls) == 2:
            raise FULL
        save_file(tensors, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, full)
        assert "the disk is full (while writing); make room and try again" in refused(capsys, command)
    assert (tmp_path / "run/checkpoint").is_dir() and not (tmp_path / "run/result.json").exists()
    said(capsys, command)
    command[command.index("--out") + 1] = str(tmp_path / "straight")
    said(capsys, command)
    name = "model/adapter_model.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
