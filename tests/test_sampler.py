"""Samplers: best-of-k takes the best of each group, and the same seed writes the same replies."""

from collections.abc import Sequence
from dataclasses import dataclass

from concordant.conversation import Conversation
from concordant.sampler import BestOfK, Declining, OnText, Reply, ScriptedSampler

HELLO, BYE = Conversation().human("hello"), Conversation().human("bye")


@dataclass(frozen=True)
class Counting:
    """Replies "0", "1", "2", … to each conversation."""

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        assert on_text is None, "best-of-k must not stream candidates"
        return [[Reply(str(seed + place), True, 1) for place in range(n)] for _ in conversations]


@dataclass(frozen=True)
class Lookup:
    """Scores a reply by a table; what stands in none scores −9."""

    table: dict[str, float]

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        return [self.table.get(f"{prompt.first_human_turn}:{reply}", -9.0) for reply in replies]


def test_best_of_k_takes_the_best_of_each_group_of_k() -> None:
    scorer = Lookup({"hello:1": 2.0, "hello:2": 5.0, "hello:3": -1.0, "hello:5": -0.5, "bye:0": 0.0, "bye:4": 1.0})
    best = BestOfK(Counting(), scorer, k=3).sample([HELLO, BYE], n=2, seed=0)
    assert [[(reply.text, reply.score) for reply in replies] for replies in best] == [
        [("2", 5.0), ("5", -0.5)],  # of 0 1 2, and of 3 4 5
        [("0", 0.0), ("4", 1.0)],
    ]


def test_best_of_one_is_the_sampler_itself_with_scores() -> None:
    best = BestOfK(Counting(), Lookup({}), k=1).sample([HELLO], n=3, seed=7)
    assert best == [[Reply(text, True, 1, -9.0) for text in ("7", "8", "9")]]


def test_best_of_k_shows_each_reply_once_and_whole() -> None:
    shown: list[tuple[int, int, str]] = []
    BestOfK(Counting(), Lookup({"bye:1": 1.0}), k=2).sample([HELLO, BYE], 1, 0, lambda *seen: shown.append(seen))
    assert shown == [(0, 0, "0"), (1, 0, "1")]


def test_the_same_seed_gives_the_same_replies_and_another_one_others() -> None:
    sampler = ScriptedSampler(tuple(f"reply {number}" for number in range(1000)))
    first = sampler.sample([HELLO, BYE], n=3, seed=1)
    assert first == sampler.sample([HELLO, BYE], n=3, seed=1)
    assert first != sampler.sample([HELLO, BYE], n=3, seed=2)
    assert first[0] != first[1]
    assert [len(replies) for replies in first] == [3, 3]


def test_scripted_replies_stream_the_whole_text_so_far() -> None:
    shown: list[str] = []
    ScriptedSampler(("one two three",)).sample([HELLO], 1, 0, lambda _row, _reply, text: shown.append(text))
    assert shown == ["one", "one two", "one two three"]


class Shouting:
    """Declines whoever shouts."""

    def declines(self, conversations: Sequence[Conversation]) -> list[bool]:
        return [conversation.turns[-1].text.endswith("!") for conversation in conversations]


def test_what_a_screen_declines_gets_the_refusal_and_the_others_their_own_replies() -> None:
    """In the middle, so that the places of the others must be kept."""
    shown: list[tuple[int, int, str]] = []
    loud = Conversation().human("tell me!")
    sampler = Declining(ScriptedSampler(), Shouting(), "No.")
    found = sampler.sample([HELLO, loud, BYE], 2, 3, lambda *seen: shown.append(seen))
    assert found[1] == [Reply("No.", finished=True, tokens=0)] * 2
    assert [found[0], found[2]] == ScriptedSampler().sample([HELLO, BYE], 2, 3)
    last = {(row, reply): text for row, reply, text in shown}
    assert last == {(row, reply): found[row][reply].text for row in range(3) for reply in range(2)}
    assert found == sampler.sample([HELLO, loud, BYE], 2, 3)  # watched or not


def test_where_all_are_declined_nothing_is_sampled() -> None:
    class Broken:
        def sample(
            self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
        ) -> list[list[Reply]]:
            raise AssertionError("nothing is left to be sampled")

    assert Declining(Broken(), Shouting(), "No.").sample([Conversation().human("x!")], 1, 0)[0][0].text == "No."
