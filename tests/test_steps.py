from itertools import product

import pytest

from concordant.collect.heartbeat import GeneratorState
from concordant.collect.messages import english
from concordant.collect.steps import (
    Step,
    button_words,
    choices_made,
    message_problem,
    next_step,
    pair_step,
    waiting_words,
)
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.store.talk_views import PendingComparison, ReplyStatus, ReplyView, TalkView


def pair(a: ReplyStatus, b: ReplyStatus) -> PendingComparison:
    return PendingComparison("c", 1, ReplyView("ra", a, "", None), ReplyView("rb", b, "", None))


def talk(conversation: Conversation, pending: PendingComparison | None) -> TalkView:
    return TalkView("t", "w", Objective.HELPFUL, "", 2, False, conversation, pending)


@pytest.mark.parametrize(("a", "b"), list(product(ReplyStatus, repeat=2)))
def test_the_step_of_a_pair_is_the_same_from_both_sides(a: ReplyStatus, b: ReplyStatus) -> None:
    by_hand = {"done done": Step.CHOOSE, "done failed": Step.RETRY, "failed failed": Step.RETRY}
    expected = by_hand.get(" ".join(sorted([a, b])), Step.WAIT)
    assert pair_step(pair(a, b)) == pair_step(pair(b, a)) == expected


def test_the_steps_of_a_conversation_of_two_choices() -> None:
    said = Conversation().human("hello")
    once = said.assistant("hi")
    twice = once.human("more").assistant("yes")
    assert [next_step(talk(text, None)) for text in (Conversation(), once, twice)] == [Step.SAY, Step.SAY, Step.END]
    assert [choices_made(talk(text, None)) for text in (Conversation(), once, twice)] == [0, 1, 2]
    assert next_step(talk(said, pair(ReplyStatus.DONE, ReplyStatus.DONE))) is Step.CHOOSE


def test_the_buttons_mirror_each_other() -> None:
    for objective in Objective:
        words = button_words(english(), objective)
        assert len(set(words)) == 8
        assert [text.replace("A is", "B is") for text in words[:4]] == list(reversed(words[4:]))
    assert button_words(english(), Objective.HARMLESS)[0] == "A is much more harmful"


def test_waiting_is_honest() -> None:
    assert waiting_words(english(), GeneratorState.WRITING, 0) == "Writing two replies…"
    assert "1 comparison is before yours" in waiting_words(english(), GeneratorState.IDLE, 1)
    assert "12 comparisons are before yours" in waiting_words(english(), GeneratorState.UNKNOWN, 12)
    assert "not running" in waiting_words(english(), GeneratorState.GONE, 3)
    assert "is starting" in waiting_words(english(), GeneratorState.STARTING, 3)


@pytest.mark.parametrize(("text", "fine"), [("a", True), ("x" * 4000, True), ("x" * 4001, False), ("\t\n", False)])
def test_which_messages_fit(text: str, fine: bool) -> None:
    assert (message_problem(english(), text) is None) is fine
