"""Replies without a model, a word at a time: for trying the pages, and for their tests. Pages say so in a banner.

Left out: sense. The replies are fixed texts of different length, quality and form.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from concordant.conversation import Conversation
from concordant.sampler import OnText, Reply, Sampler, ScriptedSampler

BANNER = "Trial run: the replies on these pages are fixed texts, no model writes them."

REPLIES = (
    "That depends on what you have at home. Start with the simplest version, see how it goes, and change one thing at "
    "a time. Most people give up because they change everything at once.",
    "Sure! Here is a short plan:\n\n1. Collect what you need and put it on the table.\n2. Do the slow part first, "
    "while you are still fresh.\n3. Stop when it is *good enough*.\n\nDo you want more detail on one of these steps?",
    "I'm sorry, but I am not able to help with that.",
    "It takes about twenty minutes. The usual mistake is to hurry the first step, so give it time and the rest will "
    "follow.",
    "Yes.",
    "There are three things to know. First, the order matters. Second, the order matters. Third, the order matters. "
    "And the order matters most of all when",
    'Try this:\n\n```python\ndef greet(name):\n    return f"Hello, {name}!"\n```\n\nCall it with your own name, and '
    "change the text until you like it.",
    "**Short answer:** it is possible, and not expensive.\n\n| way | cost | time |\n|---|---|---|\n| by hand | nothing "
    "| an evening |\n| with help | a little | an hour |\n\nI would begin by hand.",
)
_PIECES = re.compile(r"\s*\S+")


@dataclass(frozen=True, slots=True)
class PacedSampler:
    """Another sampler's replies, shown word by word, all of a batch at once.

    Attributes:
        sampler: who writes.
        seconds: between two words; 0 for tests.
    """

    sampler: Sampler
    seconds: float

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        written = self.sampler.sample(conversations, n, seed)
        if on_text is None:
            return written
        ends = {
            (index, number): [match.end() for match in _PIECES.finditer(reply.text)]
            for index, replies in enumerate(written)
            for number, reply in enumerate(replies)
        }
        for step in range(max((len(stops) for stops in ends.values()), default=0)):
            time.sleep(self.seconds)
            for (index, number), stops in ends.items():
                if step < len(stops):
                    on_text(index, number, written[index][number].text[: stops[step]])
        return written


def scripted_replies(seconds: float) -> PacedSampler:
    """The sampler of a trial run, a word every so many seconds."""
    return PacedSampler(ScriptedSampler(REPLIES), seconds)
