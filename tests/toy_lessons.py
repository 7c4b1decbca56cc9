"""What toy models can learn in seconds: comparisons that follow a rule, and a rule in the place of a PM."""

import random
from collections.abc import Sequence

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow

_WORDS = ["how", "do", "I", "bake", "bread", "with", "flour", "and", "water", "and", "salt"]


def preference(question: str, chosen: str, rejected: str, strength: int | None = None) -> Preference:
    """A preference of one turn, the chosen reply on side a."""
    prompt = Conversation().human(question)
    return Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL, strength=strength)


def good_over_bad(count: int, seed: int = 0) -> list[Preference]:
    """Replies of random words, of which the one with the word "good" is preferred to the one with "bad"."""
    rng = random.Random(seed)

    def words(number: int, special: str | None = None) -> str:
        chosen = rng.choices(_WORDS, k=number)
        if special is not None:
            chosen.insert(rng.randrange(number + 1), special)
        return " ".join(chosen)

    return [preference(words(5), words(4, "good"), words(4, "bad")) for _ in range(count)]


class LetterModel(PreferenceModel):
    """A PM that is a rule: 0.2 for each small letter of a reply. It remembers what it was asked."""

    def __init__(self, value: float = 0.2) -> None:
        super().__init__(network=None, format=ChatFormat(tokenizer=None))
        asked: list[list[tuple[Conversation, list[str]]]] = []
        object.__setattr__(self, "asked", asked)
        object.__setattr__(self, "value", value)

    asked: list[list[tuple[Conversation, list[str]]]]
    value: float

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        return True

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        return SharedRow([0], [[0] * len(reply) for reply in replies])

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        self.asked.append([(prompt, list(replies)) for prompt, replies in items])
        return [
            [self.value * sum("a" <= letter <= "z" for letter in reply) for reply in replies] for _, replies in items
        ]
