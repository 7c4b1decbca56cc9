"""From scores to advantages, on numbers worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concordant.train.advantages import generalised_advantages, leave_one_out, token_rewards, whiten

REWARDS, VALUES = torch.tensor([[1.0, 0.0, 2.0]]), torch.tensor([[0.5, 1.0, 1.5]])
ALL = torch.ones(1, 3).bool()


def test_token_rewards() -> None:
    """Log-ratios 0.5 and −1 at λ = 0.1: −0.05 and 0.1, and the score of 2 at the last token; then padding."""
    mask = torch.tensor([[True, True, False], [True, False, False]])
    rewards = token_rewards(
        torch.tensor([2.0, -1.0]),
        torch.tensor([[-1.0, -2.0, 8.0], [-1.0, 8.0, 8.0]]),
        torch.tensor([[-1.5, -1.0, 0.0], [-1.0, 0.0, 0.0]]),
        mask,
        kl_coef=0.1,
    )
    assert rewards.flatten().tolist() == pytest.approx([-0.05, 2.1, 0, -1, 0, 0])


@given(
    st.lists(st.lists(st.tuples(st.floats(-5, 0), st.floats(-5, 0)), min_size=1, max_size=6), min_size=1, max_size=5),
    st.floats(0, 2),
)
def test_rewards_sum_to_the_score_less_the_kl(replies: list[list[tuple[float, float]]], kl_coef: float) -> None:
    """r_PM − λ·KL, with KL = Σ log(π/π₀) signed: a clamp at 0 would break this for a reply of negative log-ratio."""
    width = max(map(len, replies))
    padded = torch.tensor([reply + [(7.0, -7.0)] * (width - len(reply)) for reply in replies])
    mask = torch.tensor([[place < len(reply) for place in range(width)] for reply in replies])
    scores = torch.arange(len(replies)).float()
    rewards = token_rewards(scores, padded[..., 0], padded[..., 1], mask, kl_coef)
    for index, reply in enumerate(replies):
        kl = sum(policy - reference for policy, reference in reply)
        assert rewards[index].sum().item() == pytest.approx(index - kl_coef * kl, abs=1e-4)


def test_advantages_of_three_steps() -> None:
    """γ = 1, λ = ½. δ = 1.5, 0.5, 0.5; A₃ = 0.5, A₂ = 0.5 + 0.25 = 0.75, A₁ = 1.5 + 0.375 = 1.875; returns A + V."""
    advantages, returns = generalised_advantages(REWARDS, VALUES, ALL, gamma=1.0, gae_lambda=0.5)
    assert advantages.flatten().tolist() == pytest.approx([1.875, 0.75, 0.5])
    assert returns.flatten().tolist() == pytest.approx([2.375, 1.75, 2.0])


def test_advantages_with_a_discount() -> None:
    """γ = 0.9, λ = ½. δ = 1.4, 0.35, 0.5; A₂ = 0.35 + 0.45·0.5 = 0.575, A₁ = 1.4 + 0.45·0.575 = 1.65875."""
    advantages, _ = generalised_advantages(REWARDS, VALUES, ALL, gamma=0.9, gae_lambda=0.5)
    assert advantages.flatten().tolist() == pytest.approx([1.65875, 0.575, 0.5])


def test_the_two_ends_of_lambda() -> None:
    """λ = 1: all that is still to come, less V. λ = 0: one step, r + V' − V."""
    plain, returns = generalised_advantages(REWARDS, VALUES, ALL, gamma=1.0, gae_lambda=1.0)
    assert plain.flatten().tolist() == pytest.approx([2.5, 1.0, 0.5])
    assert returns.flatten().tolist() == pytest.approx([3.0, 2.0, 2.0])
    one_step, _ = generalised_advantages(REWARDS, VALUES, ALL, gamma=1.0, gae_lambda=0.0)
    assert one_step.flatten().tolist() == pytest.approx([1.5, 0.5, 0.5])


def test_padding_contributes_nothing() -> None:
    """The reply of three steps with padding behind it, and a shorter one beside it."""
    rewards = torch.tensor([[1.0, 0.0, 2.0, 50.0], [1.0, 60.0, 70.0, 80.0]])
    values = torch.tensor([[0.5, 1.0, 1.5, 90.0], [0.25, 60.0, 70.0, 80.0]])
    mask = torch.tensor([[True, True, True, False], [True, False, False, False]])
    advantages, returns = generalised_advantages(rewards, values, mask, gamma=1.0, gae_lambda=0.5)
    assert advantages.tolist() == [pytest.approx([1.875, 0.75, 0.5, 0]), pytest.approx([0.75, 0, 0, 0])]
    assert returns.tolist() == [pytest.approx([2.375, 1.75, 2.0, 0]), pytest.approx([1.0, 0, 0, 0])]


def test_whitening() -> None:
    """1, 3 and 5: mean 3, variance 8/3. What stands in the padding counts for nothing and becomes 0."""
    values = torch.tensor([[1.0, 3.0], [5.0, 900.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert whiten(values, mask).flatten().tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5, 0])


def test_equal_advantages_teach_nothing() -> None:
    assert whiten(torch.full((2, 2), 0.1), torch.ones(2, 2).bool()).abs().max() == 0
    assert whiten(torch.tensor([[4.0, 9.0]]), torch.tensor([[True, False]])).tolist() == [[0, 0]]


def test_leave_one_out() -> None:
    """Rewards 1 + 2 = 3, 0 and 6 of one prompt: the others' means are 3, 4.5 and 1.5. 5, −1 and 2 of another: ½, 3½, 2.

    Every token of a reply has its reply's advantage; what stands in the padding counts for nothing.
    """
    rewards = torch.tensor([[1.0, 2.0], [0.0, 90.0], [2.0, 4.0], [5.0, 70.0], [-1.0, 0.0], [2.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False], [True, True], [True, False], [True, True], [True, True]])
    found = leave_one_out(rewards, mask, 3)
    assert found.tolist() == [[0, 0], [-4.5, 0], [4.5, 4.5], [4.5, 0], [-4.5, -4.5], [0, 0]]
    assert leave_one_out(rewards, mask, 2).tolist() == [[3, 3], [-3, 0], [1, 1], [-1, 0], [-3, -3], [3, 3]]


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=4), st.floats(-10, 10))
def test_leave_one_out_looks_at_differences_within_a_prompt_alone(prompts: list[list[float]], shift: float) -> None:
    """The advantages of a prompt's replies sum to 0, and a prompt on which all score higher teaches nothing by it."""
    rewards = torch.tensor(prompts, dtype=torch.float64).view(-1, 1)
    mask = torch.ones_like(rewards, dtype=torch.bool)
    found = leave_one_out(rewards, mask, 3)
    assert found.view(-1, 3).sum(dim=1).abs().max() < 1e-9
    rewards[:3] += shift
    torch.testing.assert_close(leave_one_out(rewards, mask, 3), found, atol=1e-9, rtol=0)
