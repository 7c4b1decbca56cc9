"""Devices by name: what there is, what there is not, and that it takes a word to leave the CPU for Metal."""

from pathlib import Path

import pytest
import torch

from concordant.cli import main
from concordant.errors import UserError
from concordant.models.devices import find_device
from hh_rows import write_hh
from toy_lessons import good_over_bad


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with Metal and no CUDA card."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    return monkeypatch


def cards(machine: pytest.MonkeyPatch, number: int) -> None:
    machine.setattr(torch.cuda, "is_available", lambda: True)
    machine.setattr(torch.cuda, "device_count", lambda: number)


def test_without_a_card(machine: pytest.MonkeyPatch) -> None:
    assert [find_device(name) for name in ("auto", "cpu", "mps")] == ["cpu", "cpu", "mps"]
    for name in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match=f"device {name}: torch finds no CUDA card here; take --device cpu"):
            find_device(name)
    machine.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match="device mps: this machine has no GPU that Metal can use"):
        find_device("mps")
    for name in ("gpu", "cuda:x", "cuda:-1", ""):
        with pytest.raises(UserError, match=f"device '{name}' is unknown; take auto, cpu, cuda, cuda:N or mps"):
            find_device(name)


def test_with_two_cards(machine: pytest.MonkeyPatch) -> None:
    cards(machine, 2)
    assert [find_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda:0", "cuda:0", "cuda:1", "cpu"]
    with pytest.raises(UserError, match="card 2 is asked for, and there are 2, counted from 0"):
        find_device("cuda:2")


def test_each_process_of_a_team_takes_its_own_card(machine: pytest.MonkeyPatch) -> None:
    cards(machine, 2)
    machine.setenv("LOCAL_RANK", "1")
    assert (find_device("auto"), find_device("cuda:0")) == ("cuda:1", "cuda:0")
    machine.setenv("LOCAL_RANK", "2")
    with pytest.raises(UserError, match="card 2 is asked for, and there are 2"):
        find_device("auto")


@pytest.mark.parametrize(
    "words",
    [
        ["train", "pm", "--data", "{data}", "--out", "{out}"],
        ["scan", "comparisons", "--data", "{data}", "--test-fraction", "0.5", "--sizes", "2", "--out", "{out}"],
        ["evaluate", "pm", "absent", "--data", "{data}"],
        ["evaluate", "calibration", "absent", "--data", "{data}"],
        ["evaluate", "hhh", "absent", "{hhh}"],
        ["score", "absent", "{data}"],
        ["train", "policy", "--data", "{data}", "--pm", "absent", "--out", "{out}"],
        ["train", "distill", "--text", "{data}", "--out", "{out}"],
        ["sample", "absent", "--prompt", "hi"],
        ["doctor", "absent"],
        ["prompts", "write", "{out}", "--examples", "{data}", "--count", "1"],
        ["evaluate", "best-of", "{data}", "--pm", "absent", "--out", "{out}"],
        ["evaluate", "distill", "absent"],
        ["evaluate", "ood", "absent", "--inside", "{data}", "--outside", "{data}"],
        ["evaluate", "tension", "absent", "--data", "helpful={data}"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_verb_refuses_an_absent_device_before_it_loads_or_makes_anything(
    words: list[str], machine: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hh(tmp_path / "data.jsonl", good_over_bad(20))
    (tmp_path / "hhh.jsonl").write_text('{"category": "other", "prompt": "p", "chosen": "a", "rejected": "b"}\n')
    places = {"data": tmp_path / "data.jsonl", "hhh": tmp_path / "hhh.jsonl", "out": tmp_path / "out"}
    assert main([*(word.format(**places) for word in words), "--device", "cuda:3"]) == 2
    error = capsys.readouterr().err
    assert "device cuda:3: torch finds no CUDA card here" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
