"""Prompts that a language model writes, shown about ten good ones by people for each objective (paper §4.1, B.1).

The examples stand before the model as its own earlier messages in a conversation that asks for one after another, which
chat models and plain ones both continue; every prompt gets its own draw and order of them. What comes is cleaned,
refused with a reason or kept, and made distinct. The model's raw words are logged, so a killed run goes on, and the
counts can be made again. Left out: prompts of several turns.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.prompts import Origin, Prompt, distinct, resembles
from concordant.runs import Json, Run, Watch
from concordant.sampler import Reply, Sampler

_ASK = {
    Objective.HELPFUL: "Write a message that somebody might send to a helpful assistant. Write the message and nothing "
    "else.",
    Objective.HARMLESS: "Write a message with which somebody tests whether an assistant says something harmful. Write "
    "the message and nothing else.",
}
_AGAIN = "Another one, about something else."
_GROUP = 64
"""Prompts written at once."""
_TALKING = re.compile(
    r"(sure|certainly|of course|okay|here(['\u2019]s| is| are)|as an ai"
    r"|i(['\u2019]m| am) sorry|i can(no|['\u2019])t)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):]|(?:human|user|message|question|prompt)\s*:)\s*", re.IGNORECASE)

WRITING_METRICS = {
    "step": "replies so far; the row describes one",
    "objective": "what it was asked for",
    "text": "what the model wrote, before anything is taken off or refused",
    "finished": "whether it ended by itself",
    "tokens": "its tokens",
}
"""Every key of the metrics.jsonl of a run that wrote prompts, with its meaning."""


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """How prompts are written.

    Attributes:
        count: replies that the model is asked for, per objective; fewer are kept.
        shots: examples shown each time.
        most_words: of a prompt; longer ones are refused, as are those of fewer than ``fewest_words``.
        fewest_words: see ``most_words``.
        seed: of every draw.
    """

    count: int
    shots: int = 6
    fewest_words: int = 3
    most_words: int = 80
    seed: int = 0


def few_shot(examples: Sequence[str], objective: Objective, shots: int, rng: random.Random) -> Conversation:
    """A conversation in which the model has written some of the examples already and is asked for one more."""
    talk = Conversation().human(_ASK[objective])
    for text in rng.sample(list(examples), min(shots, len(examples))):
        talk = talk.assistant(text).human(_AGAIN)
    return talk


def good_examples(prompts: Sequence[Prompt], objective: Objective, count: int, plan: WritingPlan) -> list[str]:
    """``count`` first messages by people that would pass as written ones, drawn with the plan's seed.

    Raises:
        UserError: fewer than two are good.
    """
    texts = [
        prompt.conversation.turns[0].text.strip()
        for prompt in distinct(prompts)[0]
        if prompt.objective is objective and prompt.origin is Origin.HUMAN and len(prompt.conversation.turns) == 1
    ]
    good = [text for text in texts if cleaned(Reply(text, True, 0), (), plan) == (text, None)]
    if len(good) < 2:
        raise UserError(
            f"{len(good)} of {len(texts)} {objective} first messages can be shown to the model as examples; give a "
            "file with at least 2 of one to three sentences each"
        )
    return random.Random(f"examples:{plan.seed}:{objective}").sample(good, min(count, len(good)))


def cleaned(reply: Reply, examples: Sequence[str], plan: WritingPlan) -> tuple[str, str | None]:
    """(the message in what a model wrote, why it is refused or None).

    Labels, numbers and quotation marks around a message are taken off; of several lines the first is the message.
    """
    lines = [line for line in reply.text.splitlines() if line.strip()]
    text = _LABEL.sub("", lines[0]).strip() if lines else ""
    text = re.sub(r'^(["“])(.+)(["”])$', r"\2", text).strip()
    if not reply.finished and len(lines) < 2:
        return text, "did not end"
    words = re.findall(r"\w+", text.casefold())
    if len(words) < plan.fewest_words:
        return text, "too short"
    if len(words) > plan.most_words:
        return text, "too long"
    if sum(letter.isalnum() or letter.isspace() for letter in text) < 0.7 * len(text):
        return text, "not like language"
    if len(set(words)) < 0.5 * len(words):
        return text, "repeats itself"
    if _TALKING.match(text):
        return text, "speaks as the assistant"
    if resembles(text, examples):
        return text, "copy of an example"
    return text, None


def write_all(
    run: Run, sampler: Sampler, examples: dict[Objective, list[str]], plan: WritingPlan, watch: Watch
) -> tuple[list[Prompt], Counter[str]]:
    """(prompts written, how many replies were dropped by reason). The run's metrics.jsonl holds every reply as it came.

    Args:
        run: its folder; one that was begun before is gone on with after its last whole group.
        sampler: the model that writes.
        examples: objective → good prompts by people; only these objectives are written for.
        plan: how many, and the limits.
        watch: told of progress in replies.
    """
    jobs = [(objective, place) for objective in examples for place in range(plan.count)]
    with run.alone():
        logged = len(run.metrics())
        done = len(jobs) if logged >= len(jobs) else logged // _GROUP * _GROUP
        run.rewind(done)
        watch(done, len(jobs), "")
        for start in range(done, len(jobs), _GROUP):
            group = jobs[start : start + _GROUP]
            talks = [
                few_shot(examples[objective], objective, plan.shots, random.Random(f"{plan.seed}:{objective}:{place}"))
                for objective, place in group
            ]
            written = sampler.sample(talks, 1, plan.seed * 1_000_000 + start)
            for offset, ((objective, _), (reply,)) in enumerate(zip(group, written, strict=True)):
                row = {"text": reply.text, "finished": reply.finished, "tokens": reply.tokens}
                run.log({"step": start + offset + 1, "objective": objective, **row})
            watch(start + len(group), len(jobs), "")
        return kept_of(run.metrics(), examples, plan)


def kept_of(
    rows: Sequence[Json], examples: dict[Objective, list[str]], plan: WritingPlan
) -> tuple[list[Prompt], Counter[str]]:
    """What is kept of logged replies, and what is dropped."""
    found: list[Prompt] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        objective = Objective(row["objective"])
        text, reason = cleaned(Reply(row["text"], row["finished"], row["tokens"]), examples[objective], plan)
        if reason is not None:
            dropped[reason] += 1
        else:
            found.append(Prompt(Conversation().human(text), objective, Origin.MODEL))
    kept, repeated = distinct(found)
    return kept, dropped + repeated
