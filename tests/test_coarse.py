"""Coarse distributions and their KL: by hand, and what must hold of any."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concordant.models.coarse import class_logprobs, coarsen, divergence_of

LOGITS = st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=3, max_size=9)


def logs(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities], dtype=torch.float64).log()


def coarse_kl(teacher: torch.Tensor, student: torch.Tensor, k: int) -> torch.Tensor:
    coarse = coarsen(teacher, k)
    return divergence_of(coarse.logprobs, class_logprobs(student, coarse.tokens))


def test_by_hand() -> None:
    """½, ¼, 0.15, 0.1 with k = 2: classes ½, ¼, ¼. A uniform student gives them ¼, ¼, ½.

    KL = ½ ln 2 + 0 − ¼ ln 2 = ¼ ln 2; over the whole vocabulary ½ ln 2 + 0.15 ln 0.6 + 0.1 ln 0.4.
    The order of tokens is the teacher's, whatever their ids, and a constant added to logits changes nothing.
    """
    teacher, student = logs(0.15, 0.5, 0.1, 0.25) + 7, logs(0.25, 0.25, 0.25, 0.25) - 3
    coarse = coarsen(teacher, 2)
    assert coarse.tokens.tolist() == [[1, 3]]
    assert coarse.logprobs.exp().tolist() == [pytest.approx([0.5, 0.25, 0.25])]
    assert class_logprobs(student, coarse.tokens).exp().tolist() == [pytest.approx([0.25, 0.25, 0.5])]
    assert coarse_kl(teacher, student, 2).item() == pytest.approx(0.25 * math.log(2))
    full = divergence_of(teacher.log_softmax(dim=1), student.log_softmax(dim=1)).item()
    assert full == pytest.approx(0.5 * math.log(2) + 0.15 * math.log(0.6) + 0.1 * math.log(0.4))


def test_the_gradient_by_hand() -> None:
    """Of logits: q − p for kept tokens; each other token gets its part of q_rest, scaled by 1 − p_rest / q_rest.

    The uniform student above: ¼ − ½, ¼ − ¼, and the two others ¼ − ¼ · ½ each.
    """
    student = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    coarse_kl(logs(0.5, 0.25, 0.15, 0.1), student, 2).sum().backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.tolist() == [pytest.approx([-0.25, 0.0, 0.125, 0.125])]


def matrix(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@given(LOGITS, st.integers(1, 9))
def test_what_holds_of_any(pairs: list[tuple[float, float]], k: int) -> None:
    """KL ≥ 0; 0 for equals; coarse ≤ finer ≤ full; the classes are a distribution."""
    teacher, student = (matrix(values) for values in zip(*pairs, strict=True))
    k = min(k, len(pairs))
    coarse = coarsen(teacher, k)
    assert coarse.logprobs.exp().sum().item() == pytest.approx(1)
    kl = coarse_kl(teacher, student, k).item()
    assert kl >= -1e-9
    assert coarse_kl(teacher, teacher, k).item() == pytest.approx(0, abs=1e-12)
    finer = coarse_kl(teacher, student, min(k + 1, len(pairs))).item()
    full = divergence_of(teacher.log_softmax(dim=1), student.log_softmax(dim=1)).item()
    assert kl <= finer + 1e-9 and finer <= full + 1e-9


@given(LOGITS)
def test_the_rest_is_one_minus_the_kept(pairs: list[tuple[float, float]]) -> None:
    """log(1 − e^s) of the kept tokens' log-sum s, where that has digits left."""
    logits = matrix([value / 10 for value, _ in pairs])
    coarse = coarsen(logits, 2)
    kept = coarse.logprobs[:, :2].logsumexp(dim=1)
    assert coarse.logprobs[:, 2].item() == pytest.approx(torch.log(-torch.expm1(kept)).item(), abs=1e-6)


def test_a_rest_that_float32_cannot_tell_from_nothing_is_exact() -> None:
    """Rest of e^−50 + e^−60: 1 − p is 0 in float32, and its logarithm −∞. Value and gradient stay finite."""
    teacher = torch.tensor([[0.0, 0.0, -50.0, -60.0]])
    coarse = coarsen(teacher, 2)
    assert coarse.logprobs[0, 2].item() == pytest.approx(-50 - math.log(2) + math.log1p(math.exp(-10)), abs=1e-5)
    student = torch.tensor([[0.0, 0.0, -200.0, -300.0]], requires_grad=True)
    kl = divergence_of(coarse.logprobs, class_logprobs(student, coarse.tokens))
    kl.sum().backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None and student.grad.isfinite().all() and kl.isfinite().all()


def test_nothing_remains() -> None:
    """k = V: the class of the rest has probability 0 on both sides, and counts nothing; not even in the gradient."""
    teacher = logs(0.5, 0.3, 0.2)
    student = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    coarse = coarsen(teacher, 3)
    assert coarse.logprobs[0, 3].item() == -math.inf
    kl = divergence_of(coarse.logprobs, class_logprobs(student, coarse.tokens))
    expected = sum(p * math.log(3 * p) for p in (0.5, 0.3, 0.2))
    assert kl.item() == pytest.approx(expected)
    kl.sum().backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    assert student.grad.tolist() == [pytest.approx([1 / 3 - p for p in (0.5, 0.3, 0.2)])]


@pytest.mark.parametrize("k", [0, 4])
def test_more_classes_than_tokens_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"{k} classes of 3 tokens"):
        coarsen(torch.zeros(1, 3), k)
