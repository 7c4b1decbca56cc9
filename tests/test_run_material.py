from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.evaluate.run_material import (
    before_and_after,
    gather,
    load_evaluation,
    load_hhh,
    save_evaluation,
    save_hhh,
)
from concordant.runs import Json, Run


def pm_run(path: Path) -> Run:
    run = Run.begin(path, "pm", {}, {"data": "set@1a2b", "limit": "None", "base": "smollm2-135m"})
    run.log({"step": 1, "comparisons": 16, "loss": 0.69})
    return run


def trial(step: int, number: int, reply: str) -> Json:
    return {
        "step": step,
        "trial": number,
        "prompt": [["human", "hi"], ["assistant", "yo"], ["human", "so?"]],
        "reply": reply,
    }


def test_two_runs_become_one_material(tmp_path: Path) -> None:
    pm = pm_run(tmp_path / "pm-1")
    pm.finish({"comparisons": 1600, "seconds": 90.0, "worker_kinds": {"scripted": 1600}})
    save_evaluation(pm, {"n": 3})
    save_hhh(pm, {"n": 221})
    policy = Run.begin(tmp_path / "policy-1", "policy", {}, {"pm": "pm-1"})
    policy.log({"step": 1, "samples": 32, "score": 0.1, "kl": 0.0})
    policy.replace_samples(0, [trial(0, 0, "before")])
    policy.replace_samples(1, [trial(1, 0, "after")])
    policy.finish({"updates": 1, "seconds": 30.0, "before": {"n": 1}, "after": {"n": 1}})
    material = gather("Title", [policy, pm])
    assert (material.pm, material.hhh) == ({"n": 3}, {"n": 221})
    assert [row["loss"] for row in material.pm_metrics] == [0.69]
    assert material.policy is not None
    assert material.policy["after"] == {"n": 1}
    assert material.samples == [
        {"prompt": "Human: hi\n\nAssistant: yo\n\nHuman: so?", "before": "before", "after": "after"}
    ]
    assert material.stages == [
        {"name": "preference model", "seconds": 90.0, "detail": "1,600 comparisons, one epoch"},
        {"name": "policy", "seconds": 30.0, "detail": "1 updates"},
    ]
    assert [(item["id"], item["parents"]) for item in material.lineage] == [
        ("pm-1", ["set@1a2b", "smollm2-135m"]),
        ("policy-1", ["pm-1"]),
    ]
    assert material.worker_kinds == {"scripted": 1600}


def test_an_unfinished_run_gives_what_it_has(tmp_path: Path) -> None:
    material = gather("x", [pm_run(tmp_path / "pm-1")])
    assert material.pm is None and material.hhh is None
    assert material.stages == []
    assert len(material.pm_metrics) == 1
    assert material.worker_kinds == {}


def test_a_measurement_stands_beside_its_run_until_the_next(tmp_path: Path) -> None:
    run = pm_run(tmp_path / "pm-1")
    assert load_evaluation(run) is None and load_hhh(run) is None
    save_evaluation(run, {"n": 1})
    save_evaluation(run, {"n": 2})
    assert load_evaluation(run) == {"n": 2}


def test_two_of_a_kind_or_none_of_ours_are_refused(tmp_path: Path) -> None:
    first, second = pm_run(tmp_path / "one"), pm_run(tmp_path / "two")
    with pytest.raises(UserError, match="both preference model runs; give one of a kind"):
        gather("x", [first, second])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="is no run of a preference model or policy"):
        gather("x", [Run.open(tmp_path / "other")])


def test_before_and_after_pairs_first_replies_and_leaves_out_what_has_no_partner() -> None:
    rows = [trial(0, 0, "a"), trial(0, 0, "second draw"), trial(0, 1, "b"), trial(8, 0, "c")]
    assert [(pair["before"], pair["after"]) for pair in before_and_after(rows)] == [("a", "c")]
    assert before_and_after([trial(0, 0, "a")]) == []
    assert before_and_after([]) == []
