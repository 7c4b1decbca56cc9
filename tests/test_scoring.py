from collections.abc import Sequence
from typing import Any

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.evaluate.scoring import CHUNK, evaluate_pm
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import SharedRow


class LengthModel(PreferenceModel):
    """A preference model whose score is the reply's length, and whose context is 100 characters."""

    def row(self, prompt: Conversation, replies: Sequence[str]) -> SharedRow | None:
        return None if max(map(len, replies)) > 100 else SharedRow([0], [[0], [0]])

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[float(len(reply)) for reply in replies] for _, replies in items]


def model() -> PreferenceModel:
    return LengthModel(network=None, format=ChatFormat(tokenizer=None))


def preference(number: int, chosen: str, rejected: str, **more: Any) -> Preference:
    prompt = Conversation().human(f"opening {number}")
    return Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL, **more)


def test_scores_come_back_to_their_own_comparisons_whatever_the_order() -> None:
    # three in four prefer the longer reply; lengths grow, so that scoring goes through them from the back
    pairs = [
        preference(i, *(("long " * (i // 8 + 1), "s") if i % 4 else ("s", "long " * (i // 8 + 1)))) for i in range(80)
    ]
    seen: list[tuple[int, int]] = []
    result = evaluate_pm(model(), pairs, lambda done, total, _: seen.append((done, total)))
    assert (result.accuracy.n, result.accuracy.value) == (80, 0.75)
    assert result.longer_wins.value == 0.75
    assert seen == [(0, 80), (CHUNK, 80), (2 * CHUNK, 80), (80, 80)]


def test_what_is_left_out_is_counted_by_reason() -> None:
    pairs = [
        preference(0, "good", "x"),
        preference(1, "good", "x", strength=1),
        preference(2, "good", "x" * 101),
    ]
    result = evaluate_pm(model(), pairs, lambda *_: None, {"equal replies": 2})
    assert result.accuracy.n == 1
    assert result.dropped == {"equal replies": 2, "weakest strength": 1, "longer than the context": 1}
