"""What a worker would rather not meet in red-team work, as their pages use it.

A reply that touches such a topic is on no page and in no stream before the worker asks for it. Of a pair both stay away
together, so that it says nothing of who wrote what. Where somebody opted out of anything, replies of red-team work are
shown only when both are complete, whatever ``collect.show`` says: before that nobody knows what they will touch. Left
out: a stream that was open in another window at the moment of opting out goes on as it began.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from concordant.collect.messages import Messages
from concordant.collect.reply_text import Show
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.opt_outs import opted_out
from concordant.store.talk_views import PendingComparison, TalkView
from concordant.topics import Topics


@dataclass(frozen=True, slots=True)
class TopicChoice:
    """A line of the form. ``name``: as the settings have it; ``said``: as the page says it."""

    name: str
    said: str
    ticked: bool


def avoided_in(room: Room, worker_id: str, objective: Objective) -> Topics:
    """The topics that are kept from a worker in this kind of work; none in helpful work."""
    topics = room.care.all_topics
    if objective is Objective.HELPFUL or not topics.names:
        return Topics()
    return topics.only(opted_out(room.db, worker_id))


def avoided_of(room: Room, talk: TalkView) -> Topics:
    """The same, for a talk."""
    return avoided_in(room, talk.worker_id, talk.objective)


def touched_by(avoided: Topics, pair: PendingComparison) -> tuple[str, ...]:
    """The avoided topics that either reply of a pair touches."""
    return avoided.touched(pair.a.text, pair.b.text)


def shown_while_written(room: Room, avoided: Topics) -> Show:
    """How much of two replies is shown while they are written."""
    return "together" if avoided.names else room.config.show


def topic_list(room: Room, worker_id: str) -> list[TopicChoice]:
    """What the form offers."""
    names = room.care.all_topics.names
    ticked = opted_out(room.db, worker_id) if names else frozenset()
    return [TopicChoice(name, _said(room.say, name), name in ticked) for name in names]


def say_withheld(say: Messages, touched: tuple[str, ...]) -> str:
    """The sentence that stands in the place of what touches these topics."""
    return say("topics.withheld", topics=", ".join(_said(say, name) for name in touched))


def way_to(shown: tuple[str, ...], what: str, again: bool) -> str:
    """Address of the page with ``what`` on it too, beside what the worker asked for before."""
    asked = [("again", "1")] if again else []
    return "/work?" + urlencode([*asked, *(("show", one) for one in dict.fromkeys((*shown, what)))]) + "#now"


def _said(say: Messages, name: str) -> str:
    """The built-in topics have words in the language file; a programme names its own in its own language."""
    slug = name.replace("-", "_").replace(" ", "_")
    return say(f"topics.names.{slug}") if f"topics.names.{slug}" in say.keys else name
