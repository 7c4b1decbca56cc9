"""What a report is asked to show, told apart by what lies in each folder: runs, scans, measurements with figures.

A scan's folder holds scan.json and table.json; a measurement's holds the file that ``evaluate ood``, ``tension``,
``shift``, ``snapshots`` or ``writers`` wrote beside its figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from concordant.errors import UserError
from concordant.runs import Json, Run, read_json

SCAN, SCAN_TABLE = "scan.json", "table.json"
MEASURED = ("ood", "tension", "shift", "snapshots", "writers")
"""What is known by its file: NAME.json in the folder of ``--out``."""

RUN_KINDS = {
    "pmp": "pretraining on votes",
    "pm": "preference model",
    "distill": "context distillation",
    "policy": "policy",
    "best-of": "best of k",
    "capabilities": "capabilities",
    "bias": "bias",
    "refusals": "refusals",
    "likelihood": "likelihood of the better reply",
}
"""Kinds of runs that a report knows, in words."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What was found.

    Attributes:
        runs: in the order given; the first of a kind is the one that is shown at length.
        scans: table.json of each.
        measured: name of a measurement → its numbers.
    """

    runs: Sequence[Run] = ()
    scans: Sequence[Json] = ()
    measured: dict[str, Json] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Run]:
        """The runs of one kind."""
        return [run for run in self.runs if run.head["kind"] == kind]


def read_sources(folders: Iterable[Path]) -> Sources:
    """What the folders hold.

    Raises:
        UserError: one holds nothing that a report shows, or two hold the same measurement.
    """
    runs: list[Run] = []
    scans: list[Json] = []
    measured: dict[str, Json] = {}
    for folder in folders:
        found = [name for name in MEASURED if (folder / f"{name}.json").exists()]
        for name in found:
            if name in measured:
                raise UserError(f"{folder} is the second measurement of {name}; a report shows one")
            measured[name] = read_json(folder / f"{name}.json")
        if found:
            continue
        if (folder / SCAN).exists():
            scans.append(_table(folder))
            continue
        run = Run.open(folder)
        if run.head.get("kind") not in RUN_KINDS:
            raise UserError(f"{folder} is no run, scan or measurement; give a folder that concordant wrote")
        runs.append(run)
    return Sources(runs, scans, measured)


def programme_sources(runs: Path) -> Sources:
    """All that a programme's folder of runs holds, newest first; what is not finished, and what is none of it, is left.

    Runs that were measured stand before those that were not. Of two measurements of one thing the newer is taken.
    """
    folders = sorted((folder for folder in runs.iterdir() if folder.is_dir()), key=_when, reverse=True)
    folders.sort(key=lambda folder: not (folder / "evaluation.json").exists())
    known: list[Path] = []
    seen: set[str] = set()
    for folder in folders:
        names = {name for name in MEASURED if (folder / f"{name}.json").exists()}
        if names:
            known += [] if names & seen else [folder]
            seen |= names
        elif (folder / SCAN).exists():
            known += [folder] if (folder / SCAN_TABLE).exists() else []
        elif (folder / "config.json").exists() and Run(folder).finished:
            known += [folder] if Run(folder).head.get("kind") in RUN_KINDS else []
    return read_sources(known)


def _table(folder: Path) -> Json:
    if not (folder / SCAN_TABLE).exists():
        raise UserError(f"{folder} is a scan with no finished model yet; go on with it by the same 'concordant scan'")
    return read_json(folder / SCAN_TABLE)


def _when(folder: Path) -> float:
    """When it was last finished or measured: seconds since 1970."""
    ends = [folder / name for name in ("result.json", SCAN_TABLE, *(f"{name}.json" for name in MEASURED))]
    return max((end.stat().st_mtime for end in ends if end.exists()), default=0.0)
