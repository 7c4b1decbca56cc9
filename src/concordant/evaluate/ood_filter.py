"""A filter in front of a model: does this prompt look like those that the model is for (paper §5.4, its use)?

Fitted on the activations of ordinary prompts, with or without outliers. Its threshold is set on held-out ordinary
prompts so that it declines a new one of their kind with at most the chosen probability (split conformal: the
⌈(1−α)(n+1)⌉-th smallest of n scores). Left out: saying why a prompt is strange, and judging replies.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ood import Side, Split
from concordant.evaluate.ood_scores import METHODS, PENALTY, Gaussian, Method, Probe, Vector
from concordant.models.activations import POOLINGS, Reading, layer_states
from concordant.models.base_models import Say
from concordant.models.language_model import LanguageModel
from concordant.models.named_model import NamedModel
from concordant.models.shared_rows import SharedRow, within_budget
from concordant.runs import Json, is_occupied, read_json, replace_folder, write_whole

FORMAT = "concordant prompt filter 1"
_HEAD, _STATISTICS = "filter.json", "filter.safetensors"
_ROW_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class PromptFilter:
    """A score of activation vectors and a threshold on it. Pure: it knows no model and no text.

    Attributes:
        method: "relative" or "plain" Mahalanobis, or "exposed" to outliers.
        scorer: gives the scores.
        threshold: vectors above it are declined.
        record: what it was made from and how well it did: model, layer, counts. Goes into its file.
    """

    method: Method
    scorer: Gaussian | Probe
    threshold: float
    record: Json = field(default_factory=dict)

    def score(self, x: Float64[np.ndarray, "N D"]) -> Vector:
        """(N,) how strange each vector is."""
        if isinstance(self.scorer, Probe):
            return self.scorer.score(x)
        return self.scorer.plain(x) if self.method == "plain" else self.scorer.relative(x)

    def save(self, folder: Path) -> None:
        """Write the folder whole.

        Raises:
            UserError: something else stands there.
        """
        refuse_folder(folder)
        scorer = self.scorer
        if isinstance(scorer, Probe):
            tensors = {"mean": scorer.mean, "scale": scorer.scale, "weights": scorer.weights}
            number = {"bias": scorer.bias}
        else:
            tensors = {"mean": scorer.mean, "scale": scorer.scale, "whitening": scorer.whitening}
            number = {"shrinkage": scorer.shrinkage}
        head = {"format": FORMAT, "method": self.method, "threshold": self.threshold, **number, **self.record}
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.new."))
        try:
            save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, temporary / _STATISTICS)
            (temporary / _STATISTICS).chmod(0o644)
            write_whole(temporary / _HEAD, json.dumps(head, indent=2) + "\n")
            temporary.chmod(0o755)
            replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> "PromptFilter":
        """A filter from its folder.

        Raises:
            UserError: there is none, or a damaged one.
        """
        if not (folder / _HEAD).exists():
            raise UserError(f"{folder} holds no filter (it has no {_HEAD}); make one with 'evaluate ood --save-filter'")
        head = read_json(folder / _HEAD)
        if head.get("format") != FORMAT or head.get("method") not in METHODS:
            raise UserError(f"{folder / _HEAD} is not of the format {FORMAT!r}; make the filter again")
        try:
            tensors = load_file(folder / _STATISTICS)
            scorer: Gaussian | Probe
            if head["method"] == "exposed":
                scorer = Probe(tensors["mean"], tensors["scale"], tensors["weights"], float(head["bias"]))
            else:
                scorer = Gaussian(tensors["mean"], tensors["scale"], tensors["whitening"], float(head["shrinkage"]))
            threshold = float(head["threshold"])
        except (OSError, KeyError, SafetensorError) as error:
            raise UserError(f"{folder} is a damaged filter ({' '.join(str(error).split())}); make it again") from None
        known = {"format", "method", "threshold", "bias", "shrinkage"}
        return cls(head["method"], scorer, threshold, {key: head[key] for key in head if key not in known})


def refuse_folder(folder: Path) -> None:
    """Raise where a filter could not be written: in place of anything but an older filter."""
    if is_occupied(folder) and not (folder / _HEAD).exists():
        raise UserError(f"{folder} is not empty and is no filter; choose another folder")


def conformal_threshold(held_out: Vector, rate: float) -> float:
    """The score that a new prompt of the same kind exceeds with probability at most ``rate``.

    Args:
        held_out: (n,) scores of prompts that nothing was fitted on.
        rate: α in (0, 1).

    Raises:
        UserError: α is no share, or there are too few scores for it.
    """
    if not 0 < rate < 1:
        raise UserError(f"--false-declines {rate:g} must lie between 0 and 1")
    # The tiny amount keeps (1 − 0.05) · 100 = 95.00000000000001 from becoming 96.
    rank = math.ceil((1 - rate) * (len(held_out) + 1) - 1e-9)
    if rank > len(held_out):
        raise UserError(
            f"--false-declines {rate:g} needs at least {math.ceil(1 / rate - 1e-9) - 1} held-out inside prompts, "
            f"not {len(held_out)}; give more prompts or a larger share"
        )
    return float(np.sort(held_out)[rank - 1])


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """How a filter is made.

    Attributes:
        method: the score.
        layer: whose activations.
        rate: of ordinary prompts that may be declined.
        shrinkage: λ of the Mahalanobis scores; None estimates it.
        penalty: of the linear layer.
    """

    method: Method
    layer: int
    rate: float
    shrinkage: float | None = None
    penalty: float = PENALTY


def make_filter(inside: Side, outside: Side, split: Split, plan: FilterPlan, record: Json) -> PromptFilter:
    """A filter fitted on one part of a split, its threshold set on the inside exam.

    Args:
        inside: ordinary prompts.
        outside: strange prompts; their pool teaches the method "exposed", their exam says what is caught.
        split: which are which.
        plan: method, layer, rate.
        record: of the model and the reading; kept with the filter.
    """
    ordinary, strange = inside.activations.layer(plan.layer), outside.activations.layer(plan.layer)
    scorer: Gaussian | Probe
    if plan.method == "exposed":
        scorer = Probe.fit(ordinary[split.fit], strange[split.pool], plan.penalty)
    else:
        scorer = Gaussian.fit(ordinary[split.fit], plan.shrinkage)
    bare = PromptFilter(plan.method, scorer, 0.0)
    held_out, caught = bare.score(ordinary[split.exam]), bare.score(strange[split.strange])
    threshold = conformal_threshold(held_out, plan.rate)
    measured = {
        "false_declines": plan.rate,
        "fitted_on": len(split.fit),
        "outliers": len(split.pool) if plan.method == "exposed" else 0,
        "held_out_inside": len(held_out),
        "declined_inside": float((held_out > threshold).mean()),
        "held_out_outside": len(caught),
        "declined_outside": float((caught > threshold).mean()),
    }
    return PromptFilter(plan.method, scorer, threshold, {**record, "layer": plan.layer, **measured})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter says of a prompt. ``score`` is infinite for one too long to be read, which is declined."""

    score: float
    declined: bool


@dataclass(frozen=True)
class PromptScreen:
    """A filter with the model whose activations it reads (the Screen protocol)."""

    filter: PromptFilter
    model: LanguageModel
    reading: Reading

    @classmethod
    def load(cls, folder: Path, say: Say = lambda line: None) -> "PromptScreen":
        """A filter and its model.

        Raises:
            UserError: the filter is damaged, or its model cannot be had or is another one by now.
        """
        found = PromptFilter.load(folder)
        record = found.record
        if record.get("pooling") not in POOLINGS or not {"model", "digest", "layer", "max_tokens"} <= record.keys():
            raise UserError(f"{folder} does not name its model and layer; make the filter again")
        named = NamedModel.find(str(record["model"]), say)
        if named.digest() != record["digest"]:
            raise UserError(
                f"{folder} was made from another model than {record['model']} is now; make the filter again"
            )
        reading = Reading((int(record["layer"]),), record["pooling"], int(record["max_tokens"]))
        return cls(found, named.load(), reading)

    def judge(self, prompts: Sequence[Conversation]) -> list[Verdict]:
        """A verdict on each prompt."""
        verdicts = [Verdict(math.inf, True)] * len(prompts)
        tokens = [self.reading.tokens(self.model, prompt) for prompt in prompts]
        readable = [index for index, found in enumerate(tokens) if found is not None]
        rows = [tokens[index] or [] for index in readable]
        for group in within_budget([SharedRow(row, []) for row in rows], _ROW_TOKENS):
            states = layer_states(self.model, [rows[index] for index in group], self.reading)[self.reading.layers[0]]
            for index, score in zip(group, self.filter.score(states.double().numpy()).tolist(), strict=True):
                verdicts[readable[index]] = Verdict(score, score > self.filter.threshold)
        return verdicts

    def declines(self, conversations: Sequence[Conversation]) -> list[bool]:
        """Whether each prompt is too strange to be answered."""
        return [verdict.declined for verdict in self.judge(conversations)]
