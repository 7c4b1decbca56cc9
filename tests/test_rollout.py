"""A batch of replies as tensors, and one forward pass for all replies to a prompt."""

import pytest
import torch
from torch import nn

from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.train.rollout import Rollout, forward, forward_all, minibatches
from toy_model import ToyModels

PROMPTS = [[11, 12, 13], [14], [15, 16]]
SAMPLED = [
    [SampledReply([21, 22, 3], [-1.0, -2.0, -3.0], True), SampledReply([23], [-4.0], False)],
    [SampledReply([24, 25], [-5.0, -6.0], False), SampledReply([26, 27, 28, 29], [-7.0, -8.0, -9.0, -10.0], False)],
    [SampledReply([31], [-11.0], False), SampledReply([3], [-12.0], True)],
]


@pytest.fixture
def rollout() -> Rollout:
    return Rollout.of(PROMPTS, SAMPLED)


@pytest.fixture(scope="module")
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat)


def value_head() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(32, 1)


def test_replies_as_tensors(rollout: Rollout) -> None:
    assert [(row.prompt, row.replies) for row in rollout.rows] == [
        ([11, 12, 13], [[21, 22, 3], [23]]),
        ([14], [[24, 25], [26, 27, 28, 29]]),
        ([15, 16], [[31], [3]]),
    ]
    assert rollout.finished.tolist() == [True, False, False, False, False, True]
    assert rollout.lengths.tolist() == [3, 1, 2, 4, 1, 1]
    assert rollout.loss_mask.int().sum(dim=1).tolist() == [3, 1, 2, 4, 1, 1]
    assert rollout.sampled_logprobs[:3].tolist() == [[-1, -2, -3, 0], [-4, 0, 0, 0], [-5, -6, 0, 0]]


def test_places_of_a_rows_replies(rollout: Rollout) -> None:
    assert rollout.reply_places([0, 1, 2]) == [0, 1, 2, 3, 4, 5]
    assert rollout.reply_places([2, 0]) == [4, 5, 0, 1]


def test_a_pass_is_that_of_each_reply_alone(model: LanguageModel, rollout: Rollout) -> None:
    """Log-probs, entropies and values, the last read where the token is predicted; 0 in the padding."""
    head = value_head()
    with torch.no_grad():
        found = forward(model, head, rollout, [1, 0], temperature=0.5)
        for place, (prompt, reply) in enumerate(
            [(PROMPTS[1], [24, 25]), (PROMPTS[1], [26, 27, 28, 29]), (PROMPTS[0], [21, 22, 3]), (PROMPTS[0], [23])]
        ):
            output = model.network(torch.tensor([[*prompt, *reply]]), output_hidden_states=True)
            predict = slice(len(prompt) - 1, -1)
            distribution = torch.log_softmax(output.logits[0, predict] / 0.5, dim=-1)
            size, padding = len(reply), [0.0] * (4 - len(reply))
            logprobs = distribution[torch.arange(size), torch.tensor(reply)].tolist()
            entropy = (-distribution.exp() * distribution).sum(dim=1).tolist()
            values = head(output.hidden_states[-1][0, predict])[:, 0].tolist()
            assert found.logprobs[place].tolist() == pytest.approx([*logprobs, *padding], abs=1e-5)
            assert found.entropy[place].tolist() == pytest.approx([*entropy, *padding], abs=1e-5)
            assert found.values[place].tolist() == pytest.approx([*values, *padding], abs=1e-5)


@pytest.mark.parametrize("row_tokens", [1, 7, 12, 4096])
def test_a_pass_in_parts_is_that_in_one_piece(model: LanguageModel, rollout: Rollout, row_tokens: int) -> None:
    head = value_head()
    with torch.no_grad():
        expected = forward(model, head, rollout, [0, 1, 2], temperature=1.0)
    found = forward_all(model, head, rollout, 1.0, row_tokens)
    assert not found.values.requires_grad
    for one, other in ((found.logprobs, expected.logprobs), (found.values, expected.values)):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.entropy, expected.entropy, atol=1e-5, rtol=1e-5)
    assert forward_all(model, None, rollout, 1.0, row_tokens).values.abs().max() == 0


def test_minibatches_take_each_row_once(rollout: Rollout) -> None:
    def parts(count: int, seed: int) -> list[list[int]]:
        return list(minibatches(rollout, count, torch.Generator().manual_seed(seed)))

    assert sorted(row for part in parts(2, 0) for row in part) == [0, 1, 2]
    assert sorted(map(len, parts(2, 0))) == [1, 2]
    assert len(parts(9, 0)) == 3  # no more parts than rows
    assert parts(3, 0) == parts(3, 0)
    assert len({str(parts(3, seed)) for seed in range(20)}) > 3
