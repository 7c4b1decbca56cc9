"""From a run back to what it was made of: runs beside it, copies from on the way, and those that are not at hand."""

import json
from pathlib import Path

from concordant.models.lineage import ancestry
from concordant.models.made_model import model_id
from concordant.runs import Run


def made(path: Path, kind: str, parents: dict[str, str], content: bytes = b"") -> Run:
    """A run whose weights have this content."""
    run = Run.begin(path, kind, {}, parents)
    run.model.mkdir()
    (run.model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (run.model / "model.safetensors").write_bytes(content)
    return run


def kept(run: Run, step: str) -> Path:
    """A copy of a preference model's run."""
    copy = run.kept / step
    copy.mkdir(parents=True)
    head = {**run.head, "parents": {**run.head["parents"], "run": run.name, "kept_at": step}}
    (copy / "config.json").write_text(json.dumps(head))
    (copy / "model").mkdir()
    (copy / "model/config.json").write_text(json.dumps({"model_type": "llama", "concordant_max_tokens": 9}))
    (copy / "model/model.safetensors").write_bytes(step.encode())
    return copy


def told(run: Run, *folders: Path) -> list[tuple[int, str, str, bool]]:
    return [(one.depth, one.role, one.id, one.run is not None) for one in ancestry(run, folders)]


def test_a_copy_from_on_the_way_leads_to_its_data_and_its_run(tmp_path: Path) -> None:
    pm = made(tmp_path / "pm-1", "pm", {"data": "hh@12"})
    copy = kept(pm, "8")
    policy = made(tmp_path / "policy-1", "policy", {"base": "smollm2-135m", "pm": model_id(copy)})
    assert told(policy) == [
        (1, "base", "smollm2-135m", False),
        (1, "pm", model_id(copy), True),
        (2, "data", "hh@12", False),
        (2, "run", "pm-1", False),
        (2, "kept_at", "8", False),
    ]
    # And from the copy itself: what stands beside its run.
    votes = made(tmp_path / "votes", "pmp", {"data": "Posts.xml@34"})
    (copy / "config.json").write_text(json.dumps({"kind": "pm", "parents": {"base": model_id(votes.path)}}))
    assert told(Run(copy))[1] == (2, "data", "Posts.xml@34", False)


def test_a_copy_that_stands_elsewhere_is_found_where_it_is_named(tmp_path: Path) -> None:
    pm = made(tmp_path / "elsewhere/pm-1", "pm", {"data": "hh@12"})
    copy = kept(pm, "8")
    policy = made(tmp_path / "policy-1", "policy", {"pm": model_id(copy)})
    assert told(policy) == [(1, "pm", model_id(copy), False)]
    for named in (pm.path, copy):
        assert told(policy, named)[0] == (1, "pm", model_id(copy), True)


def test_a_run_of_that_name_with_other_weights_is_another_run(tmp_path: Path) -> None:
    first = made(tmp_path / "a/policy-1", "policy", {}, b"one")
    made(tmp_path / "policy-1", "policy", {}, b"two")
    second = made(tmp_path / "policy-2", "policy", {"base": model_id(first.path)})
    assert told(second) == [(1, "base", model_id(first.path), False)]
    assert told(second, first.path) == [(1, "base", model_id(first.path), True)]


def test_a_run_whose_weights_are_gone_is_known_by_name_alone(tmp_path: Path) -> None:
    Run.begin(tmp_path / "pm-1", "pm", {}, {"data": "hh@12"})
    by_name = made(tmp_path / "policy-1", "policy", {"pm": "pm-1"})
    by_content = made(tmp_path / "policy-2", "policy", {"pm": "pm-1@0123456789ab"})
    assert [len(told(run)) for run in (by_name, by_content)] == [2, 1]
