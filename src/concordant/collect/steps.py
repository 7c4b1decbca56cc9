"""What a worker's page asks for next (paper §2.1, App. D); the words for it are in ``messages.py``.

At any moment a page has one step, so that nobody wonders what to do.
"""

from enum import StrEnum

from concordant.collect.heartbeat import GeneratorState
from concordant.collect.messages import Messages
from concordant.comparison import Objective
from concordant.conversation import Speaker
from concordant.store.talk_views import PendingComparison, ReplyStatus, TalkView

LONGEST_MESSAGE = 4000
"""Characters in one message."""
LONGEST_COMMENT = 2000
"""Characters in the comment at the end."""
LONGEST_EDIT = 8000
"""Characters in a rewritten reply."""
FOLDED = 1800
"""Both replies of a pair are folded alike where one has more characters than this."""

RATINGS = range(1, 6)
"""What the ratings at the end of a conversation go from and to."""


class Step(StrEnum):
    """The one next action."""

    SAY = "say"
    WAIT = "wait"
    RETRY = "retry"
    CHOOSE = "choose"
    END = "end"


def choices_made(talk: TalkView) -> int:
    """How many choices the talk has: each adds one reply to its conversation."""
    return sum(turn.speaker is Speaker.ASSISTANT for turn in talk.conversation.turns)


def next_step(talk: TalkView) -> Step:
    """What the worker does next."""
    if talk.pending is None:
        return Step.END if choices_made(talk) >= talk.turns else Step.SAY
    return pair_step(talk.pending)


def pair_step(pair: PendingComparison) -> Step:
    """WAIT while one of the two is being written, then RETRY if one failed, else CHOOSE."""
    states = {pair.a.status, pair.b.status}
    if states & {ReplyStatus.QUEUED, ReplyStatus.WRITING}:
        return Step.WAIT
    return Step.RETRY if ReplyStatus.FAILED in states else Step.CHOOSE


def button_words(say: Messages, objective: Objective) -> list[str]:
    """What the eight buttons say, 1 to 8."""
    return say.rows(f"buttons.{objective.value}")


def waiting_words(say: Messages, generator: GeneratorState, ahead: int) -> str:
    """What a worker is told while two replies are written.

    Args:
        say: the words.
        generator: what the generator last said.
        ahead: how many comparisons are written before this one.
    """
    if generator is GeneratorState.GONE:
        return say("wait.gone")
    if generator is GeneratorState.STARTING:
        return say("wait.starting")
    return say.many("wait.ahead", ahead) if ahead else say("wait.writing")


def message_problem(say: Messages, text: str) -> str | None:
    """Why a message cannot be sent, in kind words, or None."""
    if not text.strip():
        return say("problem.empty")
    if len(text) > LONGEST_MESSAGE:
        return say("problem.long", n=f"{len(text):,}", most=f"{LONGEST_MESSAGE:,}")
    return None
