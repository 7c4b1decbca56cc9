"""Rows that share their prompt: the layout worked out by hand, and every reply as if it stood alone."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concordant.conversation import Conversation
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import PASS_COST, RowBatch, SharedRow, within_budget
from toy_model import ToyModels

ROWS = [SharedRow([11, 12], [[21, 22, 23], [31]]), SharedRow([11, 12, 13, 14], [[21], [31, 32]])]
"""A prompt of two tokens with replies of three and one; a prompt of four with replies of one and two."""


def test_layout() -> None:
    batch = RowBatch.pack(ROWS)
    assert batch.input_ids.tolist() == [[11, 12, 21, 22, 23, 31, 0], [11, 12, 13, 14, 21, 31, 32]]
    assert batch.positions.tolist() == [[0, 1, 2, 3, 4, 2, 0], [0, 1, 2, 3, 4, 4, 5]]
    assert batch.segments.tolist() == [[0, 0, 1, 1, 1, 2, -1], [0, 0, 0, 0, 1, 2, 2]]


def test_who_sees_whom() -> None:
    """Rows are queries, columns keys: own past, the prompt, never another reply; padding sees itself."""
    seen = RowBatch.pack(ROWS).attention[0, 0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]


def test_where_replies_end() -> None:
    rows, columns = RowBatch.pack(ROWS).reply_ends()
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 4), (0, 5), (1, 4), (1, 6)]


def test_what_predicts_each_reply_token() -> None:
    """The first token of every reply is predicted by the prompt's last one, the others by their predecessor."""
    rows, columns, predictors = RowBatch.pack(ROWS).reply_tokens()
    assert list(zip(rows.tolist(), columns.tolist(), predictors.tolist(), strict=True)) == [
        (0, 2, 1),
        (0, 3, 2),
        (0, 4, 3),
        (0, 5, 1),
        (1, 4, 3),
        (1, 5, 3),
        (1, 6, 5),
    ]


def test_a_prompt_alone_has_no_replies() -> None:
    batch = RowBatch.pack([SharedRow([11, 12], [])])
    assert [part.tolist() for part in batch.reply_ends()] == [[], []]


def work(groups: list[list[int]], lengths: list[int]) -> int:
    return sum(PASS_COST + len(group) * max(lengths[index] for index in group) for group in groups)


def test_the_cut_saves_padding_where_it_costs_more_than_a_pass() -> None:
    """One row of 300 and four of 40: together 1,500 padded tokens, apart 300 + 160 and one more pass (96)."""
    rows = [SharedRow([1] * length, []) for length in (40, 40, 300, 40, 40)]
    assert list(within_budget(rows, 4096)) == [[2], [0, 1, 3, 4]]
    # 60 tokens of padding are cheaper than another pass.
    close = [SharedRow([1] * length, []) for length in (100, 100, 40)]
    assert list(within_budget(close, 4096)) == [[0, 1, 2]]
    # On an accelerator a pass costs as much as thousands of tokens.
    assert list(within_budget(rows, 4096, "cuda")) == [[2, 0, 1, 3, 4]]


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=7), budget=st.integers(1, 1000))
def test_no_cut_of_the_sorted_rows_is_less_work(lengths: list[int], budget: int) -> None:
    """Against all 2^(n−1) cuts."""
    rows = [SharedRow([1] * length, []) for length in lengths]
    order = sorted(range(len(rows)), key=lambda index: -lengths[index])
    found = work(list(within_budget(rows, budget)), lengths)
    for cuts in itertools.product([False, True], repeat=len(rows) - 1):
        groups = [[order[0]]]
        for index, cut in zip(order[1:], cuts, strict=True):
            if cut:
                groups.append([])
            groups[-1].append(index)
        if all(len(group) == 1 or len(group) * lengths[group[0]] <= budget for group in groups):
            assert found <= work(groups, lengths)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=0, max_size=30),
    budget=st.integers(1, 200),
)
def test_groups_cover_each_row_once_and_keep_to_the_budget(lengths: list[int], budget: int) -> None:
    rows = [SharedRow([1] * length, []) for length in lengths]
    groups = list(within_budget(rows, budget))
    assert sorted(index for group in groups for index in group) == list(range(len(rows)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[index] for index in group) <= budget


def test_groups_are_full() -> None:
    """Lengths 4, 4, 4, 4 at a budget of 8: two groups of two, and not four of one."""
    rows = [SharedRow([1] * 4, []) for _ in range(4)]
    assert [len(group) for group in within_budget(rows, 8)] == [2, 2]


QUESTIONS = ("short", "a much longer question that is not quite like the other one, and goes on")
REPLIES = ("yes", "no, and here is why: flour, water, salt", "maybe")


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_scores_are_those_of_padded_single_rows(kind: str, toy: ToyModels) -> None:
    """Against a plain forward of transformers' own classifier: right padding, its default mask and positions."""
    model = PreferenceModel.from_language_model(getattr(toy, kind), seed=1)
    prompts = [Conversation().human(question) for question in QUESTIONS]
    found = model.score_many([(prompt, REPLIES) for prompt in prompts])
    rows = [model.row(prompt, [reply]) for prompt in prompts for reply in REPLIES]
    alone = [[*row.prompt, *row.replies[0]] for row in rows if row is not None]
    width = max(map(len, alone))
    pad = model.network.config.pad_token_id
    ids = torch.tensor([[*tokens, *[pad] * (width - len(tokens))] for tokens in alone])
    mask = torch.tensor([[1] * len(tokens) + [0] * (width - len(tokens)) for tokens in alone])
    with torch.no_grad():
        expected = model.network(input_ids=ids, attention_mask=mask).logits[:, 0]
    assert expected.std() > 1e-3  # the replies are told apart at all
    assert [score for scores in found for score in scores] == pytest.approx(expected.tolist(), abs=2e-6)


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
def test_log_probs_are_those_of_each_reply_alone(kind: str, toy: ToyModels) -> None:
    model = LanguageModel.load(getattr(toy, kind))
    rows = [
        SharedRow(model.format.prompt(Conversation().human(question)), [model.format.reply(text) for text in REPLIES])
        for question in QUESTIONS
    ]
    batch = RowBatch.pack(rows)
    at, columns, predictors = batch.reply_tokens()
    with torch.no_grad():
        hidden = model.hidden(batch)[at, predictors]
        found, entropy = model.token_logprobs(hidden, batch.input_ids[at, columns], temperature=0.7)
        expected, uncertainty = [], []
        for row in rows:
            for reply in row.replies:
                logits = model.network(torch.tensor([[*row.prompt, *reply]])).logits[0]
                distribution = torch.log_softmax(logits[len(row.prompt) - 1 : -1] / 0.7, dim=-1)
                expected.append(distribution[torch.arange(len(reply)), torch.tensor(reply)])
                uncertainty.append(-(distribution.exp() * distribution).sum(dim=1))
    assert found.tolist() == pytest.approx(torch.cat(expected).tolist(), abs=1e-5)
    assert entropy.tolist() == pytest.approx(torch.cat(uncertainty).tolist(), abs=1e-5)
