"""``concordant doctor`` as typed: on a run, a folder, a policy; its exit status is the verdict."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from toy_model import ToyModels


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_run_and_its_model(toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.begin(tmp_path / "pm", "pm", {}, {})
    run.save_model(PreferenceModel.from_language_model(toy.chat, seed=0).save)
    for path in (run.path, run.model):
        assert main(["doctor", str(path), "--json"]) == 0
        result = said(capsys)
        assert (result["kind"], result["holds"], result["wrong"]) == ("preference model", True, 0)
        assert {"check", "verdict", "measured", "limit", "meaning"} <= result["checks"][0].keys()
        assert len(result["checks"]) == 12


def test_what_a_person_reads(toy: ToyModels, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(toy.gpt2)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{toy.gpt2}: causal language model"
    assert lines[2] == "ok              special tokens       0 (limit 0)"
    assert lines[3] == "                padding is no token that ends a turn or a text"
    assert "not applicable  score position" in lines
    assert lines[-1].endswith(" 0 wrong, 3 not applicable")
    assert max(map(len, lines[1:])) <= 80


def test_a_wrong_model_is_told_by_the_exit_status(
    toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    config = json.loads((tmp_path / "pm/config.json").read_text())
    (tmp_path / "pm/config.json").write_text(json.dumps(config | {"pad_token_id": 300}))
    assert main(["doctor", str(tmp_path / "pm")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines].count("WRONG") == 2
    assert any(line.startswith("WRONG           special tokens       1 (limit 0)") for line in lines)
    assert main(["doctor", str(tmp_path / "pm"), "--json"]) == 1
    assert said(capsys)["holds"] is False


def test_a_policy(toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = LanguageModel.load(toy.chat).with_lora(rank=2, seed=0)
    Run.begin(tmp_path / "policy", "policy", {}, {}).save_model(model.save_adapter)
    assert main(["doctor", str(tmp_path / "policy"), "--json"]) == 0
    assert said(capsys)["kind"] == "causal language model"


def test_what_cannot_be_examined(toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run.begin(tmp_path / "unfinished", "pm", {}, {})
    shutil.copytree(toy.chat, tmp_path / "torn")
    (tmp_path / "torn/model.safetensors").write_bytes(b"torn")
    for name, message in (
        ("unfinished", "holds no model yet"),
        ("torn", "cannot be loaded as a causal language model"),
        ("absent", "is unknown; give smollm2-135m"),
    ):
        path = name if name == "absent" else str(tmp_path / name)
        assert main(["doctor", path]) == 2
        found = capsys.readouterr()
        assert found.out == "" and message in found.err and found.err.count("\n") == 1
