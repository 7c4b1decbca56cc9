"""Who holds somebody's text: frozen files, runs, snapshots, deployments, found down the lineage."""

import json
from pathlib import Path

from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.holdings import HeldRun, HeldSet, HeldSnapshot, holdings
from concordant.store.preferences import Filter
from concordant.store.registry import SnapshotKind, add_snapshot, deploy, record_run
from stories import base_model, draw, person, play, policy_model


def test_from_a_comparison_to_what_people_meet(database: Database, tmp_path: Path) -> None:
    ann, bob = person(database, "Ann"), person(database, "Bob")
    base, other = base_model(database), policy_model(database)
    play(database, bob, draw(base, other), [1, 2])
    freeze(database, "without", Filter(), tmp_path)
    play(database, ann, draw(base, other), [1])
    both = freeze(database, "spring", Filter(), tmp_path)
    runs = tmp_path / "runs"
    record_run(database, "pm-1", "pm", str(runs / "pm-1"), {"dataset": f"spring@{both.digest[:12]}", "base": "b"}, {})
    record_run(database, "pm-0", "pm", "runs/pm-0", {"dataset": "without@0123", "base": "b"}, {})
    parents = {"pm": "mean of pm-0@1, pm-1@2", "prompts": "elsewhere"}
    record_run(database, "policy-1", "policy", "runs/policy-1", parents, {})
    for name, head in {
        "by-hand": {"kind": "pm", "parents": {"data": "other.jsonl@1, helpful=spring.jsonl.gz@2,0.5"}},
        "not-a-run": {"architectures": ["GPT2"]},
    }.items():
        (runs / name).mkdir(parents=True)
        (runs / name / "config.json").write_text(json.dumps(head))
    spec = {"folder": "b", "adapter": None}
    policy = add_snapshot(database, "policy-1", SnapshotKind.MODEL, spec, run="policy-1", parents=(base.id,))
    best = {"of": base.id, "pm": str(runs / "pm-1"), "k": 4}
    add_snapshot(database, "best", SnapshotKind.BEST_OF_K, best, parents=(base.id,))
    above = {"of": policy.id, "pm": "runs/pm-0", "k": 4}
    add_snapshot(database, "best of it", SnapshotKind.BEST_OF_K, above, parents=(policy.id,))
    deploy(database, policy.id, 1.0)
    found = holdings(database, ann.id, runs)
    assert found.datasets == (HeldSet("spring", both.path, 1, 3),)
    assert {(run.name, run.by) for run in found.runs} == {
        ("pm-1", "spring"),
        ("policy-1", "pm-1"),
        ("by-hand", "spring"),
    }
    assert HeldRun("by-hand", "pm", str(runs / "by-hand"), "spring") in found.runs
    assert set(found.snapshots) == {
        HeldSnapshot("policy-1", "policy-1", True),
        HeldSnapshot("best", "pm-1", False),
        HeldSnapshot("best of it", "policy-1", False),
    }
    assert {run.name for run in holdings(database, ann.id).runs} == {"pm-1", "policy-1"}, "as the store knows it"
    assert [one.rows for one in holdings(database, bob.id).datasets] == [2, 2]
    nobody = person(database, "Cat")
    assert holdings(database, nobody.id, runs).to_json() == {"datasets": [], "runs": [], "snapshots": []}


def test_a_file_that_cannot_be_read_may_hold_them(database: Database, tmp_path: Path) -> None:
    ann, model = person(database, "Ann"), base_model(database)
    play(database, ann, draw(model, policy_model(database)), [1])
    frozen = freeze(database, "spring", Filter(), tmp_path)
    frozen.path.write_bytes(frozen.path.read_bytes()[:60])
    assert [one.rows for one in holdings(database, ann.id).datasets] == [None]
    frozen.path.unlink()
    assert [one.rows for one in holdings(database, person(database).id).datasets] == [None]
