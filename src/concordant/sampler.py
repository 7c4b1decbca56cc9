"""Where replies come from: the Sampler protocol, best-of-k and a filter around any sampler, a scripted one for tests.

``collect`` and ``evaluate`` know models only through this file, so a page can be served, and a test can run,
without a network. The real sampler is ``models/generation.py``.
"""

import math
import random
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from concordant.conversation import Conversation

OnText = Callable[[int, int, str], None]
"""Called as ``on_text(conversation index, reply index, the whole text so far)`` while a reply is being written."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One sampled reply.

    Attributes:
        text: what was written, without the end-of-turn token.
        finished: True if the model ended its turn by itself, False if it ran into the length limit.
        tokens: how many tokens were sampled, the end-of-turn token included; None: an endpoint did not say.
        score: the preference model's score, where one was asked.
        prompt_tokens: how many tokens the prompt has, where the sampler knows.
    """

    text: str
    finished: bool
    tokens: int | None
    score: float | None = None
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """How long a reply may be, in tokens, and the temperature that it is drawn at."""

    max_tokens: int
    temperature: float = 1.0


@runtime_checkable
class Sampler(Protocol):
    """Writes replies. The same conversations, n and seed give the same replies."""

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        """n replies to each conversation, in the order given. Each conversation must end on a human turn."""
        ...


@runtime_checkable
class Adjustable(Sampler, Protocol):
    """A sampler whose limits can be set for one request. It shares its model with the one that it was made from."""

    def with_limits(self, limits: ReplyLimits) -> Sampler:
        """The same sampler with other limits."""
        ...


def with_limits(sampler: Sampler, limits: ReplyLimits) -> Sampler:
    """The sampler with other limits; one that knows no limits stays as it is."""
    return sampler.with_limits(limits) if isinstance(sampler, Adjustable) else sampler


@runtime_checkable
class Scorer(Protocol):
    """Scores replies: a preference model."""

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        """One score a reply; a higher score is better. Only differences between scores have a meaning."""
        ...


@runtime_checkable
class BatchScorer(Scorer, Protocol):
    """A scorer that says what it has room for, and takes many prompts at once: what training a policy needs."""

    @property
    def max_tokens(self) -> int:
        """Its context, in its own tokens."""
        ...

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        """Whether a reply of so many tokens to the prompt can be scored, whatever it says."""
        ...

    def row(self, prompt: Conversation, replies: Sequence[str]) -> Sized | None:
        """The tokens of the prompt and of all replies, for their number; None where the replies cannot be scored."""
        ...

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        """The scores of the replies to each prompt."""
        ...


def best_of_kl(k: int) -> float:
    """KL(best of k ‖ one reply) = log k − (k−1)/k, nats a reply (Stiennon et al. 2020, arXiv 2009.01325, App. G.3).

    Exact where no two replies have one score, and an upper bound where some do (Beirami et al. 2024, arXiv 2401.01879).
    The paper (§4.3) takes log k, which is up to one nat more.

    Raises:
        ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"the best of {k} replies does not exist")
    return math.log(k) - (k - 1) / k


@runtime_checkable
class Screen(Protocol):
    """Looks at prompts before they are answered: a filter of strange requests."""

    def declines(self, conversations: Sequence[Conversation]) -> list[bool]:
        """Whether each conversation is not to be answered."""
        ...


@dataclass(frozen=True, slots=True)
class BestOfK:
    """Rejection sampling (paper §2.3, §4.3): the best of k replies by a scorer's score.

    Its divergence from ``sampler`` is at most ``best_of_kl(k)``. It cannot stream: no reply is known to be the best
    before all are complete, so ``on_text`` is called once, at the end.
    """

    sampler: Sampler
    scorer: Scorer
    k: int

    def with_limits(self, limits: ReplyLimits) -> "BestOfK":
        return replace(self, sampler=with_limits(self.sampler, limits))

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        candidates = self.sampler.sample(conversations, n * self.k, seed)
        best: list[list[Reply]] = []
        for index, (conversation, replies) in enumerate(zip(conversations, candidates, strict=True)):
            scores = self.scorer.score(conversation, [reply.text for reply in replies])
            scored = [replace(reply, score=score) for reply, score in zip(replies, scores, strict=True)]
            groups = [scored[start : start + self.k] for start in range(0, n * self.k, self.k)]
            best.append([max(group, key=lambda reply: reply.score or 0.0) for group in groups])
            if on_text is not None:
                for reply_index, reply in enumerate(best[-1]):
                    on_text(index, reply_index, reply.text)
        return best


@dataclass(frozen=True, slots=True)
class Declining:
    """A sampler behind a filter (paper §5.4): what the screen declines gets one fixed reply, of no sampled tokens.

    The other replies are the sampler's own for the prompts that are left.
    """

    sampler: Sampler
    screen: Screen
    refusal: str

    def with_limits(self, limits: ReplyLimits) -> "Declining":
        return replace(self, sampler=with_limits(self.sampler, limits))

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        declined = self.screen.declines(conversations)
        kept = [index for index, strange in enumerate(declined) if not strange]

        def told(index: int, reply: int, text: str) -> None:
            if on_text is not None:
                on_text(kept[index], reply, text)

        refused = Reply(self.refusal, finished=True, tokens=0)
        result = [[refused] * n for _ in conversations]
        if on_text is not None:
            for index, strange in enumerate(declined):
                for reply in range(n) if strange else ():
                    on_text(index, reply, self.refusal)
        if kept:
            written = self.sampler.sample([conversations[index] for index in kept], n, seed, told if on_text else None)
            for index, replies in zip(kept, written, strict=True):
                result[index] = replies
        return result


@dataclass(frozen=True, slots=True)
class ScriptedSampler:
    """Replies drawn from a fixed list, written word by word: for tests and for trying the pages without a model."""

    replies: tuple[str, ...] = (
        "That is a good question. Here is a short answer.",
        "I am not sure that I can help with that, but I will try.",
        "First take the larger part. Then add the smaller one and stir.",
        "Yes.",
    )

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        result: list[list[Reply]] = []
        for index, conversation in enumerate(conversations):
            rng = random.Random(f"{seed}:{index}:{conversation.split_key}:{len(conversation.turns)}")
            texts = [rng.choice(self.replies) for _ in range(n)]
            for reply_index, text in enumerate(texts):
                words = text.split(" ")
                for end in range(1, len(words) + 1):
                    if on_text is not None:
                        on_text(index, reply_index, " ".join(words[:end]))
            result.append([Reply(text, finished=True, tokens=len(text.split())) for text in texts])
        return result
