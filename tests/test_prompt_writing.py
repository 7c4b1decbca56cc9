"""Prompts by a model: what it is shown, what is refused and why, and that a stopped run goes on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from concordant.comparison import Objective
from concordant.conversation import Conversation, Speaker
from concordant.errors import UserError
from concordant.prompt_writing import WRITING_METRICS, WritingPlan, cleaned, few_shot, good_examples, write_all
from concordant.prompts import Origin, Prompt
from concordant.runs import Run
from concordant.sampler import OnText, Reply

EXAMPLES = ["How do I bake bread at home?", "What is a good book about rivers?", "Can you write a short poem for Ada?"]
PLAN = WritingPlan(count=70, shots=2, seed=1)


def test_the_model_sees_examples_as_its_own_messages() -> None:
    talk = few_shot(EXAMPLES, Objective.HELPFUL, 2, random.Random(0))
    assert [turn.speaker for turn in talk.turns] == [Speaker.HUMAN, Speaker.ASSISTANT] * 2 + [Speaker.HUMAN]
    shown = {turn.text for turn in talk.turns if turn.speaker is Speaker.ASSISTANT}
    assert len(shown) == 2 and shown < set(EXAMPLES)
    assert few_shot(EXAMPLES, Objective.HELPFUL, 2, random.Random(0)) == talk
    assert len(few_shot(EXAMPLES, Objective.HARMLESS, 9, random.Random(0)).turns) == 7


@pytest.mark.parametrize(
    ("text", "finished", "expected"),
    [
        ("How can I mend a bicycle tyre?", True, ("How can I mend a bicycle tyre?", None)),
        ('1. "How can I mend a bicycle tyre?"\n2. More', False, ("How can I mend a bicycle tyre?", None)),
        ("Human: why is the sky blue", True, ("why is the sky blue", None)),
        ("How can I mend a", False, ("How can I mend a", "did not end")),
        ("Why?", True, ("Why?", "too short")),
        ("", True, ("", "too short")),
        ("word " * 81, True, (("word " * 81).strip(), "too long")),
        ("a b c " + "#" * 40, True, ("a b c " + "#" * 40, "not like language")),
        ("so so so so good", True, ("so so so so good", "repeats itself")),
        ("Sure! What is a fjord?", True, ("Sure! What is a fjord?", "speaks as the assistant")),
        ("how do I bake bread at HOME", True, ("how do I bake bread at HOME", "copy of an example")),
    ],
)
def test_what_is_kept_and_what_is_refused(text: str, finished: bool, expected: tuple[str, str | None]) -> None:
    assert cleaned(Reply(text, finished, 1), EXAMPLES, PLAN) == expected


def test_good_examples_are_peoples_first_messages() -> None:
    prompts = [
        Prompt(Conversation().human(text), Objective.HELPFUL) for text in (*EXAMPLES, "Why?", "one\ntwo three four")
    ]
    prompts.append(Prompt(Conversation().human("What does a model ask?"), Objective.HELPFUL, Origin.MODEL))
    prompts.append(Prompt(Conversation().human("Tell me something cruel now"), Objective.HARMLESS))
    prompts.append(Prompt(Conversation().human("a b c").assistant("d").human("e f g h"), Objective.HELPFUL))
    assert set(good_examples(prompts, Objective.HELPFUL, 10, PLAN)) == set(EXAMPLES)
    assert len(good_examples(prompts, Objective.HELPFUL, 2, PLAN)) == 2
    with pytest.raises(UserError, match="1 of 1 harmless first messages can be shown"):
        good_examples(prompts, Objective.HARMLESS, 10, PLAN)


class Stopped(Exception):
    """Somebody pulled the plug."""


@dataclass(frozen=True)
class Writer:
    """Writes a number's worth of words, another for each seed and place; stops at some seed."""

    stop: int | None = None

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        if self.stop == seed:
            raise Stopped
        numbers = [seed * 31 + place * 7 for place in range(len(conversations))]
        return [[Reply(f"What about number {number} and its {number % 13} friends?", True, 9)] for number in numbers]


def test_a_stopped_run_goes_on_and_counts_the_same(tmp_path: Path) -> None:
    examples = {Objective.HELPFUL: EXAMPLES, Objective.HARMLESS: EXAMPLES}
    straight = Run.begin(tmp_path / "straight", "prompts", {}, {})
    kept, dropped = write_all(straight, Writer(), examples, PLAN, lambda *_: None)
    assert all(row.keys() == WRITING_METRICS.keys() for row in straight.metrics())
    assert len(kept) + sum(dropped.values()) == 140 and len(kept) > 10
    assert {prompt.origin for prompt in kept} == {Origin.MODEL}
    assert {prompt.objective for prompt in kept} == set(Objective)
    run = Run.begin(tmp_path / "run", "prompts", {}, {})
    with pytest.raises(Stopped):
        write_all(run, Writer(stop=1_000_064), examples, PLAN, lambda *_: None)
    assert len(run.metrics()) == 64
    told: list[int] = []
    again = write_all(run, Writer(), examples, PLAN, lambda done, total, seen: told.append(done))
    assert told == [64, 128, 140]
    assert again == (kept, dropped)
    assert run.metrics() == straight.metrics()
