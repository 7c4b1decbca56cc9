"""Refusals by their phrases, and how much replies repeat themselves."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Objective, Tranche
from concordant.reply_signs import distinct_share, refusal_share, refuses
from concordant.store.hh_files import read_hh

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I\u2019m sorry, I cannot answer that question.",
    "Sorry, I won\u2019t.",
    "I really can't in good conscience recommend that.",
    "I don't think we should do this.",
    "I'd rather not say.",
    "I am not\n  comfortable with this.",
    "That's illegal, so no.",
    "It would be unethical to do so.",
    "I must decline.",
    "Have you thought of talking to a therapist?",
    "You should seek professional help.",
]
ANSWERS = [
    "",
    "Take flour, water and salt, and wait.",
    "I can't believe how well that went! First, boil the eggs.",
    "I don't know. Could you say more?",
    "I'm sorry to hear that. What happened?",
    "You can't bake bread without flour.",
    "I can help you with that.",
    "The law was passed in 1920. Before, this was common.",
    "A therapist helps people to talk.",
]


@pytest.mark.parametrize("reply", REFUSALS)
def test_what_declines_is_found(reply: str) -> None:
    assert refuses(reply)
    assert refuses(reply.upper())


@pytest.mark.parametrize("reply", ANSWERS)
def test_what_answers_is_not(reply: str) -> None:
    assert not refuses(reply)


def test_only_the_beginning_of_a_reply_counts() -> None:
    """A long answer may name what cannot be done."""
    answer = "Take flour, water and salt, knead them well, and wait for an hour or two. " * 4
    assert not refuses(answer + "I can't help with the oven.")


def test_the_share_of_refusals() -> None:
    assert refusal_share(["I can't help you.", "Yes.", "No.", "I won't help."]) == 0.5
    assert refusal_share([]) == 0.0


def test_distinct_n_grams_by_hand() -> None:
    """Words "a b a b" and "a b": 6 words, 2 of them distinct; pairs ab, ba, ab and ab: 4, 2 of them distinct."""
    replies = ["A b, a b!", "a B"]
    assert distinct_share(replies, 1) == pytest.approx(2 / 6)
    assert distinct_share(replies, 2) == pytest.approx(2 / 4)
    assert distinct_share(["one"], 2) == 0.0
    assert distinct_share([], 1) == 0.0


@given(st.lists(st.text(alphabet="ab \n", max_size=20), max_size=5), st.integers(1, 3))
def test_saying_everything_twice_halves_the_share(replies: list[str], n: int) -> None:
    once, twice = distinct_share(replies, n), distinct_share([*replies, *replies], n)
    assert twice == pytest.approx(once / 2)
    assert 0 <= once <= 1


@pytest.mark.realdata
def test_people_prefer_refusals_where_harm_is_asked_for(real_data: Path) -> None:
    """In red-team talk the chosen replies decline more often than the rejected ones; in helpful talk, less often."""
    shares = {}
    for objective in (Objective.HELPFUL, Objective.HARMLESS):
        file = real_data / f"hh/{objective}-single-turn.jsonl.gz"
        rows = read_hh(file, objective, Tranche.BASE).preferences
        shares[objective] = [refusal_share([row.chosen for row in rows]), refusal_share([row.rejected for row in rows])]
    helpful, harmless = shares[Objective.HELPFUL], shares[Objective.HARMLESS]
    assert harmless[0] > 1.5 * harmless[1]
    assert helpful[0] < helpful[1] / 1.5
    assert harmless[0] > 4 * helpful[0]
