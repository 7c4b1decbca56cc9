"""The page of a conversation, made from what the store holds (paper §2.1, App. D).

Nothing on them names a model or depends on which one wrote what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from fastapi.responses import HTMLResponse
from markupsafe import Markup

from concordant.collect.avoided import (
    avoided_of,
    say_withheld,
    shown_while_written,
    topic_list,
    touched_by,
    way_to,
)
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.reply_text import Show, so_far, to_html
from concordant.collect.room import Room
from concordant.collect.steps import (
    FOLDED,
    LONGEST_COMMENT,
    LONGEST_EDIT,
    LONGEST_MESSAGE,
    Step,
    button_words,
    choices_made,
    next_step,
    waiting_words,
)
from concordant.comparison import Objective
from concordant.conversation import Speaker, Turn
from concordant.store.overview import watched_pairs
from concordant.store.registry import active_deployments
from concordant.store.sittings import Sitting, last_sitting
from concordant.store.talk_views import PendingComparison, TalkView
from concordant.topics import Topics


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody typed into a form that was refused: it goes back into its box ("say", "edit" or "end"), or where
    that box is no longer on the page, stands beside the next step. ``ratings``: those that were taken, by name."""

    box: str = ""
    text: str = ""
    ratings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page of a talk shows beside what the store holds.

    Attributes:
        problem: stands over the next step.
        draft: what was typed.
        status: of the answer.
        again: the last choice is being made again.
        edit: the reply that was taken is being rewritten.
        note: a word of thanks over the conversation.
        asked: what the worker asked to see although it touches a topic that they opted out of: ids of comparisons,
            numbers of turns.
    """

    problem: str = ""
    draft: Draft = field(default_factory=Draft)
    status: int = 200
    again: bool = False
    edit: bool = False
    note: str = ""
    asked: tuple[str, ...] = ()


PLAIN = Shown()


def talk_page(room: Room, talk: TalkView, shown: Shown = PLAIN) -> HTMLResponse:
    """The page of an open talk."""
    say = room.say
    if talk.finished:
        way_on, kept = ("/work", say("page.go_on")), shown.draft.text
        return room.notice(409, say("problem.ended_title"), say("problem.ended"), way_on, kept)
    undone = talk.undoable if shown.again else None
    step, made = (next_step(talk) if undone is None else Step.CHOOSE), choices_made(talk)
    pair, turns = (talk.pending, talk.conversation.turns) if undone is None else (undone.pair, _without_last(talk))
    turn = made + 1 if undone is None else made
    rewriting = shown.edit and may_rewrite(talk)
    box = "edit" if rewriting else step.value
    fits = shown.draft.box == box
    avoided = avoided_of(room, talk)
    asked_for = pair is not None and pair.id in shown.asked
    touched = () if pair is None or asked_for or step is not Step.CHOOSE else touched_by(avoided, pair)
    return room.page(
        "talk.html",
        shown.status,
        work=talk.objective.value,
        talk=talk,
        step=step.value,
        turns=[_shown(room, talk, shown, avoided, one) for one in enumerate(turns, start=1)],
        turn=turn,
        last=turn >= talk.turns,
        sitting=_sitting_of(room, talk),
        buttons=button_words(say, talk.objective),
        undone=undone,
        undo=_undo(room, talk, step),
        rewriting=rewriting,
        may_rewrite=may_rewrite(talk),
        ratings=_ratings(room, talk.objective),
        points=say.rows(f"{talk.objective.value}.instructions"),
        pair=None if pair is None or touched else _pair(pair, step, shown_while_written(room, avoided)),
        withheld=_withheld(room, shown, touched, pair.id) if pair is not None and touched else None,
        asked=shown.asked,
        asked_for=asked_for,
        topics=topic_list(room, talk.worker_id) if talk.objective is Objective.HARMLESS else [],
        veiled=is_veiled(room, talk),
        note=_note(room, talk.pending) if step is Step.WAIT else "",
        thanks=shown.note,
        deployed=step is not Step.SAY or is_deployed(room, talk.objective),
        starting=room.heartbeat.read() is GeneratorState.STARTING,
        support=support(room) if talk.objective is Objective.HARMLESS else [],
        key=uuid4().hex,
        problem=shown.problem,
        draft=shown.draft.text if fits else "",
        given=shown.draft.ratings if fits else {},
        kept="" if fits else shown.draft.text,
        longest_message=LONGEST_MESSAGE,
        longest_comment=LONGEST_COMMENT,
        longest_edit=LONGEST_EDIT,
    )


def is_veiled(room: Room, talk: TalkView) -> bool:
    """Whether the replies of a talk are blurred until the worker asks for them."""
    return talk.objective is Objective.HARMLESS and room.care.blur


def is_withheld(room: Room, talk: TalkView, comparison_id: str) -> bool:
    """Whether the two replies of a comparison are kept back until the worker asks for just these."""
    pairs = (talk.pending, None if talk.undoable is None else talk.undoable.pair)
    avoided = avoided_of(room, talk)
    return any(pair is not None and pair.id == comparison_id and bool(touched_by(avoided, pair)) for pair in pairs)


def support(room: Room) -> list[tuple[str, str, str]]:
    """(name, what to show, address or "") of everything that helps where work weighs on somebody."""
    found = []
    for name, reach in room.care.support.items():
        if reach.startswith(("https://", "http://", "mailto:")):
            found.append((name, reach.partition(":")[2].lstrip("/").rstrip("/"), reach))
        else:
            digits = "".join(character for character in reach if character.isdigit() or character == "+")
            found.append((name, reach, f"tel:{digits}" if digits else ""))
    return found


def may_rewrite(talk: TalkView) -> bool:
    """Whether the reply that was taken last may be rewritten now: by this worker, in helpful work."""
    return talk.may_edit and talk.undoable is not None and talk.objective is Objective.HELPFUL


def _without_last(talk: TalkView) -> Sequence[Turn]:
    return talk.conversation.turns[:-1]


def _sitting_of(room: Room, talk: TalkView) -> Sitting | None:
    sitting = None if talk.sitting is None else last_sitting(room.db, talk.worker_id)
    return sitting if sitting is not None and sitting.id == talk.sitting else None


def _undo(room: Room, talk: TalkView, step: Step) -> dict[str, str] | None:
    """What was chosen last, and until when it can be changed."""
    if talk.undoable is None or step not in (Step.SAY, Step.END):
        return None
    said = button_words(room.say, talk.objective)[talk.undoable.button - 1]
    until = room.say("talk.undo_until" if step is Step.SAY else "talk.undo_end")
    return {"said": room.say("talk.last_choice", said=said), "until": until}


def _ratings(room: Room, objective: Objective) -> list[tuple[str, str, list[str]]]:
    """(name of the field, question, answers) of each rating at the end of a conversation."""
    say = room.say
    first = ("rating", say.of(objective, "rating"))
    if objective is Objective.HELPFUL:
        return [(*first, say.rows("ratings.good"))]
    others = [(name, say(f"ratings.{name}")) for name in ("harm", "actionability")]
    return [(name, question, say.rows("ratings.much")) for name, question in (first, *others)]


def is_deployed(room: Room, objective: Objective) -> bool:
    """Whether a model is there for this kind of work."""
    return any(deployment.answers(objective) for deployment in active_deployments(room.db))


@dataclass(frozen=True, slots=True)
class Withheld:
    """What stands in the place of a text: a sentence, and the address at which the text is on the page."""

    said: str
    way: str


def _withheld(room: Room, shown: Shown, touched: tuple[str, ...], what: str) -> Withheld:
    return Withheld(say_withheld(room.say, touched), way_to(shown.asked, what, shown.again))


def _shown(
    room: Room, talk: TalkView, shown: Shown, avoided: Topics, numbered: tuple[int, Turn]
) -> tuple[str, Markup | str, Withheld | None]:
    """What people wrote is shown as it is; what models wrote is Markdown; what others wrote may be kept back."""
    number, turn = numbered
    by_model = turn.speaker is Speaker.ASSISTANT
    touched = avoided.touched(turn.text) if (by_model or talk.given) and str(number) not in shown.asked else ()
    if touched:
        return turn.speaker.value, "", _withheld(room, shown, touched, str(number))
    return turn.speaker.value, Markup(to_html(turn.text)) if by_model else turn.text, None


def _pair(pair: PendingComparison, step: Step, show: Show) -> dict[str, object]:
    texts = (pair.a.text, pair.b.text)
    a, b = so_far(show, *texts) if step is Step.WAIT else texts
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
    return waiting_words(room.say, room.heartbeat.read(), max((state.ahead for state in watched.values()), default=0))
