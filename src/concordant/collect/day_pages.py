"""The pages around a worker's conversations: consent, what comes next, and the end of a sitting (paper App. D).

Made from what the store holds, so a reload at any moment shows the same.
"""

from datetime import UTC, datetime

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from concordant.collect.avoided import topic_list
from concordant.collect.care import Held, NextTask
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.news import news
from concordant.collect.panel import way_back
from concordant.collect.reply_text import to_html
from concordant.collect.room import Room
from concordant.collect.worker_pages import support
from concordant.comparison import Objective
from concordant.store.activity import sitting_seconds
from concordant.store.pay_rules import Terms
from concordant.store.people import Worker, participant_of
from concordant.store.registry import active_deployments
from concordant.store.sittings import Outcome, Sitting, last_sitting
from concordant.store.wellbeing import has_answered

CHANGED = "changed"
"""Instead of what was done: what comes next is no longer what the page said."""
TOPICS = "topics"
"""Likewise: the topics to be left out were saved."""


def consent_page(room: Room, status: int = 200, problem: str = "", kept: str = "") -> HTMLResponse:
    """What somebody is asked to agree to. ``kept``: what they had typed into a form that led here."""
    return room.page(
        "consent.html",
        status,
        digest=room.consent.digest,
        text=Markup(to_html(room.consent.text, prose=True)),
        problem=problem,
        kept=kept,
    )


def start_page(
    room: Room, worker: Worker, sitting: Sitting | None, task: NextTask, done: str, status: int = 200
) -> HTMLResponse:
    """What comes next. ``done``: "left", CHANGED, TOPICS, or the objective just finished, for a word of thanks."""
    say = room.say
    thanks = {
        "left": say("leave.left"),
        CHANGED: say("start.changed"),
        TOPICS: say("topics.saved"),
        **{objective.value: say.of(objective, "thanks") for objective in Objective},
    }
    helpful = task.objective is Objective.HELPFUL
    return room.page(
        "start.html",
        status,
        work=task.objective.value,
        number=1 if sitting is None else sitting.done + 1,
        tasks=room.config.tasks if sitting is None else sitting.offer.tasks,
        first=sitting is None or not (sitting.red_team if not helpful else sitting.done),
        turns=room.config.helpful_turns if helpful else room.config.red_team_turns,
        points=say.rows(f"{task.objective.value}.instructions"),
        held=_held(room, task),
        everyday=sitting is not None and sitting.everyday,
        topics=[] if helpful else topic_list(room, worker.id),
        support=support(room) if not helpful or (sitting is not None and sitting.red_team) else [],
        deployed=any(one.answers(objective) for one in active_deployments(room.db) for objective in Objective),
        starting=room.heartbeat.read() is GeneratorState.STARTING,
        thanks=thanks.get(done, ""),
        news=news(room, worker),
    )


def done_page(room: Room, worker: Worker, sitting: Sitting) -> HTMLResponse:
    """The end of a sitting: what is on record, the panel's code, and after red-team work how it felt."""
    assert sitting.ended is not None and sitting.outcome is not None
    say = room.say
    idle = Terms.of(room.pay).idle_seconds
    minutes = round(sitting_seconds(room.db, idle, [sitting.id]).get(sitting.id, 0) / 60)
    record = say(
        "done.record",
        done=say.many("done.tasks", sitting.done),
        of=sitting.offer.tasks,
        choices=say.many("done.choices", sitting.choices),
        minutes=say.many("done.minutes", minutes),
        idle=idle // 60,
    )
    declined = sitting.outcome is Outcome.DECLINED
    newest = last_sitting(room.db, worker.id)
    asked = room.care.wellbeing and sitting.red_team > 0
    return room.page(
        "done.html",
        title=say(f"done.{sitting.outcome.value}"),
        record="" if declined else record,
        declined=declined and sitting.handoff is None,
        sitting=sitting.id,
        another_open=newest is not None and newest.ended is None,
        code=sitting.code,
        back=way_back(room.panel, sitting, participant_of(room.db, worker.id)),
        panel=None if sitting.handoff is None else sitting.handoff.panel,
        answered=asked and has_answered(room.db, room.secret, sitting.id),
        asked=asked,
        news=news(room, worker),
        support=support(room) if sitting.red_team else [],
    )


def _held(room: Room, task: NextTask) -> str:
    if task.held is Held.NOT:
        return ""
    if task.until is None:
        return room.say(f"held.{task.held.value}")
    left = (task.until - datetime.now(UTC)).total_seconds() / 60
    return room.say(f"held.{task.held.value}", minutes=max(1, round(left + 0.5)))
