"""A preference model whose score is the reply's length in characters, for numbers that can be worked out by hand."""

from collections.abc import Sequence

from concordant.conversation import Conversation
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow


class Lengths(PreferenceModel):
    """It has no room for the reply "too long"."""

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        return None if "too long" in replies else SharedRow([0], [[0] for _ in replies])

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[float(len(reply)) for reply in replies] for _, replies in items]


LENGTHS = Lengths(network=None, format=ChatFormat(tokenizer=None))
