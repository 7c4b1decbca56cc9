"""The researcher's page of deployments: what workers meet, how each does, and the switches (paper §2.3).

Every change is noted in the audit log. Left out: endpoints and written replies are added by ``concordant deploy add``,
because addresses and files belong to the machine that writes replies.
"""

import random
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.collect.assignment import expected_shares, redraw
from concordant.collect.fields import Field
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.audit import Act, acts
from concordant.store.deployment_counts import TIMED, DeploymentCounts, counts_of
from concordant.store.kill_switch import stop
from concordant.store.registry import (
    Deployment,
    SnapshotKind,
    State,
    deploy,
    drain,
    retire,
    snapshots,
    standing_deployments,
)

router = APIRouter(prefix="/researcher/deployments")

_ACTS = ("snapshot deployed", "deployment changed", "deployment drained", "deployment stopped", "deployment retired")
_MOST_ACTS = 12
_DONE = {
    "live": "It is live.",
    "weight": "The weight is set.",
    "drain": "Nothing new is asked of it any more.",
    "stop": "It is stopped. What waited for it went to other deployments, or can be asked for again.",
    "retire": "It is retired.",
}


@router.get("")
def deployments(room: RoomHere, staff: ResearcherHere, done: str = "") -> HTMLResponse:
    """What is deployed, with its figures and switches."""
    return _page(room, _DONE.get(done, ""))


@router.post("/add")
def add(
    room: RoomHere, staff: ResearcherHere, snapshot: Field = "", weight: Field = "", objective: Field = ""
) -> Response:
    """Put a snapshot before the workers."""
    try:
        deploy(room.db, snapshot, _weight(weight), _objective(objective), staff.id)
    except UserError as error:
        return _page(room, problem=_sentence(error))
    return _onwards("live")


@router.post("/{deployment}/{act}")
def change(room: RoomHere, staff: ResearcherHere, deployment: str, act: str, weight: Field = "") -> Response:
    """Set the weight of a deployment, make it live again, drain, stop or retire it."""
    try:
        found = next((one for one in standing_deployments(room.db) if one.id == deployment), None)
        if found is None:
            raise UserError("this deployment was changed or retired meanwhile; the list is as it is now")
        _carry_out(room, found, act, weight, staff.id)
    except UserError as error:
        return _page(room, problem=_sentence(error))
    return _onwards(act)


def _carry_out(room: Room, found: Deployment, act: str, weight: str, by: str) -> None:
    if act == "weight":
        if found.state is not State.LIVE:
            raise UserError("nothing is drawn from it now; make it live first")
        deploy(room.db, found.snapshot.id, _weight(weight), found.objective, by)
    elif act == "live":
        deploy(room.db, found.snapshot.id, found.weight, found.objective, by)
    elif act == "drain":
        drain(room.db, found.id, by)
    elif act == "stop":
        stop(room.db, found.id, redraw(random.SystemRandom()), by)
    elif act == "retire":
        retire(room.db, found.id, by)
    else:
        raise UserError(f"{act!r} is nothing that can be done to a deployment")


def _page(room: Room, note: str = "", problem: str = "") -> HTMLResponse:
    found = standing_deployments(room.db)
    counts = counts_of(room.db, found)
    shares = {objective: expected_shares(found, objective, room.config) for objective in Objective}
    return room.page(
        "deployments.html",
        409 if problem else 200,
        here="deployments",
        has_report=False,
        rows=[_row(one, counts[one.id], shares) for one in found],
        snapshots=snapshots(room.db),
        changes=[_change(act) for act in acts(room.db, 200) if act.act in _ACTS][:_MOST_ACTS],
        cross=room.config.cross_model_share,
        timed=TIMED,
        note=note,
        problem=problem,
    )


def _row(one: Deployment, counts: DeploymentCounts, shares: dict[Objective, dict[str, float]]) -> dict[str, Any]:
    """A deployment with its figures. A share is the snapshot's, all its deployments for the work together."""
    own = [
        None if one.state is not State.LIVE or not one.answers(objective) else shares[objective][one.snapshot.id]
        for objective in Objective
    ]
    return {
        "deployment": one,
        "written": one.snapshot.kind is SnapshotKind.WRITTEN,
        "counts": counts,
        "shares": own,
        "where": "all work" if one.objective is None else _WORK[one.objective],
    }


_WORK = {Objective.HELPFUL: "helpful", Objective.HARMLESS: "red team"}


def _change(act: Act) -> dict[str, Any]:
    detail = act.detail
    said = []
    if "weight" in detail:
        before = detail.get("weight_before", detail["weight"])
        said.append(f"weight {before:g} → {detail['weight']:g}" if before != detail["weight"] else f"weight {before:g}")
    if detail.get("state_before", State.LIVE) != State.LIVE:
        said.append(f"was {detail['state_before']}")
    if detail.get("objective"):
        said.append(f"only {_WORK[Objective(detail['objective'])]}")
    if "redrawn" in detail:
        said.append(f"{detail['redrawn']} waiting replies to others, {detail['failed']} failed")
    return {"at": act.at, "act": act.act, "who": act.staff_id, "label": detail.get("snapshot", ""), "said": said}


def _weight(text: str) -> float:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        raise UserError(f"the weight {text[:20]!r} is no number") from None


def _objective(text: str) -> Objective | None:
    if text in ("", *(objective.value for objective in Objective)):
        return Objective(text) if text else None
    raise UserError(f"there is no work called {text[:20]!r}")


def _onwards(done: str) -> RedirectResponse:
    return RedirectResponse(f"/researcher/deployments?done={done}", 303)


def _sentence(error: UserError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
