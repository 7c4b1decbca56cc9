"""Texts as rows: what counts, where they are cut, and how two kinds are mixed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.chat_format import ChatFormat
from concordant.models.text_rows import TextRow, digest_of, draw_mixture, text_rows
from toy_model import TEMPLATE, toy_tokenizer

CHAT, PLAIN = ChatFormat(toy_tokenizer(TEMPLATE)), ChatFormat(toy_tokenizer(None))
WORDS = "take flour and water and salt and wait until it has risen"


def decoded(format: ChatFormat, tokens: list[int]) -> str:
    return str(format.tokenizer.decode(tokens))


@pytest.mark.parametrize(
    ("format", "header", "text"),
    [(CHAT, "<|im_start|>user\n", WORDS), (PLAIN, "\n\nHuman:", f" {WORDS}")],
    ids=["template", "none"],
)
def test_plain_text_is_a_human_message_without_an_end(format: ChatFormat, header: str, text: str) -> None:
    (row,), dropped = text_rows([Conversation().human(WORDS)], format, 256)
    assert decoded(format, row.tokens[: row.first]) == header
    assert decoded(format, row.tokens[row.first :]) == text
    assert row.counted == len(row.tokens) - row.first and not row.is_dialogue and not dropped


@pytest.mark.parametrize(
    ("format", "counted"),
    [
        (CHAT, "why?<|im_end|>\n<|im_start|>assistant\nbecause it is so<|im_end|>"),
        (PLAIN, " why?\n\nAssistant: because it is so<|endoftext|>"),
    ],
    ids=["template", "none"],
)
def test_of_a_dialogue_all_counts_but_the_header(format: ChatFormat, counted: str) -> None:
    (row,), _ = text_rows([Conversation().human("why?").assistant("because it is so")], format, 256)
    assert decoded(format, row.tokens[row.first :]) == counted and row.is_dialogue
    assert row.document == Conversation().human("Why").split_key


def test_long_text_is_cut_into_pieces_and_loses_nothing_but_a_short_end() -> None:
    talk = Conversation().human(WORDS * 3)
    tokens, header = CHAT.human_text(WORDS * 3), len(CHAT.human_header)
    rows, dropped = text_rows([talk], CHAT, header + 30)
    pieces = [row.tokens[row.first :] for row in rows]
    rest = len(tokens) % 30
    assert all(len(piece) == 30 for piece in pieces[:-1]) and rest != 0
    assert [token for piece in pieces for token in piece] == (tokens if rest >= 16 else tokens[:-rest])
    assert dropped == ({} if rest >= 16 else {"piece of a text with fewer than 16 tokens": 1})
    assert {row.document for row in rows} == {talk.split_key}
    short, counted = text_rows([Conversation().human("so it is")], CHAT, 64)
    assert short == [] and counted == {"piece of a text with fewer than 16 tokens": 1}


def test_a_dialogue_is_cut_at_its_end() -> None:
    talk = Conversation().human("why?").assistant(WORDS)
    question = len(CHAT.prompt(Conversation().human("why?")))
    (whole,), _ = text_rows([talk], CHAT, 256)
    (cut,), _ = text_rows([talk], CHAT, question + 16)
    assert cut.tokens == whole.tokens[: question + 16] and cut.first == whole.first
    assert text_rows([talk], CHAT, question + 15) == (
        [],
        Counter({"dialogue whose question leaves no room for an answer": 1}),
    )


def test_no_room_behind_the_header() -> None:
    with pytest.raises(UserError, match="text_tokens is 20, of which the header of a message takes"):
        text_rows([Conversation().human(WORDS)], CHAT, 20)


def rows(texts: int, dialogues: int) -> list[TextRow]:
    kinds = [False] * texts + [True] * dialogues
    return [TextRow([1, 2 + number], 1, str(number), kind) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("share", "limit", "expected"),
    [
        (0.5, None, (4, 4)),
        (0.5, 6, (3, 3)),
        (0.25, None, (10, 3)),
        (0.0, None, (10, 0)),
        (1.0, 3, (0, 3)),
        (0.5, 1, (1, 0)),
    ],
)
def test_mixtures(share: float, limit: int | None, expected: tuple[int, int]) -> None:
    """Ten texts and four dialogues. At a quarter, ten texts go with 3.3 dialogues: 13 rows, 3 of them dialogues."""
    drawn = draw_mixture(rows(10, 4), share, limit, seed=0)
    assert (sum(not row.is_dialogue for row in drawn), sum(row.is_dialogue for row in drawn)) == expected
    assert len({row.document for row in drawn}) == len(drawn)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 0.95), st.integers(0, 3))
def test_a_mixture_has_its_share_and_cannot_be_larger(texts: int, dialogues: int, share: float, seed: int) -> None:
    drawn = draw_mixture(rows(texts, dialogues), share, None, seed)
    chosen = sum(row.is_dialogue for row in drawn)
    assert abs(chosen - share * len(drawn)) <= 1
    larger = len(drawn) + 2
    assert share * larger > dialogues or (1 - share) * larger > texts


def test_the_seed_decides_and_the_two_kinds_are_shuffled() -> None:
    pool = rows(20, 20)
    first = draw_mixture(pool, 0.5, None, seed=0)
    assert first == draw_mixture(pool, 0.5, None, seed=0) != draw_mixture(pool, 0.5, None, seed=1)
    assert 0 < sum(row.is_dialogue for row in first[:20]) < 20
    assert digest_of(first) == digest_of(list(first)) != digest_of(first[::-1])
    assert digest_of([TextRow([1, 2], 1, "", True)]) != digest_of([TextRow([1, 2], 2, "", True)])


def test_a_kind_that_is_wanted_must_be_there() -> None:
    with pytest.raises(
        UserError, match=r"share is 0.5, and there is no dialogue .* give --dialogues, or set dialogue_share=0"
    ):
        draw_mixture(rows(3, 0), 0.5, None, 0)
    with pytest.raises(UserError, match=r"no plain text .* give --text, or set dialogue_share=1"):
        draw_mixture(rows(0, 3), 0.5, None, 0)
