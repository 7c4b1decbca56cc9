"""Where models and data sets come from: iterations, runs, frozen data sets and imported files (paper §4.5).

Everything that a run or a data set was made from is a link, so any number walks back to the comparisons behind it.
"""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.sheet import Column, Row, Sheet, desk, desk_page
from concordant.store.datasets import FrozenDataset, datasets
from concordant.store.imports import imported_files
from concordant.store.journal import IterationRecord, StepRecord, iterations
from concordant.store.registry import RunRecord, runs, snapshots

router = APIRouter(prefix="/researcher")
Json = dict[str, Any]


@router.get("/iterations")
def all_iterations(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """The journal: every iteration with its steps; and the runs."""
    made = runs(room.db)
    known = _Known(room, made)
    rows = [_run_row(run) for run in reversed(made)]
    return desk(
        request,
        room,
        "iterations",
        [Sheet("runs", "Runs", _RUNS, rows)],
        iterations=[_iteration(one, known) for one in iterations(room.db)],
        has_report=room.report is not None and (room.report / "index.html").is_file(),
    )


@router.get("/runs/{name}")
def one_run(name: str, request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """A run: its folder, what it came from, what came out, and what was made of it."""
    made = runs(room.db)
    run = next((one for one in made if one.name == name), None)
    if run is None:
        raise HTTPException(404)
    known = _Known(room, made)
    children = [other.name for other in made if name in other.parents.values()]
    return desk_page(
        request,
        room,
        "run",
        here="iterations",
        run=run,
        parents=[(role, one, known.link(one)) for role, one in run.parents.items()],
        result=_flat(run.result),
        children=[(child, known.link(child)) for child in children],
        snapshots=[one for one in snapshots(room.db) if one.run == name],
    )


@router.get("/data")
def all_data(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """Frozen data sets, what learned from them, and imported files."""
    frozen, made = datasets(room.db)[::-1], runs(room.db)
    sets = [_set_row(one, made) for one in frozen]
    files = [
        {
            "file": one.name,
            "objective": one.objective,
            "tranche": one.tranche,
            "rows": one.rows,
            "taken": one.taken,
            "dropped": _reasons(one.dropped),
            "at": one.created,
            "digest": one.digest,
        }
        for one in imported_files(room.db)
    ]
    return desk(
        request,
        room,
        "data",
        [Sheet("sets", "Frozen data sets", _SETS, sets), Sheet("files", "Imported files", _FILES, files)],
    )


class _Known:
    """Names that stand in lineage records, and where they are shown."""

    def __init__(self, room: Room, made: list[RunRecord]) -> None:
        self._links = {run.name: f"/researcher/runs/{quote(run.name, safe='')}" for run in made}
        for one in snapshots(room.db):
            self._links.setdefault(one.label, f"/researcher/models#{one.id}")
        for frozen in datasets(room.db):
            link = f"/researcher/data#{quote(frozen.name, safe='')}"
            self._links |= {frozen.name: link, frozen.digest: link, f"{frozen.name}@{frozen.digest[:12]}": link}

    def link(self, name: object) -> str:
        return self._links.get(name, "") if isinstance(name, str) else ""


def _iteration(one: IterationRecord, known: _Known) -> Json:
    unfinished = [step for step in one.steps if step.finished is None]
    if one.held_by:
        state = f"running: {one.held_by}"
    elif "report" in {step.name for step in one.steps if step.finished is not None}:
        state = "done"
    else:
        state = "stopped; concordant iterate goes on with it"
    return {
        "number": one.number,
        "state": state,
        "began": min(step.started for step in one.steps),
        "steps": [_step(step, known, bool(one.held_by)) for step in one.steps],
        "stopped": bool(unfinished) and not one.held_by,
    }


def _step(step: StepRecord, known: _Known, running: bool) -> Json:
    outputs = step.outputs or {}
    state = "done" if step.finished is not None else "running" if running else "stopped"
    return {
        "name": step.name,
        "state": state,
        "starts": step.starts,
        "started": step.started,
        "took": _took(step.started, step.finished),
        "facts": [
            (name, value, known.link(value)) for name, value in _flat(outputs) if name not in ("seconds", "path")
        ],
    }


def _took(started: datetime, finished: datetime | None) -> str:
    if finished is None:
        return ""
    seconds = round((finished - started).total_seconds())
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


_MOST_FACTS = 40


def _flat(value: Json, before: str = "") -> list[tuple[str, str]]:
    """The leaves of a JSON object as (name, text): ``("before score", "0.41")``. Long lists are counted."""
    found: list[tuple[str, str]] = []
    for key, one in value.items():
        name = f"{before} {key}".strip().replace("_", " ")
        if isinstance(one, dict):
            found += _flat(one, name)
        elif isinstance(one, list) and (len(one) > 4 or any(isinstance(item, (dict, list)) for item in one)):
            found.append((name, f"{len(one)} entries"))
        elif isinstance(one, list):
            found.append((name, ", ".join(_text(item) for item in one)))
        else:
            found.append((name, _text(one)))
    return found[:_MOST_FACTS]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return (
        "–" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    )


_RUNS = (
    Column("run", "Run", link=lambda row: f"/researcher/runs/{quote(row['run'], safe='')}"),
    Column("kind", "Kind"),
    Column("parents", "Made from", "long"),
    Column("at", "Recorded (UTC)", "when"),
    Column("path", ""),
)


def _run_row(run: RunRecord) -> Json:
    parents = "; ".join(f"{role}: {one}" for role, one in run.parents.items())
    return {"run": run.name, "kind": run.kind, "parents": parents, "at": run.created, "path": run.path}


_SETS = (
    Column("name", "Data set"),
    Column("taken", "Comparisons", "n"),
    Column("kinds", "Chosen by"),
    Column("dropped", "Left out", "long"),
    Column("filter", "Asked for"),
    Column("digest", "SHA-256", "id"),
    Column("used", "Learned from it", link=lambda row: _used_link(row)),
    Column("at", "Frozen (UTC)", "when"),
    Column("path", ""),
)
_FILES = (
    Column("file", "File", "long"),
    Column("objective", "Work"),
    Column("tranche", "Tranche"),
    Column("rows", "Rows", "n"),
    Column("taken", "Taken", "n"),
    Column("dropped", "Left out", "long"),
    Column("digest", "SHA-256", "id"),
    Column("at", "Imported (UTC)", "when"),
)


def _used_link(row: Row) -> str:
    return f"/researcher/runs/{quote(row['used'][0], safe='')}" if row["used"] else ""


def _set_row(one: FrozenDataset, made: list[RunRecord]) -> Json:
    ids = {one.name, one.digest, f"{one.name}@{one.digest[:12]}"}
    asked = [f"{key.replace('_', ' ')} {value}" for key, value in one.filter.items() if value not in (None, False)]
    return {
        "anchor": one.name,
        "name": one.name,
        "taken": one.counts["taken"],
        "kinds": ", ".join(f"{number:,} {kind}" for kind, number in one.counts["worker_kinds"].items()),
        "dropped": _reasons(one.counts["dropped"]),
        "filter": ", ".join(asked) or "everything",
        "digest": one.digest,
        "used": tuple(run.name for run in made if ids & set(run.parents.values())),
        "at": one.created,
        "path": str(one.path),
    }


def _reasons(dropped: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason}" for reason, number in sorted(dropped.items()))
