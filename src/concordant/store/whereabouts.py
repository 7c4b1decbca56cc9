"""What an id belongs to, a conversation, a worker, a model …, so that the audit log can say it in words."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, select

from concordant.store.database import Database
from concordant.store.tables import (
    ComparisonRow,
    DatasetRow,
    DeploymentRow,
    MessageRow,
    RunRow,
    SnapshotRow,
    TalkRow,
    WorkerRow,
)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What an id belongs to.

    Attributes:
        what: conversation, comparison, worker, model, deployment, run or data set.
        name: in words; "": it has none.
        at: id of what it is shown with: the conversation of a comparison, the model of a deployment, else itself.
    """

    what: str
    name: str
    at: str


def whereabouts(db: Database, ids: Collection[str]) -> dict[str, Whereabouts]:
    """Those of the ids that the store knows; at most a few hundred at once."""
    found: dict[str, Whereabouts] = {}
    with db.read() as session:
        for what, statement in _statements(ids).items():
            rows: Any = session.execute(statement)
            for key, name, at in rows:
                found[key] = Whereabouts(what, name or "", at)
    return found


def _statements(ids: Collection[str]) -> dict[str, Select[str, str, str]]:
    """What → a statement for (id, name, where it is shown)."""
    opening = and_(MessageRow.talk_id == TalkRow.id, MessageRow.turn == 1)
    return {
        "conversation": select(TalkRow.id, MessageRow.text, TalkRow.id)
        .outerjoin(MessageRow, opening)
        .where(TalkRow.id.in_(ids)),
        "comparison": select(ComparisonRow.id, MessageRow.text, MessageRow.talk_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .where(ComparisonRow.id.in_(ids)),
        "worker": select(WorkerRow.id, WorkerRow.name, WorkerRow.id).where(WorkerRow.id.in_(ids)),
        "model": select(SnapshotRow.id, SnapshotRow.label, SnapshotRow.id).where(SnapshotRow.id.in_(ids)),
        "deployment": select(DeploymentRow.id, SnapshotRow.label, SnapshotRow.id)
        .join(SnapshotRow, SnapshotRow.id == DeploymentRow.snapshot_id)
        .where(DeploymentRow.id.in_(ids)),
        "run": select(RunRow.name, RunRow.kind, RunRow.name).where(RunRow.name.in_(ids)),
        "data set": select(DatasetRow.name, DatasetRow.name, DatasetRow.name).where(DatasetRow.name.in_(ids)),
    }
