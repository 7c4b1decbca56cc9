"""What an iteration of the online loop says at its end: its report, with the lineage from comparisons to the snapshot.

It reads what the steps recorded, and fits Elo over every helpful comparison between snapshots so far (paper §2.4,
§4.5).
Left out: the steps themselves (``online.py``).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.evaluate.elo import board, games_from_preferences
from concordant.evaluate.report import write_report
from concordant.evaluate.report_sources import Sources
from concordant.evaluate.run_material import gather
from concordant.programme import Programme
from concordant.runs import Run
from concordant.store.database import Database
from concordant.store.preferences import Filter, counts, preferences
from concordant.store.registry import SnapshotKind, snapshots

Json = dict[str, Any]

_KINDS = {"person": "people", "scripted": "scripted workers", "simulated": "simulated workers"}


def report_iteration(programme: Programme, db: Database, number: int, steps: dict[str, Json]) -> Json:
    """Fit Elo over every helpful comparison between snapshots so far, and write the report.

    Args:
        programme: in its folder ``report/`` goes the page.
        db: the programme's store.
        number: of the iteration.
        steps: outputs of its steps by name, all before this one.

    Returns:
        The board, or why there is none, and who made how many choices.
    """
    base = next(one.label for one in snapshots(db) if one.kind is SnapshotKind.MODEL)
    judged = Filter(objective=Objective.HELPFUL, sources="store", keep_weakest=True)
    chosen = [preference for _, preference in preferences(db, judged)]
    weakest = sum(preference.is_weakest and len(set(preference.models or ())) == 2 for preference in chosen)
    games = games_from_preferences(chosen)
    runs = [Run.open(programme.runs / steps[name]["run"]) for name in ("pm", "policy")]
    material = gather(f"Iteration {number}", Sources(runs))
    kinds: dict[str, int] = {}
    for group in counts(db):
        kinds[group["worker_kind"]] = kinds.get(group["worker_kind"], 0) + group["n"]
    material = replace(
        material,
        generated=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
        command=f"concordant iterate --dir {programme.path.name}",
        worker_kinds=kinds,
        stages=[{"name": name, "seconds": step["seconds"], "detail": _detail(step)} for name, step in steps.items()],
        lineage=_lineage(base, steps, material.lineage),
    )
    outputs: Json = {}
    try:
        outputs["board"] = board(games, base, {"weakest strength": weakest}).json()
        material = replace(material, board=outputs["board"])
    except UserError as error:
        outputs["no_board"] = str(error)
        material = replace(material, no_board=str(error))
    write_report(material, programme.path / "report")
    return {**outputs, "worker_kinds": kinds}


def _detail(step: Json) -> str:
    """A step's outcome in a few words."""
    if "choices" in step:
        return f"{step['choices']} choices in {step['conversations']} conversations, by {by_kind(step)}"
    if "accuracy" in step:
        return f"{step['trained_on']} comparisons, {100 * step['accuracy']:.0f} % right on {step['n']} others"
    if step.get("after"):
        return f"score {step['before']['score']:+.2f} → {step['after']['score']:+.2f}, KL {step['after']['kl']:.1f}"
    return str(step.get("dataset") or step.get("snapshot") or "")


def by_kind(step: Json) -> str:
    """Who chose, in a step's outputs: "scripted workers"; with numbers where there are several kinds."""
    kinds = {_KINDS.get(kind, "workers of an unknown kind"): number for kind, number in step["worker_kinds"].items()}
    if len(kinds) < 2:
        return next(iter(kinds), "nobody")
    return ", ".join(f"{number} by {kind}" for kind, number in sorted(kinds.items()))


def _lineage(base: str, steps: dict[str, Json], runs: Sequence[Json]) -> list[Json]:
    """From the comparisons to the snapshot: every id with its parents."""
    frozen = steps["freeze"]
    first = [
        {"id": base, "kind": "base model", "parents": [], "what": "the first snapshot"},
        {
            "id": dataset_id(frozen),
            "kind": "data set",
            "parents": [base],
            "what": f"{frozen['comparisons']} comparisons so far, by {by_kind(frozen)}",
        },
    ]
    new = steps["deploy"]["snapshot"]
    return [*first, *runs, {"id": f"snapshot {new}", "kind": "snapshot", "parents": [new], "what": "deployed"}]


def dataset_id(frozen: Json) -> str:
    """Name and content of the data set that the step ``freeze`` made."""
    return f"{frozen['dataset']}@{frozen['digest'][:12]}"
