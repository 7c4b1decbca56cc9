"""Model versions that people can meet, which of them are deployed, and the runs that made them.

A snapshot never changes; a deployment is retired, not deleted, so that any comparison can be traced to its models.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.tables import DeploymentRow, RunRow, SnapshotRow, utc_now

Json = dict[str, Any]


class SnapshotKind(StrEnum):
    MODEL = "model"
    BEST_OF_K = "best_of_k"


_SPEC_KEYS = {SnapshotKind.MODEL: {"folder", "adapter"}, SnapshotKind.BEST_OF_K: {"of", "pm", "k"}}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model version.

    Attributes:
        id: 32 hex digits.
        label: its name on boards and in exports; unique.
        kind: a model, or rejection sampling over another snapshot (paper §2.3).
        spec: model: ``{"folder": base model, "adapter": path or None}``; best_of_k: ``{"of": snapshot id,
            "pm": run path, "k": int}``.
        run: name of the run that made it, or None.
        parents: ids of what it was made from.
        created: when it was registered, UTC.
    """

    id: str
    label: str
    kind: SnapshotKind
    spec: Json
    run: str | None
    parents: tuple[str, ...]
    created: datetime


@dataclass(frozen=True, slots=True)
class Deployment:
    """A snapshot that workers meet now. ``objective`` None: in both kinds of talk."""

    id: str
    snapshot: Snapshot
    weight: float
    objective: Objective | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A finished training run. ``parents`` maps role to id, as in the run's own config.json."""

    name: str
    kind: str
    path: str
    parents: dict[str, str]
    result: Json
    created: datetime


def add_snapshot(
    db: Database, label: str, kind: SnapshotKind, spec: Json, run: str | None = None, parents: Sequence[str] = ()
) -> Snapshot:
    """Register a snapshot; the same label with the same spec again returns the one that is there.

    Raises:
        UserError: the label is taken by another spec, or the spec has not the keys of its kind.
    """
    if set(spec) != _SPEC_KEYS[kind]:
        raise UserError(f"snapshot {label!r}: spec has keys {sorted(spec)}; {kind} needs {sorted(_SPEC_KEYS[kind])}")
    with db.write_alone() as session:
        row = session.scalar(select(SnapshotRow).where(SnapshotRow.label == label))
        if row is None:
            if kind is SnapshotKind.BEST_OF_K and session.get(SnapshotRow, spec["of"]) is None:
                raise UserError(f"snapshot {label!r}: spec names snapshot {spec['of']!r}, which there is not")
            row = SnapshotRow(label=label, kind=kind.value, spec=dict(spec), run=run, parents=list(parents))
            session.add(row)
            session.flush()
        elif (row.kind, row.spec) != (kind.value, spec):
            raise UserError(f"snapshot label {label!r} is taken by another model; choose another label")
        return _snapshot(row)


def snapshots(db: Database) -> list[Snapshot]:
    """All snapshots, oldest first."""
    with db.read() as session:
        rows = session.scalars(select(SnapshotRow).order_by(SnapshotRow.created, SnapshotRow.id))
        return [_snapshot(row) for row in rows]


def snapshot(db: Database, id_or_label: str) -> Snapshot:
    """One snapshot.

    Raises:
        UserError: there is none of that id or label.
    """
    with db.read() as session:
        return _snapshot(_find(session, id_or_label))


def deploy(db: Database, snapshot_id: str, weight: float, objective: Objective | None = None) -> Deployment:
    """Put a snapshot before the workers. One that is out already, for the same objective, gets the new weight.

    Args:
        db: the store.
        snapshot_id: id or label.
        weight: how often it is drawn, relative to the other deployments; above 0.
        objective: in which talks; None: in both.
    """
    if not weight > 0:
        raise UserError(f"the weight of a deployment is {weight!r}; it must be above 0 (retire it to stop it)")
    with db.write_alone() as session:
        found = _find(session, snapshot_id)
        wanted = None if objective is None else objective.value
        same = session.scalar(_active().where(DeploymentRow.snapshot_id == found.id, DeploymentRow.objective == wanted))
        if same is not None and same.weight != weight:
            same.retired = utc_now()
            same = None
        if same is None:
            same = DeploymentRow(snapshot_id=found.id, weight=weight, objective=wanted)
            session.add(same)
            session.flush()
        return _deployment(same, found)


def retire(db: Database, deployment_id: str) -> None:
    """Take a deployment away from the workers. Retiring it twice changes nothing.

    Raises:
        UserError: there is no such deployment.
    """
    with db.write_alone() as session:
        row = session.get(DeploymentRow, deployment_id)
        if row is None:
            raise UserError(f"there is no deployment {deployment_id!r}")
        row.retired = row.retired or utc_now()


def active_deployments(db: Database) -> list[Deployment]:
    """What workers meet now, oldest first."""
    with db.read() as session:
        statement = (
            select(DeploymentRow, SnapshotRow)
            .join(SnapshotRow, SnapshotRow.id == DeploymentRow.snapshot_id)
            .where(DeploymentRow.retired.is_(None))
            .order_by(DeploymentRow.created, DeploymentRow.id)
        )
        return [_deployment(row, of) for row, of in session.execute(statement)]


def record_run(db: Database, name: str, kind: str, path: str, parents: Mapping[str, str], result: Json) -> None:
    """Record a finished run; the same again changes nothing.

    Raises:
        UserError: the name is taken by a run with another path, parents or result.
    """
    asked = (kind, path, dict(parents), dict(result))
    with db.write_alone() as session:
        row = session.get(RunRow, name)
        if row is None:
            session.add(RunRow(name=name, kind=kind, path=path, parents=asked[2], result=asked[3]))
        elif (row.kind, row.path, row.parents, row.result) != asked:
            raise UserError(f"run {name!r} is recorded with another result; give the new run another name")


def runs(db: Database) -> list[RunRecord]:
    """All recorded runs, oldest first."""
    with db.read() as session:
        rows = session.scalars(select(RunRow).order_by(RunRow.created, RunRow.name))
        return [RunRecord(row.name, row.kind, row.path, row.parents, row.result, row.created) for row in rows]


def _active() -> Select[DeploymentRow]:
    return select(DeploymentRow).where(DeploymentRow.retired.is_(None))


def _find(session: Session, id_or_label: str) -> SnapshotRow:
    row = session.scalar(
        select(SnapshotRow).where(or_(SnapshotRow.id == id_or_label, SnapshotRow.label == id_or_label))
    )
    if row is None:
        raise UserError(f"there is no snapshot {id_or_label!r}")
    return row


def _snapshot(row: SnapshotRow) -> Snapshot:
    return Snapshot(row.id, row.label, SnapshotKind(row.kind), row.spec, row.run, tuple(row.parents), row.created)


def _deployment(row: DeploymentRow, of: SnapshotRow) -> Deployment:
    return Deployment(row.id, _snapshot(of), row.weight, None if row.objective is None else Objective(row.objective))
