"""The routes around a worker's conversations: agreeing, everyday work only, topics left out, stopping (App. D).

Each can be taken at any time and needs no reason. Like all forms they answer with a redirect after their transaction is
committed. Left out: the conversation itself (``worker_routes.py``).
"""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException
from fastapi.responses import RedirectResponse, Response

from concordant.collect.day_pages import TOPICS, consent_page, done_page
from concordant.collect.fields import Field, Said
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.panel import offer
from concordant.collect.room import GuestHere, Room, RoomHere, WorkerHere
from concordant.collect.steps import Step, next_step
from concordant.collect.worker_pages import is_deployed
from concordant.collect.worker_routes import begin, may_begin
from concordant.comparison import Objective
from concordant.store import talk_views, talks
from concordant.store.consents import agree, has_agreed
from concordant.store.opt_outs import opt_out
from concordant.store.sittings import (
    Outcome,
    Sitting,
    end_sitting,
    last_sitting,
    open_sitting,
    prefer_everyday,
    sitting_of,
)
from concordant.store.talk_views import TalkView
from concordant.store.talks import Ending
from concordant.store.wellbeing import ANSWERS, feel

router = APIRouter()


@router.post("/work/agree")
def take_part(room: RoomHere, worker: GuestHere, digest: Field = "", agreed: Field = "") -> Response:
    """Agree to the text that was shown, which must be the text as it stands."""
    if digest != room.consent.digest:
        return consent_page(room, 409, room.say("consent.changed"))
    if not agreed:
        return consent_page(room, 422, room.say("consent.unticked"))
    agree(room.db, worker.id, room.consent)
    return RedirectResponse("/work", 303)


@router.post("/work/decline")
def decline(room: RoomHere, worker: GuestHere) -> Response:
    """Not take part, or not in what the text has become: what was done before that counts, and so does its pay.

    Who comes back by their own link to a text that has changed has nothing open that could end, so their no is a
    sitting of its own, as that of somebody who never began.
    """
    if has_agreed(room.db, worker.id, room.consent):
        return RedirectResponse("/work", 303)
    sitting, talk = last_sitting(room.db, worker.id), talk_views.current_talk(room.db, worker.id)
    if talk is not None and talk.sitting is None:  # of a store from before there were sittings
        talks.end_talk(room.db, talk.id, Ending())
    if sitting is None or (sitting.ended is not None and sitting.handoff is None and not _said_no(sitting)):
        sitting = open_sitting(room.db, worker.id, offer(room.config, room.panel, False))
    began = talk is not None or sitting.done or sitting.left or sitting.choices
    sitting = end_sitting(room.db, sitting.id, Outcome.LEFT if began else Outcome.DECLINED)
    return RedirectResponse("/work" if _said_no(sitting) else f"/work/session/{sitting.id}", 303)


def _said_no(sitting: Sitting) -> bool:
    return sitting.outcome is Outcome.DECLINED


@router.post("/work/everyday")
def everyday(room: RoomHere, worker: WorkerHere, allow: Field = "") -> Response:
    """No red-team work in the rest of this sitting, at once; with ``allow``, some again."""
    talk = talk_views.current_talk(room.db, worker.id)
    if talk is None and not may_begin(room, worker):
        return RedirectResponse("/work", 303)
    sitting = None if talk is None else talk.sitting  # never another one, should this one have ended meanwhile
    sitting = sitting or open_sitting(room.db, worker.id, offer(room.config, room.panel, False)).id
    prefer_everyday(room.db, sitting, not allow)
    if allow or talk is None or talk.objective is Objective.HELPFUL:
        return RedirectResponse("/work", 303)
    talks.end_talk(room.db, talk.id, Ending())
    if may_begin(room, worker):  # it may have been the last task, with all its choices
        begin(room, worker, Objective.HELPFUL)
    return RedirectResponse("/work?done=switched", 303)


@router.post("/work/topics")
def leave_out(room: RoomHere, worker: WorkerHere, topic: Annotated[list[Said], Form(default_factory=list)]) -> Response:
    """In red-team work, none of these topics from now on; what is not ticked is fine (again)."""
    opt_out(room.db, worker.id, room.care.all_topics.only(topic).names)
    return RedirectResponse(f"/work?done={TOPICS}", 303)


@router.post("/work/stop")
def stop(room: RoomHere, worker: GuestHere) -> Response:
    """Leave at once: the open conversation and the sitting end, with what was done on record.

    It needs no agreement, so that a consent text that was changed meanwhile keeps nobody.
    """
    talk = talk_views.current_talk(room.db, worker.id)
    sitting = last_sitting(room.db, worker.id)
    if talk is not None and talk.sitting is None:
        talks.end_talk(room.db, talk.id, Ending())
    if sitting is None:
        sitting = open_sitting(room.db, worker.id, offer(room.config, room.panel, False))
    stuck = is_stuck(room, talk) if talk is not None else not any(is_deployed(room, one) for one in Objective)
    end_sitting(room.db, sitting.id, Outcome.BROKEN if stuck else Outcome.LEFT)
    if talk is None or has_agreed(room.db, worker.id, room.consent):
        return RedirectResponse("/work", 303)
    return RedirectResponse(f"/work/session/{sitting.id}", 303)  # /work would ask about the text


@router.post("/work/again")
def again(room: RoomHere, worker: WorkerHere) -> Response:
    """Another sitting, for who came by their own link; a panel begins its sittings itself."""
    sitting = last_sitting(room.db, worker.id)
    if sitting is None or sitting.handoff is None:
        open_sitting(room.db, worker.id, offer(room.config, room.panel, False))
    return RedirectResponse("/work", 303)


@router.get("/work/session/{sitting_id}")
def ended_session(sitting_id: str, room: RoomHere, worker: GuestHere) -> Response:
    """The end of one session, whatever was begun after it: a panel's code stays where it was."""
    sitting = sitting_of(room.db, sitting_id, worker.id)
    if sitting is None:
        raise HTTPException(404)
    return RedirectResponse("/work", 303) if sitting.ended is None else done_page(room, worker, sitting)


@router.post("/work/feel")
def say_how_it_felt(room: RoomHere, worker: WorkerHere, answer: Field = "", sitting_id: Field = "") -> Response:
    """How somebody feels after a sitting with red-team work. No answer is an answer too."""
    sitting = sitting_of(room.db, sitting_id, worker.id) if sitting_id else last_sitting(room.db, worker.id)
    known = answer in {str(number) for number in ANSWERS}
    if known and room.care.wellbeing and sitting is not None and sitting.red_team and sitting.ended is not None:
        feel(room.db, room.secret, sitting, int(answer), datetime.now(UTC).date())
    return RedirectResponse(f"/work/session/{sitting.id}" if sitting is not None else "/work", 303)


def is_stuck(room: Room, talk: TalkView) -> bool:
    """Whether something of ours keeps the worker from going on: a failed reply, no model, no generator."""
    step = next_step(talk)
    if step is Step.RETRY:
        return True
    if step is Step.WAIT:
        return room.heartbeat.read() is GeneratorState.GONE
    return step is Step.SAY and not is_deployed(room, talk.objective)
