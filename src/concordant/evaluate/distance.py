"""How far a model is from the teacher behind its prompt: KL at every token of texts it has not seen (paper App. A.1).

The proof of a context distillation: KL(teacher with the prompt ‖ student without it), beside that of the base model
without it, at the same tokens. It is taken over the whole vocabulary; over the k + 1 classes of the training besides.
Tokens of one document are not independent, so intervals are over documents.

Shape letters: N places, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from concordant.evaluate.intervals import clustered_mean, t95
from concordant.models.coarse import class_logprobs, coarsen, divergence_of
from concordant.models.language_model import LanguageModel
from concordant.models.prompted import PromptedModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.models.text_rows import TextRow
from concordant.runs import Watch

DISTANCE_FIELDS = {
    "tokens": "tokens measured at",
    "documents": "documents that they come from: what the intervals count as independent",
    "base": "KL(teacher behind the prompt ‖ base model without it), nats per token, over the whole vocabulary: `kl`, "
    "`ci95`; `kl_coarse` over the k + 1 classes",
    "student": "the same of the student",
    "gain": "base minus student, token by token: above 0 the student is closer to the prompted teacher than the base",
    "share": "gain as a share of the base's KL: 1 would be a student that writes as the prompted teacher does",
    "by_kind": "the same for plain text and for dialogues, where both were measured on",
    "closer": "whether the whole interval of the gain lies above 0",
    "dropped": "texts left out, by reason",
}
"""Every key of a distillation's evaluation.json, with its meaning."""

_LOGIT_ROWS = 256
_MEASURES = ("base", "student", "base_coarse", "student_coarse")


@dataclass(frozen=True, slots=True)
class Contest:
    """Who is compared.

    Attributes:
        teacher: the model behind the prompt.
        base: the student as it was before.
        student: the student.
        k: tokens with a class of their own in the coarse KL.
        width: how many tokens their vocabulary has.
    """

    teacher: PromptedModel
    base: LanguageModel
    student: LanguageModel
    k: int
    width: int


@dataclass(slots=True)
class _Found:
    """Values of every measured token."""

    values: dict[str, list[NDArray[np.float64]]] = field(default_factory=lambda: {name: [] for name in _MEASURES})
    documents: list[str] = field(default_factory=list)
    dialogues: list[bool] = field(default_factory=list)


def measure_distance(contest: Contest, rows: Sequence[TextRow], row_tokens: int, watch: Watch) -> dict[str, Any]:
    """``DISTANCE_FIELDS`` on these texts, but for ``dropped``.

    Args:
        contest: who is compared.
        rows: texts that none of them was distilled on, of at least two documents.
        row_tokens: most tokens in one forward pass.
        watch: told of progress.
    """
    found = _Found()
    done = 0
    watch(0, len(rows), "")
    for group in contest.teacher.groups([row.tokens for row in rows], row_tokens):
        _measure(contest, [rows[index] for index in group], found)
        done += len(group)
        watch(done, len(rows), "")
    values = {name: np.concatenate(parts) for name, parts in found.values.items()}
    documents, dialogues = np.asarray(found.documents), np.asarray(found.dialogues)
    result = _summary(values, documents)
    kinds = {"plain text": ~dialogues, "dialogues": dialogues}
    result["by_kind"] = {
        name: _summary({key: value[mask] for key, value in values.items()}, documents[mask])
        for name, mask in kinds.items()
        if not mask.all() and len(set(documents[mask].tolist())) > 1
    }
    result["closer"] = bool(result["gain"]["ci95"][0] > 0)
    return result


@torch.inference_mode()
def _measure(contest: Contest, rows: Sequence[TextRow], found: _Found) -> None:
    batch = RowBatch.pack([SharedRow(row.tokens, []) for row in rows], contest.teacher.model.device)
    models = (contest.teacher.model, contest.base, contest.student)
    hidden = (contest.teacher.hidden(batch), contest.base.hidden(batch), contest.student.hidden(batch))
    for place, row in enumerate(rows):
        span = slice(row.first - 1, len(row.tokens) - 1)
        parts = zip(*(torch.split(states[place, span], _LOGIT_ROWS) for states in hidden), strict=True)
        for states in parts:
            teacher, base, student = (
                model.causal.get_output_embeddings()(part).double()[:, : contest.width]
                for model, part in zip(models, states, strict=True)
            )
            for name, value in _divergences(teacher, base, student, contest.k).items():
                found.values[name].append(value.cpu().numpy())
        found.documents += [row.document] * row.counted
        found.dialogues += [row.is_dialogue] * row.counted


def _divergences(
    teacher: Float[Tensor, "N V"], base: Float[Tensor, "N V"], student: Float[Tensor, "N V"], k: int
) -> dict[str, Float[Tensor, " N"]]:
    """KL of base and student from the teacher, of every place, over all tokens and over k + 1 classes."""
    whole, coarse = teacher.log_softmax(dim=1), coarsen(teacher, k)
    return {
        "base": divergence_of(whole, base.log_softmax(dim=1)),
        "student": divergence_of(whole, student.log_softmax(dim=1)),
        "base_coarse": divergence_of(coarse.logprobs, class_logprobs(base, coarse.tokens)),
        "student_coarse": divergence_of(coarse.logprobs, class_logprobs(student, coarse.tokens)),
    }


def _summary(values: dict[str, NDArray[np.float64]], documents: NDArray[Any]) -> dict[str, Any]:
    count = len(set(documents.tolist()))
    base, student = (_mean(values[name], documents, count) for name in ("base", "student"))
    gain = _mean(values["base"] - values["student"], documents, count)
    return {
        "tokens": len(documents),
        "documents": count,
        "base": {**base, "kl_coarse": float(values["base_coarse"].mean())},
        "student": {**student, "kl_coarse": float(values["student_coarse"].mean())},
        "gain": gain,
        "share": gain["kl"] / base["kl"] if base["kl"] > 0 else 0.0,
    }


def _mean(value: NDArray[np.float64], documents: NDArray[Any], count: int) -> dict[str, Any]:
    """Mean of a token with its 95 % interval by document."""
    mean, error = clustered_mean(value, documents)
    half = t95(count - 1) * error
    return {"kl": mean, "ci95": [mean - half, mean + half]}
