"""Which frozen data sets hold a worker's comparisons, and which runs, snapshots and deployments came of them.

A data set holds them if its file has rows by the worker; a run, if it names such a data set or such a run among its
parents; a snapshot, if such a run made it or chooses for it, or it stands on such a snapshot. Left out: models whose
runs neither the store nor the programme's folder knows.
"""

import gzip
import json
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.runs import read_json
from concordant.store.database import Database
from concordant.store.datasets import FrozenDataset, datasets
from concordant.store.registry import Snapshot, State, runs, snapshots, standing_deployments

Json = dict[str, Any]
_BEFORE_A_NAME = re.compile(r"^(mean of |minimum of |helpful=|harmless=)")


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A data set that holds comparisons of the worker. ``rows`` None: its file cannot be read, so it may."""

    name: str
    path: Path
    rows: int | None
    of: int


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that learned from them. ``by``: the data set or run it had it from."""

    name: str
    kind: str
    path: str
    by: str


@dataclass(frozen=True, slots=True)
class HeldSnapshot:
    """A snapshot that people can meet, or could. ``deployed``: they meet it now."""

    label: str
    by: str
    deployed: bool


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything that holds a worker's comparisons outside the store's own rows."""

    datasets: tuple[HeldSet, ...]
    runs: tuple[HeldRun, ...]
    snapshots: tuple[HeldSnapshot, ...]

    def to_json(self) -> Json:
        """Its fields as JSON values."""
        return {
            "datasets": [
                {"name": one.name, "path": str(one.path), "rows": one.rows, "of": one.of} for one in self.datasets
            ],
            "runs": [{"name": one.name, "kind": one.kind, "path": one.path, "by": one.by} for one in self.runs],
            "snapshots": [{"label": one.label, "by": one.by, "deployed": one.deployed} for one in self.snapshots],
        }


def holdings(db: Database, worker_id: str, runs_folder: Path | None = None) -> Holdings:
    """What holds a worker's comparisons.

    Args:
        db: the store.
        worker_id: whose.
        runs_folder: of the programme, for runs that the store was not told of; None: look at the store's only.
    """
    held = [one for one in map(lambda found: _held(found, worker_id), datasets(db)) if one is not None]
    lineage: dict[str, tuple[str, str, Mapping[str, Any]]] = {
        run.name: (run.kind, run.path, run.parents) for run in runs(db)
    }
    for name, kind, path, parents in _in_folder(runs_folder):
        lineage.setdefault(name, (kind, path, parents))
    taught = _descendants({one.name for one in held}, {name: found[2] for name, found in lineage.items()})
    held_runs = tuple(HeldRun(name, *lineage[name][:2], by) for name, by in taught.items())
    deployed = {one.snapshot.id for one in standing_deployments(db) if one.state is not State.STOPPED}
    found = _snapshots(snapshots(db), held_runs)
    return Holdings(tuple(held), held_runs, tuple(HeldSnapshot(one.label, by, one.id in deployed) for one, by in found))


def _held(frozen: FrozenDataset, worker_id: str) -> HeldSet | None:
    of = int(frozen.counts["taken"])
    rows = _rows_of(frozen.path, worker_id)
    return None if rows == 0 else HeldSet(frozen.name, frozen.path, rows, of)


def _rows_of(path: Path, worker_id: str) -> int | None:
    """How many rows of a frozen file are the worker's; None: it cannot be read."""
    found = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                # Most lines are somebody else's, and need no parsing to tell.
                if worker_id in line and json.loads(line).get("worker") == worker_id:
                    found += 1
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return found


def _in_folder(folder: Path | None) -> Iterator[tuple[str, str, str, Mapping[str, Any]]]:
    """(name, kind, path, parents) of the runs in a folder."""
    for config in sorted(folder.glob("*/config.json")) if folder is not None else ():
        head = read_json(config)
        if "kind" in head and "parents" in head:
            yield config.parent.name, str(head["kind"]), str(config.parent), head["parents"]


def _descendants(names: Collection[str], parents: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Run → the parent it had it from, of all runs that come of these data sets, however far."""
    found: dict[str, str] = {}
    grew = True
    while grew:
        grew = False
        for run, roles in parents.items():
            by = next((one for value in roles.values() for one in _named(value) if one in names or one in found), None)
            if run not in found and by is not None:
                found[run], grew = by, True
    return found


def _named(value: object) -> list[str]:
    """The names in a recorded parent: ``spring@1a2b3c``, ``runs/pm-1``, ``mean of pm-1@…, pm-2@…``."""
    parts = [_BEFORE_A_NAME.sub("", part.strip()) for part in str(value).split(",")]
    return [Path(part.partition("@")[0]).name.removesuffix(".jsonl.gz") for part in parts if part]


def _snapshots(known: Sequence[Snapshot], held: Sequence[HeldRun]) -> list[tuple[Snapshot, str]]:
    """(snapshot, the run or snapshot that it has it from)."""
    names, found = {run.name for run in held}, dict[str, tuple[Snapshot, str]]()
    for one in known:  # oldest first, so that what a snapshot stands on comes before it
        chooser = Path(str(one.spec.get("pm", ""))).name
        below = next((found[parent][0].label for parent in one.parents if parent in found), None)
        by = one.run if one.run in names else chooser if chooser in names else below
        if by is not None:
            found[one.id] = (one, by)
    return list(found.values())
