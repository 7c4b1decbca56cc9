"""Snapshots, deployments and runs: never changed, only added and retired."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.registry import (
    SnapshotKind,
    active_deployments,
    add_snapshot,
    deploy,
    record_run,
    retire,
    runs,
    snapshot,
    snapshots,
)
from stories import base_model, best_of, policy_model

SPEC = {"folder": "models/base", "adapter": None}


def test_a_snapshot_is_found_by_id_and_by_label(database: Database) -> None:
    made = add_snapshot(database, "base", SnapshotKind.MODEL, SPEC, run="run-1", parents=("a", "b"))
    assert made.spec == SPEC and made.run == "run-1" and made.parents == ("a", "b")
    assert snapshot(database, made.id) == snapshot(database, "base") == made
    with pytest.raises(UserError, match="no snapshot 'x'"):
        snapshot(database, "x")


def test_two_processes_may_register_and_deploy_at_once(database: Database) -> None:
    """Each looks first and adds then; without a lock both would add."""

    def both(_: int) -> tuple[str, str]:
        made = add_snapshot(database, "base", SnapshotKind.MODEL, SPEC)
        return made.id, deploy(database, made.id, 1.0).id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(both, range(16)))) == 1
    assert len(snapshots(database)) == len(active_deployments(database)) == 1


def test_the_same_label_again_is_the_same_snapshot_or_an_error(database: Database) -> None:
    made = add_snapshot(database, "base", SnapshotKind.MODEL, SPEC)
    assert add_snapshot(database, "base", SnapshotKind.MODEL, dict(SPEC)) == made
    with pytest.raises(UserError, match="'base' is taken"):
        add_snapshot(database, "base", SnapshotKind.MODEL, SPEC | {"adapter": "x"})
    policy_model(database)
    assert [one.label for one in snapshots(database)] == ["base", "policy"]


def test_a_spec_must_fit_its_kind(database: Database) -> None:
    with pytest.raises(UserError, match=r"needs \['k', 'of', 'pm'\]"):
        add_snapshot(database, "x", SnapshotKind.BEST_OF_K, SPEC)
    with pytest.raises(UserError, match="names snapshot 'gone'"):
        add_snapshot(database, "x", SnapshotKind.BEST_OF_K, {"of": "gone", "pm": "p", "k": 4})
    assert snapshots(database) == []
    base = base_model(database)
    assert best_of(database, "bo16", base).spec["of"] == base.id


def test_deployments_come_and_go(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    assert active_deployments(database) == []
    one = deploy(database, base.id, 1.0)
    two = deploy(database, "policy", 3.0, Objective.HARMLESS)
    assert active_deployments(database) == [one, two]
    assert (two.snapshot, two.weight, two.objective) == (policy, 3.0, Objective.HARMLESS)
    for _ in range(2):
        retire(database, one.id)
    assert active_deployments(database) == [two]
    with pytest.raises(UserError, match="no deployment"):
        retire(database, "x")


def test_deploying_again_changes_the_weight_and_makes_no_double(database: Database) -> None:
    base = base_model(database)
    first = deploy(database, base.id, 1.0)
    assert deploy(database, base.id, 1.0) == first
    heavier = deploy(database, base.id, 2.0)
    assert active_deployments(database) == [heavier] and heavier.id != first.id
    helpful = deploy(database, base.id, 2.0, Objective.HELPFUL)
    assert active_deployments(database) == [heavier, helpful]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_is_above_zero(database: Database, weight: float) -> None:
    base = base_model(database)
    with pytest.raises(UserError, match="must be above 0"):
        deploy(database, base.id, weight)


def test_a_run_is_recorded_once(database: Database) -> None:
    for _ in range(2):
        record_run(database, "pm-1", "pm", "runs/pm-1", {"data": "abc"}, {"accuracy": 0.65})
    with pytest.raises(UserError, match="'pm-1' is recorded with another result"):
        record_run(database, "pm-1", "pm", "runs/pm-1", {"data": "abc"}, {"accuracy": 0.99})
    (run,) = runs(database)
    assert (run.name, run.kind, run.path) == ("pm-1", "pm", "runs/pm-1")
    assert run.parents == {"data": "abc"} and run.result == {"accuracy": 0.65}
