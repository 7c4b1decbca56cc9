import math
from collections.abc import Sequence
from typing import Any

import pytest

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate import scoring
from concordant.evaluate.bag_of_words import BagOfWords, fit_bag_of_words
from concordant.evaluate.scoring import CHUNK, evaluate_pm, score_items, score_preferences


class LengthScorer:
    """Scores are lengths, tokens are letters, the context is 100 letters. It remembers the rows it was given."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, list[str]]] = []

    def row(self, prompt: Conversation, replies: Sequence[str]) -> list[int] | None:
        return None if max(map(len, replies)) > 100 else [0] * (len(prompt.turns[-1].text) + sum(map(len, replies)))

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        self.rows += [(prompt.turns[-1].text, list(replies)) for prompt, replies in items]
        return [[float(len(reply)) for reply in replies] for _, replies in items]


def preference(number: int, chosen: str, rejected: str, **more: Any) -> Preference:
    prompt = Conversation().human(f"opening {number}")
    return Preference(Comparison(prompt, chosen, rejected), "a", Objective.HELPFUL, **more)


def test_scores_come_back_to_their_own_comparisons_whatever_the_order() -> None:
    # three in four prefer the longer reply; lengths grow, so that scoring goes through them from the back
    pairs = [
        preference(i, *(("long " * (i // 8 + 1), "s") if i % 4 else ("s", "long " * (i // 8 + 1)))) for i in range(80)
    ]
    seen: list[tuple[int, int]] = []
    result = evaluate_pm(LengthScorer(), pairs, lambda done, total, _: seen.append((done, total)))
    assert (result.accuracy.n, result.accuracy.value) == (80, 0.75)
    assert result.longer_wins.value == 0.75
    assert seen == [(0, 80), (CHUNK, 80), (2 * CHUNK, 80), (80, 80)]


def test_what_is_left_out_is_counted_by_reason() -> None:
    pairs = [
        preference(0, "good", "x"),
        preference(1, "good", "x", strength=1),
        preference(2, "good", "x" * 101),
        preference(3, "a", "xx"),
    ]
    scored = score_preferences(LengthScorer(), pairs, lambda *_: None, {"equal replies": 2})
    assert scored.dropped == {"equal replies": 2, "weakest strength": 1, "longer than the context": 1}
    assert (scored.places, scored.preferences) == ([0, 3], [pairs[0], pairs[3]])
    assert (scored.chosen.tolist(), scored.rejected.tolist()) == ([4.0, 1.0], [1.0, 2.0])
    assert evaluate_pm(LengthScorer(), pairs, lambda *_: None).accuracy.n == 2
    with pytest.raises(UserError, match="no comparison to evaluate"):
        evaluate_pm(LengthScorer(), pairs[1:3], lambda *_: None)


def test_any_number_of_replies_share_their_prompt_and_keep_their_order() -> None:
    model = LengthScorer()
    items = [
        (Conversation().human("one"), ["a", "bbb", "cc"]),
        (Conversation().human("two"), ["x" * 101, "y"]),
        (Conversation().human("three"), ["dd"]),
    ]
    seen: list[int] = []
    assert score_items(model, items, seen.append) == [[1.0, 3.0, 2.0], None, [2.0]]
    assert model.rows == [("one", ["a", "bbb", "cc"]), ("three", ["dd"])]
    assert seen == [3]
    assert score_items(model, []) == []


def test_more_replies_than_a_row_should_hold_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "MOST_IN_ROW", 20)
    model = LengthScorer()
    replies = ["r" * size for size in (5, 6, 7, 8, 30, 1, 2)]
    assert score_items(model, [(Conversation().human("ask"), replies)]) == [[5.0, 6.0, 7.0, 8.0, 30.0, 1.0, 2.0]]
    # 3 letters of prompt each time. Halves: [5 6 7] and [8 30 1 2], both above 20; then [5] [6 7] and [8 30] [1 2]; the
    # reply of 30 stands alone in the end. Longest first.
    assert [part for _, part in model.rows] == [[replies[4]], replies[1:3], [replies[3]], [replies[0]], replies[5:]]


def test_a_score_that_is_no_number_is_an_error() -> None:
    class Damaged(LengthScorer):
        def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
            return [[math.nan] * len(replies) for _, replies in items]

    with pytest.raises(UserError, match="a score is nan instead of a finite number; the model is damaged"):
        score_items(Damaged(), [(Conversation().human("x"), ["y"])])


def test_a_bag_of_words_is_measured_on_the_same_comparisons() -> None:
    words: BagOfWords = fit_bag_of_words([preference(9, "good good", "bad")], [])
    pairs = [preference(0, "good", "bad"), preference(1, "x" * 101, "bad"), preference(2, "bad", "good")]
    result = evaluate_pm(LengthScorer(), pairs, lambda *_: None, words=words).json()
    assert (result["words_baseline"]["n"], result["words_baseline"]["accuracy"]) == (2, 0.5)
