from pathlib import Path

from concordant.evaluate.report_sources import Sources
from concordant.evaluate.run_material import (
    before_and_after,
    gather,
    load_evaluation,
    load_hhh,
    save_evaluation,
    save_hhh,
)
from concordant.runs import Json, Run
from reported import evaluation


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
    measured = evaluation()
    save_evaluation(pm, measured)
    save_hhh(pm, {"n": 221})
    policy = Run.begin(tmp_path / "policy-1", "policy", {}, {"pm": "pm-1"})
    policy.log({"step": 1, "samples": 32, "score": 0.1, "kl": 0.0})
    policy.replace_samples(0, [trial(0, 0, "before")])
    policy.replace_samples(1, [trial(1, 0, "after")])
    held_out = {"n": 1, "score": 0.0, "score_se": 0.1, "kl": 0.0}
    policy.finish({"updates": 1, "seconds": 30.0, "before": held_out, "after": held_out})
    material = gather("Title", Sources([policy, pm]))
    assert (material.pm, material.hhh) == (measured, {"n": 221})
    assert [row["loss"] for row in material.pm_metrics] == [0.69]
    assert material.policy is not None
    assert material.policy["after"] == held_out
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
    material = gather("x", Sources([pm_run(tmp_path / "pm-1")]))
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


def test_of_several_runs_the_first_is_shown_at_length_and_all_stand_in_the_tables(tmp_path: Path) -> None:
    pms: list[Run] = []
    policies: list[Run] = []
    for seed in (1, 2):
        pm = Run.begin(
            tmp_path / f"pm-{seed}", "pm", {"seed": seed, "lora_rank": 16}, {"data": "set@1a2b", "base": "b"}
        )
        pm.finish({"comparisons": 1600, "seconds": 9.0})
        save_evaluation(pm, evaluation() | {"accuracy": 0.6 + 0.02 * seed})
        policy = Run.begin(tmp_path / f"policy-{seed}", "policy", {"seed": seed}, {"pm": "pm-1@cc", "base": "b"})
        for step in range(1, 9):
            policy.log(
                {"step": step, "samples": 8 * step, "score": 0.5 * seed * step, "score_se": 0.1, "kl": step**2.0}
            )
        policy.finish({"updates": 8, "seconds": 20.0})
        pms, policies = [*pms, pm], [*policies, policy]
    best = Run.begin(tmp_path / "best", "best-of", {"n": 4}, {"pm": "pm-1"})
    best.finish({"n": 4, "points": []})
    material = gather("x", Sources([pms[1], pms[0], *policies, best], scans=[{"rows": []}], measured={"ood": {"n": 1}}))
    assert material.shown == {
        "pm": "pm-2: b, LoRA of rank 16, seed 2",
        "policy": "policy-1: b, all weights, seed 1",
    }
    assert material.pm is not None and material.pm["accuracy"] == 0.64
    assert [row["names"] for row in material.pms] == [["pm-2", "pm-1"]]
    assert [row["name"] for row in material.policies] == ["policy-1", "policy-2"]
    assert list(material.updates) == ["policy-1", "policy-2"]
    assert material.best_of is not None and list(material.best_of["policies"]) == ["policy-1", "policy-2"]
    assert (material.scans, material.ood, material.tension) == ([{"rows": []}], {"n": 1}, None)


def test_policies_of_another_preference_model_do_not_stand_beside_best_of_k(tmp_path: Path) -> None:
    policy = Run.begin(tmp_path / "policy", "policy", {}, {"pm": "another@cc"})
    policy.log({"step": 1, "samples": 8, "score": 0.5, "kl": 1.0})
    best = Run.begin(tmp_path / "best", "best-of", {"n": 4}, {"pm": "pm-1@dd"})
    best.finish({"n": 4, "points": []})
    assert gather("x", Sources([policy, best])).best_of == {"result": {"n": 4, "points": []}, "policies": {}}


def test_before_and_after_pairs_first_replies_and_leaves_out_what_has_no_partner() -> None:
    rows = [trial(0, 0, "a"), trial(0, 0, "second draw"), trial(0, 1, "b"), trial(8, 0, "c")]
    assert [(pair["before"], pair["after"]) for pair in before_and_after(rows)] == [("a", "c")]
    assert before_and_after([trial(0, 0, "a")]) == []
    assert before_and_after([]) == []
