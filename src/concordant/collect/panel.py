"""Workers who come from a panel: ids in the address, a sitting for each session, a code at the end (paper §2.1).

A panel sends people to ``/panel?…`` with their participant, study and session in parameters. The same session again is
the same sitting, in whatever browser; one that has ended shows its end and its code again, whatever was begun after it.
Left out: signed addresses; whoever knows a participant's ids can come as them,
as on any panel without signatures.
"""

from dataclasses import dataclass
from string import Formatter
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from concordant.collect.room import COOKIE_SECONDS, WORKER_COOKIE, RoomHere
from concordant.programme_config import CollectConfig, PanelConfig
from concordant.store.people import participant
from concordant.store.sittings import Handoff, Offer, Sitting, open_sitting

router = APIRouter()
LONGEST_ID = 200
"""Characters in an id; panels use two dozen."""


@dataclass(frozen=True, slots=True)
class Preset:
    """What a panel calls its parameters, and where people go back to."""

    participant: str = "participant"
    study: str = "study"
    session: str = "session"
    back: str = ""


PRESETS = {
    "prolific": Preset(
        "PROLIFIC_PID", "STUDY_ID", "SESSION_ID", "https://app.prolific.com/submissions/complete?cc={code}"
    )
}
"""By the panel's name in lower case."""


def preset(config: PanelConfig) -> Preset:
    """The parameters and the address of a panel: what is set, else the preset's."""
    known = PRESETS.get(config.name.lower(), Preset())
    return Preset(
        config.participant or known.participant,
        config.study or known.study,
        config.session or known.session,
        config.back or known.back,
    )


def offer(config: CollectConfig, panel: PanelConfig, from_panel: bool) -> Offer:
    """What a new sitting asks for and gives."""
    return Offer(config.tasks, panel.code, panel.part_code) if from_panel else Offer(config.tasks)


def way_back(config: PanelConfig, sitting: Sitting, participant_id: str = "") -> str:
    """The address to go back to, with its values filled in; "" where there is none, or it needs a code not given."""
    address = preset(config).back
    if sitting.handoff is None or not address:
        return ""
    values = {
        "code": sitting.code,
        "participant": participant_id,
        "study": sitting.handoff.study,
        "session": sitting.handoff.session,
    }
    named = {name for _, name, _, _ in Formatter().parse(address) if name is not None}
    if "code" in named and not sitting.code:
        return ""
    return address.format(**{name: quote(value, safe="") for name, value in values.items()})


def _is_id(text: str) -> bool:
    """Whether a panel can have sent this as an id: it goes into files of lines and commas, and back to the panel."""
    plain = text.isprintable() and not any(sign in text for sign in ',;"')
    return bool(text) and len(text) <= LONGEST_ID and plain and not text.startswith("{{")


@router.get("/panel")
def arrive(request: Request, room: RoomHere) -> Response:
    """Where a panel sends people: makes or finds the worker and the sitting, and goes to the worker's page."""
    if not room.panel.name:
        return room.notice(404, room.say("problem.no_panel_title"), room.say("problem.no_panel"))
    names = preset(room.panel)
    ids = {name: request.query_params.get(name, "").strip() for name in (names.participant, names.study, names.session)}
    for name in (names.participant, names.session):
        # A panel that has not filled in its own placeholder sends it as it stands: {{%SESSION_ID%}}.
        if not _is_id(ids[name]):
            text = room.say("problem.half_link", missing=name)
            return room.notice(422, room.say("problem.half_link_title"), text)
    worker, token = participant(room.db, room.panel.name, ids[names.participant])
    handoff = Handoff(room.panel.name, ids[names.study][:LONGEST_ID], ids[names.session])
    sitting = open_sitting(room.db, worker.id, offer(room.config, room.panel, True), handoff)
    answer = RedirectResponse("/work" if sitting.ended is None else f"/work/session/{sitting.id}", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(WORKER_COOKIE, token, COOKIE_SECONDS, httponly=True, samesite="lax", secure=secure)
    return answer
