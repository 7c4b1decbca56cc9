"""Model versions that people can meet, which of them are deployed, and the runs that made them.

A snapshot never changes; a deployment is retired, not deleted, so that any comparison can be traced to its models.
Left out: stopping one at once (``kill_switch.py``), and how each has done (``deployment_counts.py``).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.tables import DeploymentRow, RunRow, SnapshotRow, utc_now

Json = dict[str, Any]


class SnapshotKind(StrEnum):
    """What writes: a model here, the best of k of one, a model behind an OpenAI-compatible endpoint, or people."""

    MODEL = "model"
    BEST_OF_K = "best_of_k"
    ENDPOINT = "endpoint"
    WRITTEN = "written"


_SPEC_KEYS = {
    SnapshotKind.MODEL: {"folder", "adapter"},
    SnapshotKind.BEST_OF_K: {"of", "pm", "k"},
    SnapshotKind.ENDPOINT: {"url", "model", "key_env"},
    SnapshotKind.WRITTEN: {"file", "digest", "rows"},
}


class State(StrEnum):
    """How a deployment stands. DRAINING: nothing new is asked of it, and what was asked for is written to the end.
    STOPPED: nothing of it is written any more."""

    LIVE = "live"
    DRAINING = "draining"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model version.

    Attributes:
        id: 32 hex digits.
        label: its name on boards and in exports; unique.
        kind: a model, rejection sampling over another snapshot (paper §2.3), an endpoint, or people.
        spec: model: ``{"folder": base model, or a policy of which all weights were trained, "adapter": path or None}``,
            either of which may be a policy kept on the way (RUN/kept/N); best_of_k: ``{"of": snapshot id, "pm": run
            path, "k": int}``; endpoint: ``{"url": base URL, "model": its name there, "key_env": name of the environment
            variable that holds the key, or None}``; written: ``{"file": name, "digest": its sha256, "rows": int}``.
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
    """A snapshot before the workers. ``objective`` None: in both kinds of talk."""

    id: str
    snapshot: Snapshot
    weight: float
    objective: Objective | None
    state: State = State.LIVE
    created: datetime | None = None
    retired: datetime | None = None

    def answers(self, objective: Objective) -> bool:
        """Whether it can reply to anything that is said in such a talk; people's written replies cannot."""
        return self.objective in (None, objective) and self.snapshot.kind is not SnapshotKind.WRITTEN


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
    with db.write_alone() as session:
        return snapshot_in(session, label, kind, spec, run, parents)


def snapshot_in(
    session: Session, label: str, kind: SnapshotKind, spec: Json, run: str | None = None, parents: Sequence[str] = ()
) -> Snapshot:
    """``add_snapshot`` within a transaction that is alone (``Database.write_alone``)."""
    if set(spec) != _SPEC_KEYS[kind]:
        raise UserError(f"snapshot {label!r}: spec has keys {sorted(spec)}; {kind} needs {sorted(_SPEC_KEYS[kind])}")
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


def deploy(
    db: Database, snapshot_id: str, weight: float, objective: Objective | None = None, by: str = COMMAND_LINE
) -> Deployment:
    """Put a snapshot before the workers. One that is out already, for the same objective, gets the new weight; one that
    drains or was stopped goes live again.

    Args:
        db: the store.
        snapshot_id: id or label.
        weight: how often it is drawn, relative to the other deployments; above 0 and finite.
        objective: in which talks; None: in both.
        by: the member of staff, for the audit log.
    """
    if not 0 < weight < math.inf:
        raise UserError(f"the weight of a deployment is {weight!r}; it must be above 0 (drain, stop or retire it)")
    with db.write_alone() as session:
        found = _find(session, snapshot_id)
        wanted = None if objective is None else objective.value
        same = session.scalar(
            _standing().where(DeploymentRow.snapshot_id == found.id, DeploymentRow.objective == wanted)
        )
        if same is not None and (same.weight, same.state) == (weight, State.LIVE):
            return _deployment(same, found)
        detail = {"snapshot": found.label, "weight": weight, "objective": wanted}
        if same is not None:
            same.retired = utc_now()
            detail |= {"weight_before": same.weight, "state_before": same.state}
        made = DeploymentRow(snapshot_id=found.id, weight=weight, objective=wanted)
        session.add(made)
        session.flush()
        note(session, by, "snapshot deployed" if same is None else "deployment changed", made.id, **detail)
        return _deployment(made, found)


def drain(db: Database, deployment_id: str, by: str = COMMAND_LINE) -> None:
    """Ask nothing new of a deployment; what was asked of it is written to the end. Draining it twice changes nothing.

    Raises:
        UserError: there is no such deployment, or it was stopped or retired.
    """
    with db.write_alone() as session:
        row = standing_row(session, deployment_id)
        if row.state == State.STOPPED:
            raise UserError("this deployment was stopped, so there is nothing to drain; deploy it again, or retire it")
        if row.state != State.DRAINING:
            row.state = State.DRAINING.value
            note(session, by, "deployment drained", row.id, snapshot=label_of(session, row))


def retire(db: Database, deployment_id: str, by: str = COMMAND_LINE) -> None:
    """Take a deployment away from the workers for good. Retiring it twice changes nothing.

    What was asked of it is written to the end, unless it was stopped.

    Raises:
        UserError: there is no such deployment.
    """
    with db.write_alone() as session:
        row = _row(session, deployment_id)
        if row.retired is None:
            row.retired = utc_now()
            note(session, by, "deployment retired", row.id, snapshot=label_of(session, row))


def active_deployments(db: Database) -> list[Deployment]:
    """What workers meet now, oldest first."""
    return [one for one in standing_deployments(db) if one.state is State.LIVE]


def standing_deployments(db: Database) -> list[Deployment]:
    """All that are not retired, whatever their state, oldest first."""
    with db.read() as session:
        return deployments_in(session)


_STANDING = (
    select(DeploymentRow, SnapshotRow)
    .join(SnapshotRow, SnapshotRow.id == DeploymentRow.snapshot_id)
    .where(DeploymentRow.retired.is_(None))
    .order_by(DeploymentRow.created, DeploymentRow.id)
)


def deployments_in(session: Session) -> list[Deployment]:
    """``standing_deployments`` within a transaction."""
    return [_deployment(row, of) for row, of in session.execute(_STANDING)]


def standing_row(session: Session, deployment_id: str) -> DeploymentRow:
    """The row of a deployment that is not retired.

    Raises:
        UserError: there is none, or it was retired.
    """
    row = _row(session, deployment_id)
    if row.retired is not None:
        raise UserError("this deployment was changed or retired meanwhile; look at the list again")
    return row


def label_of(session: Session, row: DeploymentRow) -> str:
    """Label of what a deployment deploys."""
    return session.get_one(SnapshotRow, row.snapshot_id).label


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


def _standing() -> Select[DeploymentRow]:
    return select(DeploymentRow).where(DeploymentRow.retired.is_(None))


def _row(session: Session, deployment_id: str) -> DeploymentRow:
    row = session.get(DeploymentRow, deployment_id, with_for_update=True)
    if row is None:
        raise UserError(f"there is no deployment {deployment_id!r}")
    return row


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
    objective = None if row.objective is None else Objective(row.objective)
    return Deployment(row.id, _snapshot(of), row.weight, objective, State(row.state), row.created, row.retired)
