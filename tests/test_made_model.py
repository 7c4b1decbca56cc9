"""What stands in a folder of a run: its end, a snapshot it kept, and how each is named as an input of others."""

import json
from pathlib import Path

import pytest

from concordant.models.made_model import (
    MadeModel,
    is_preference_model,
    is_whole_policy,
    model_id,
    policy_base,
    same_model,
    weights_digest,
)
from concordant.runs import Run

NOTHING = "e3b0c44298fc"
"""How the SHA-256 of no bytes begins."""


def weights(folder: Path, config: dict[str, object], name: str = "model.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    head = "adapter_config.json" if name.startswith("adapter") else "config.json"
    (folder / head).write_text(json.dumps(config))
    (folder / name).write_bytes(b"")
    return folder


def policy(path: Path, adapter: bool) -> Run:
    """A run with a model, and a policy that it kept at update 4."""
    run = Run.begin(path, "policy", {}, {"base": "toy"})
    for folder in (run.model, run.kept / "4"):
        if adapter:
            weights(folder, {"base_model_name_or_path": "/toy"}, "adapter_model.safetensors")
        else:
            weights(folder, {"model_type": "llama", "concordant_policy": "/toy"})
    (run.kept / "4" / "kept.json").write_text('{"kl": 0.5}')
    return run


@pytest.mark.parametrize("adapter", [True, False], ids=["adapter", "whole"])
def test_a_policy_and_one_that_was_kept(adapter: bool, tmp_path: Path) -> None:
    run = policy(tmp_path / "policy-1", adapter)
    for path in (run.path, run.model):
        made = MadeModel.at(path)
        assert made is not None and (made.name, made.step, made.kind) == ("policy-1", "", "policy")
        assert made.folder == run.model and (made.adapter is not None) is adapter
        assert made.parents == {"base": "toy"} and not made.ready
        assert policy_base(made.folder) == Path("/toy")
    kept = MadeModel.at(run.kept / "4")
    assert kept is not None and kept.run is not None
    assert (kept.name, kept.step, kept.kind, kept.ready) == ("policy-1/kept/4", "4", "policy", True)
    assert kept.parents == {"base": "toy", "run": "policy-1", "kept_at": "4"}
    assert kept.note == {"kl": 0.5}
    assert model_id(run.path) == f"policy-1@{NOTHING}" and model_id(run.kept / "4") == f"policy-1/kept/4@{NOTHING}"
    run.finish({})
    assert (found := MadeModel.at(run.path)) is not None and found.ready


def test_a_kept_preference_model_is_a_run_of_its_own(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "pm-1", "pm", {}, {})
    copy = run.kept / "8"
    weights(copy / "model", {"model_type": "llama", "concordant_max_tokens": 64})
    (copy / "config.json").write_text(json.dumps({"kind": "pm", "config": {}, "parents": {"kept_at": "8"}}))
    for path in (copy, copy / "model"):
        made = MadeModel.at(path)
        assert made is not None and (made.name, made.kind, made.step) == ("pm-1/kept/8", "pm", "")
        assert made.parents == {"kept_at": "8"} and is_preference_model(made.folder)
    assert MadeModel.at(run.path) is None  # it has no model yet
    assert model_id(copy) == f"pm-1/kept/8@{NOTHING}"


def test_folders_that_stand_alone(tmp_path: Path) -> None:
    base = weights(tmp_path / "base", {"model_type": "llama"})
    assert MadeModel.at(base) is None and not is_whole_policy(base)
    assert model_id(base) == f"base@{NOTHING}" and model_id("smollm2-135m") == "smollm2-135m"
    lora = weights(tmp_path / "moved/model", {"base_model_name_or_path": "/toy"}, "adapter_model.safetensors")
    made = MadeModel.at(lora.parent)
    assert made is not None and (made.folder, made.run, made.name, made.kind) == (lora, None, "moved", "policy")
    assert MadeModel.at(tmp_path / "absent") is None


def test_another_folder_within_a_run_is_none_of_its_models(tmp_path: Path) -> None:
    run = policy(tmp_path / "policy-1", adapter=True)
    assert MadeModel.at(weights(run.path / "mine", {"model_type": "llama"})) is None


def test_weights_in_several_files(tmp_path: Path) -> None:
    for number in (1, 2):
        weights(tmp_path, {}, f"model-{number:05}-of-00002.safetensors")
    before = weights_digest(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"x")
    assert len(before) == 64 and weights_digest(tmp_path) != before
    assert weights_digest(tmp_path / "absent") == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("pm@0a", "other@0a", True),
        ("pm@0a", "pm@0b", False),
        ("pm", "pm@0b", True),
        ("runs/pm", "pm@0b", True),
        ("smollm2-135m", "smollm2-135m", True),
        ("None", "smollm2-135m", False),
    ],
)
def test_ids_are_compared_by_content_where_both_say_it(one: str, other: str, same: bool) -> None:
    assert same_model(one, other) is same and same_model(other, one) is same
