"""The losses, on numbers worked out by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concordant.train.losses import divergence, language_loss, policy_loss, preference_loss, value_loss

LOG = math.log
NUMBERS = st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5), st.booleans()), min_size=1, max_size=12)


def test_preference_loss() -> None:
    """Equal scores: ln 2. Gaps of 2 and −2: ln(1 + e^−2) and ln(1 + e^2). Gaps of any size stay finite."""
    chosen = torch.tensor([1.0, 3.0, 1.0, 2000.0, -2000.0])
    rejected = torch.tensor([1.0, 1.0, 3.0, -2000.0, 2000.0])
    found = preference_loss(chosen, rejected).tolist()
    assert found == pytest.approx([0.693147, 0.126928, 2.126928, 0.0, 4000.0], abs=1e-6)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_preference_loss_is_minus_log_of_the_bradley_terry_probability(chosen: float, rejected: float) -> None:
    one, other = torch.tensor([chosen]), torch.tensor([rejected])
    assert torch.exp(-preference_loss(one, other)) + torch.exp(-preference_loss(other, one)) == pytest.approx(1)
    assert preference_loss(one, other).item() - preference_loss(other, one).item() == pytest.approx(
        rejected - chosen, abs=1e-4
    )


def test_language_loss_is_a_sum() -> None:
    """−(ln ½ + ln ¼ + ln 1) = 3 ln 2, and of no tokens 0."""
    assert language_loss(torch.tensor([LOG(0.5), LOG(0.25), 0.0])).item() == pytest.approx(3 * LOG(2))
    assert language_loss(torch.empty(0)).item() == 0


def test_policy_loss_clips_only_what_would_pay_too_much() -> None:
    """Ratios 1.5, 0.5, 1.5, 0.5 with advantages 1, −1, −1, 1 at ε = 0.2: gains 1.2, −0.8, −1.5, 0.5.

    The first two are clipped and have no gradient; the others have −ρ·A. The fifth token is padding.
    """
    logprobs = torch.tensor([[LOG(1.5), LOG(0.5)], [LOG(1.5), LOG(0.5)], [7.0, 0.0]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [9.0, 0.0]])
    mask = torch.tensor([[True, True], [True, True], [False, True]])
    loss = policy_loss(logprobs, torch.zeros(3, 2), advantages, mask, clip=0.2)
    assert loss.total.item() == pytest.approx(-1.2 + 0.8 + 1.5 - 0.5)
    assert loss.clipped.item() == 4
    assert loss.largest_ratio.item() == pytest.approx(1.5)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    assert logprobs.grad.flatten().tolist() == pytest.approx([0, 0, 1.5, -0.5, 0, 0])


def test_the_largest_ratio_is_that_of_a_token() -> None:
    """Padding, whose ratio is 1 by convention, is larger than the only token's 0.5."""
    loss = policy_loss(
        torch.tensor([[LOG(0.5), 0.0]]), torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([[True, False]]), 0.2
    )
    assert loss.largest_ratio.item() == pytest.approx(0.5)


def test_padding_may_hold_anything() -> None:
    """Even numbers whose exponential overflows leave loss and gradient as they are."""
    logprobs = torch.tensor([[0.0, 1e4]], requires_grad=True)
    mask = torch.tensor([[True, False]])
    loss = policy_loss(logprobs, torch.zeros(1, 2), torch.ones(1, 2), mask, 0.2).total
    loss = loss + value_loss(logprobs, torch.tensor([[2.0, -1e30]]), mask)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(-1.0 + 2.0)
    assert logprobs.grad is not None and logprobs.grad.tolist() == [[-1.0 - 2.0, 0.0]]


def test_at_the_first_step_the_loss_is_minus_the_advantage() -> None:
    """The ratio is exactly 1, nothing is clipped, and the gradient is that of plain policy gradient."""
    logprobs = torch.tensor([[-1.7, -0.3]], requires_grad=True)
    loss = policy_loss(logprobs, logprobs.detach(), torch.tensor([[2.0, -3.0]]), torch.ones(1, 2).bool(), 0.2)
    loss.total.backward()  # type: ignore[no-untyped-call]
    assert (loss.total.item(), loss.clipped.item(), loss.largest_ratio.item()) == (1.0, 0.0, 1.0)
    assert logprobs.grad is not None and logprobs.grad.tolist() == [[-2.0, 3.0]]


def test_value_loss() -> None:
    """½·(1² + 3²) over the two tokens that count."""
    found = value_loss(
        torch.tensor([[1.0, 5.0, 0.0]]), torch.tensor([[2.0, 2.0, 9.0]]), torch.tensor([[True, True, False]])
    )
    assert found.item() == 5.0


@given(numbers=NUMBERS, cut=st.integers(0, 12))
def test_sums_are_the_same_for_any_split(numbers: list[tuple[float, float, bool]], cut: int) -> None:
    logprobs, old, counts = (torch.tensor(column)[:, None] for column in zip(*numbers, strict=True))
    old = logprobs - 0.1 * old
    advantages = old.flip(0)

    def total(part: slice) -> float:
        if not len(logprobs[part]):
            return 0.0
        rows = (logprobs[part], old[part], advantages[part], counts[part])
        return policy_loss(*rows, 0.2).total.item() + value_loss(rows[0], rows[1], rows[3]).item()

    assert total(slice(0, cut)) + total(slice(cut, None)) == pytest.approx(total(slice(None)), abs=1e-4)


def test_divergence_by_hand() -> None:
    """Log-ratios ln 2 and −ln 4: k1 = −ln 2. k3 = (½ − 1 + ln 2) + (4 − 1 − ln 4) = 2.5 − ln 2. The rest is padding."""
    logprobs = torch.tensor([[LOG(0.5), LOG(0.1), 5.0]])
    reference = torch.tensor([[LOG(0.25), LOG(0.4), 0.0]])
    found = divergence(logprobs, reference, torch.tensor([[True, True, False]]))
    assert found.k1.item() == pytest.approx(-LOG(2))
    assert found.k3.item() == pytest.approx(2.5 - LOG(2))


def test_both_estimates_are_unbiased() -> None:
    """Expected over a distribution on three tokens, both are its KL: 0.5·ln 2.5 + 0.3·ln 1 + 0.2·ln 0.4."""
    policy, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    found = divergence(policy.log()[:, None], reference.log()[:, None], torch.ones(3, 1).bool())
    kl = 0.5 * LOG(2.5) + 0.2 * LOG(0.4)
    assert (policy * found.k1).sum().item() == pytest.approx(kl)
    assert (policy * found.k3).sum().item() == pytest.approx(kl)
    assert (policy * (found.k3 - kl) ** 2).sum() < (policy * (found.k1 - kl) ** 2).sum()  # that is what k3 is for


@given(NUMBERS)
def test_k3_is_never_negative_and_zero_for_equal_models(numbers: list[tuple[float, float, bool]]) -> None:
    logprobs, reference, counts = (torch.tensor(column)[None] for column in zip(*numbers, strict=True))
    assert divergence(logprobs, reference, counts).k3.item() >= 0
    same = divergence(logprobs, logprobs, counts)
    assert (same.k1.item(), same.k3.item()) == (0.0, 0.0)
