"""The worker's two pages, made from what the store holds: before a conversation, and in one (paper §2.1, App. D).

Nothing on them names a model or depends on which one wrote what.
"""

from uuid import uuid4

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from concordant.collect.heartbeat import GeneratorState
from concordant.collect.reply_text import in_step, to_html
from concordant.collect.room import Room
from concordant.collect.steps import (
    FOLDED,
    LONGEST_COMMENT,
    LONGEST_MESSAGE,
    RATING_WORDS,
    WORDS,
    Step,
    button_words,
    choices_made,
    next_step,
    waiting_words,
)
from concordant.comparison import Objective
from concordant.conversation import Speaker, Turn
from concordant.store.overview import ended_talks, watched_pairs
from concordant.store.people import Worker
from concordant.store.registry import active_deployments
from concordant.store.talks import PendingComparison, TalkView


def start_page(room: Room, worker: Worker, done: str) -> HTMLResponse:
    """The page of a worker without a conversation. ``done``: "left", or the objective just finished, for thanks."""
    thanks = {
        "left": "You have left the conversation. That is fine; what you chose before is saved.",
        **{objective.value: WORDS[objective].thanks for objective in Objective},
    }
    return room.page(
        "start.html",
        task=ended_talks(room.db, worker.id) + 1,
        turns=room.config.helpful_turns,
        deployed=bool(active_deployments(room.db)),
        starting=room.heartbeat.read() is GeneratorState.STARTING,
        red_team=room.config.red_team_share > 0,
        thanks=thanks.get(done, ""),
    )


def talk_page(
    room: Room, worker: Worker, talk: TalkView, status: int = 200, problem: str = "", draft: str = ""
) -> HTMLResponse:
    """The page of an open talk. ``problem`` stands over the next step; ``draft`` keeps what was typed."""
    if talk.finished:
        return room.notice(409, "This conversation has ended", "It was ended in another window.", ("/work", "Go on"))
    step, made = next_step(talk), choices_made(talk)
    return room.page(
        "talk.html",
        status,
        work=talk.objective.value,
        talk=talk,
        step=step.value,
        turns=[_shown(turn) for turn in talk.conversation.turns],
        turn=made + 1,
        last=made + 1 >= talk.turns,
        task=ended_talks(room.db, worker.id) + 1,
        words=WORDS[talk.objective],
        buttons=button_words(talk.objective),
        ratings=RATING_WORDS,
        pair=None if talk.pending is None else _pair(talk.pending, step),
        note=_note(room, talk.pending) if step is Step.WAIT else "",
        deployed=step is not Step.SAY or _is_deployed(room, talk.objective),
        starting=room.heartbeat.read() is GeneratorState.STARTING,
        key=uuid4().hex,
        problem=problem,
        draft=draft,
        longest_message=LONGEST_MESSAGE,
        longest_comment=LONGEST_COMMENT,
    )


def _is_deployed(room: Room, objective: Objective) -> bool:
    return any(deployment.objective in (None, objective) for deployment in active_deployments(room.db))


def _shown(turn: Turn) -> tuple[str, Markup | str]:
    """What people wrote is shown as it is; what models wrote is Markdown."""
    return turn.speaker.value, Markup(to_html(turn.text)) if turn.speaker is Speaker.ASSISTANT else turn.text


def _pair(pair: PendingComparison, step: Step) -> dict[str, object]:
    texts = (pair.a.text, pair.b.text)
    a, b = in_step(*texts) if step is Step.WAIT else texts
    return {
        "id": pair.id,
        "a_text": a,
        "b_text": b,
        "a_html": Markup(to_html(a)),
        "b_html": Markup(to_html(b)),
        "long": max(len(a), len(b)) > FOLDED,
    }


def _note(room: Room, pair: PendingComparison | None) -> str:
    watched = {} if pair is None else watched_pairs(room.db, [pair.id])
    return waiting_words(room.heartbeat.read(), max((state.ahead for state in watched.values()), default=0))
