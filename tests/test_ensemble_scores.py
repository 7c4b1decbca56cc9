"""Ensembles on items and on comparisons: every member scores all of it once, and what one cannot score is left out."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from concordant.conversation import Conversation
from concordant.evaluate.ensemble_scores import Judged, evaluate_ensemble, judge_items
from concordant.evaluate.scoring import TOO_LONG, evaluate_pm
from concordant.models.ensemble import Combine, Ensemble
from concordant.sampler import BatchScorer
from toy_lessons import good_over_bad, preference

ASK = Conversation().human("?")


class Rule:
    """A scorer that is a rule on the reply's text, with room for so many characters. It counts what it scores."""

    def __init__(self, rule: Callable[[str], float], room: int = 100) -> None:
        self.rule, self.max_tokens, self.scored = rule, room, 0

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        return reply_tokens <= self.max_tokens

    def row(self, prompt: Conversation, replies: Sequence[str]) -> str | None:
        return "".join(replies) if max(map(len, replies)) <= self.max_tokens else None

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        self.scored += sum(len(replies) for _, replies in items)
        return [[self.rule(reply) for reply in replies] for _, replies in items]

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        return self.score_many([(prompt, replies)])[0]


def team(combine: Combine, *members: BatchScorer) -> Ensemble:
    return Ensemble(members, combine, (1.0,) * len(members))


def test_scores_and_spread_in_one_pass() -> None:
    """Lengths and twice the lengths, 1 off each: of 3 letters 2 and 5, mean 3.5, spread 1.5."""
    one, other = Rule(lambda reply: float(len(reply))), Rule(lambda reply: 2.0 * len(reply), room=5)
    items = [(ASK, ["aaa", "a"]), (ASK, ["a" * 6]), (ASK, ["aa"])]
    told: list[int] = []
    assert judge_items(team("mean", one, other), items, told.append) == [
        Judged([3.5, 0.5], [1.5, 0.5]),
        None,
        Judged([2.0], [1.0]),
    ]
    assert (one.scored, other.scored) == (4, 3) and told[-1] == 3 and told == sorted(told)
    assert judge_items(team("minimum", one, other), items[2:]) == [Judged([1.0], [1.0])]


def test_an_ensemble_on_comparisons() -> None:
    """The same numbers as a scorer's that is the mean, and right where its members agree."""
    length, wish = Rule(lambda reply: 0.1 * len(reply)), Rule(lambda reply: float("good" in reply), room=60)
    exam = [*good_over_bad(30), preference("?", "long" * 20, "short")]
    told: list[tuple[int, int]] = []
    ensemble = team("mean", length, wish)
    found = evaluate_ensemble(ensemble, exam, lambda done, total, _: told.append((done, total)), {"torn": 2})
    plain = evaluate_pm(ensemble, exam, lambda *_: None, {"torn": 2})
    assert {key: value for key, value in found.json().items() if key != "by_spread"} == {
        key: value for key, value in plain.json().items() if key != "by_spread"
    }
    assert plain.by_spread is None and found.dropped == {"torn": 2, TOO_LONG: 1}
    assert told[0] == (0, 62) and told[-1] == (62, 62)
    assert found.by_spread is not None
    gaps = np.array([[member.rule(p.chosen) - member.rule(p.rejected) for p in exam[:30]] for member in (length, wish)])
    assert found.by_spread.mean == pytest.approx(gaps.std(axis=0).mean())
    assert sum(third.accuracy.n for third in found.by_spread.thirds) == 30
