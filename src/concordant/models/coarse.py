"""A distribution over tokens, made coarse: the k most probable tokens, and one class for all others (paper App. A.1).

The loss of context distillation is KL over these k + 1 classes. The class of the rest is never 1 − Σ p: that loses all
digits where the k tokens hold nearly everything. It is the log-sum of what remains when they are taken out, which is
exact at any size and whose gradient is bounded. Where nothing remains (k = V) its log is −∞, and it counts nothing.

Shape letters: N places, K kept tokens, C = K + 1 classes, V vocabulary.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Coarse(NamedTuple):
    """Distributions over the same kind of classes.

    Attributes:
        tokens: (N, K) which tokens have a class of their own, the most probable first.
        logprobs: (N, C) log-probabilities of the classes; the last is all other tokens together.
    """

    tokens: Int64[Tensor, "N K"]
    logprobs: Float[Tensor, "N C"]


def coarsen(logits: Float[Tensor, "N V"], k: int) -> Coarse:
    """The k most probable tokens of each place, and the rest as one class.

    Raises:
        ValueError: there are fewer than k tokens.
    """
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"{k} classes of {logits.shape[1]} tokens")
    tokens = logits.topk(k, dim=1).indices
    return Coarse(tokens, class_logprobs(logits, tokens))


def class_logprobs(logits: Float[Tensor, "N V"], tokens: Int64[Tensor, "N K"]) -> Float[Tensor, "N C"]:
    """(N, C) log-probabilities of given tokens, and of all others together as the last class."""
    nothing_remains = tokens.shape[1] == logits.shape[1]  # and logsumexp of nothing has no gradient
    others = logits.detach() if nothing_remains else logits
    rest = others.scatter(1, tokens, -torch.inf).logsumexp(dim=1)
    classes = torch.cat([logits.gather(1, tokens), rest[:, None]], dim=1)
    return classes - logits.logsumexp(dim=1, keepdim=True)


def divergence_of(teacher: Float[Tensor, "N C"], student: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """(N,) KL(teacher ‖ student) of each place, nats: Σ p·(log p − log q) over the classes.

    A class that the teacher gives nothing counts nothing, whatever the student gives it. Over the whole vocabulary it
    is the full KL; joining tokens into one class can only lower it (the data processing inequality).
    """
    given = teacher > -torch.inf
    gap = torch.where(given, teacher, 0.0) - torch.where(given, student, 0.0)
    return (torch.where(given, teacher, -torch.inf).exp() * gap).sum(dim=1)
