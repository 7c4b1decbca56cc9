"""Finetuning a preference model on comparisons (paper §3.1, A.2).

Follows the paper: one epoch, constant rate after a warm-up, the end-of-context token, weakest comparisons dropped,
every kept comparison with equal weight. Left out so far: preference-model pretraining and the language-model loss.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from concordant.comparison import Preference
from concordant.config import PreferenceModelConfig
from concordant.errors import UserError
from concordant.models.card import write_card
from concordant.models.checkpoints import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    restore_weights,
    trained_weights,
    without_prefix,
)
from concordant.models.language_model import layers
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget
from concordant.runs import Run, Watch
from concordant.train.losses import preference_loss

PM_METRICS = {
    "step": "optimiser steps so far",
    "comparisons": "comparisons seen so far",
    "loss": "mean −log P(chosen > rejected) of the step's comparisons, before the step (ln 2 ≈ 0.693 is a coin)",
    "accuracy": "share of the step's comparisons whose chosen reply scores higher, before the step; ties count ½",
    "score_gap": "mean score of chosen minus rejected",
    "learning_rate": "of this step",
    "grad_norm": "norm of the gradient before clipping",
    "seconds": "wall-clock seconds of this step",
}
"""Every key of a PM run's metrics.jsonl, with its meaning."""


@dataclass(slots=True)
class _Training:
    """What changes while a PM trains."""

    model: PreferenceModel
    optimizer: AdamW
    step: int = 0
    saved_at: float = field(default_factory=time.monotonic)


def train_pm(
    run: Run, model: PreferenceModel, preferences: Sequence[Preference], config: PreferenceModelConfig, watch: Watch
) -> dict[str, Any]:
    """One epoch over the comparisons; the finished PM stands in ``run.model``.

    Args:
        run: the run's folder; an unfinished one is gone on with from its last checkpoint.
        model: an untrained PM.
        preferences: comparisons; those that teach nothing are dropped and counted.
        config: rates, batch, what is trained.
        watch: told of progress.

    Returns:
        The run's result: comparisons used, what was dropped, mean loss and accuracy over the last quarter.

    Raises:
        UserError: nothing usable among the comparisons, or the loss became infinite.
    """
    rows, dropped, kinds = comparison_rows(model, preferences)
    if not rows:
        raise UserError(f"none of the {len(preferences)} comparisons can be used ({_counts(dropped)}); collect more")
    random.Random(f"order:{config.seed}").shuffle(rows)
    with run.alone():
        training = _begin(run, model, config)
        steps = -(-len(rows) // config.batch_size)
        watch(training.step, steps, "")
        while training.step < steps:
            began = time.monotonic()
            batch = rows[training.step * config.batch_size :][: config.batch_size]
            rate = config.learning_rate * min(1.0, (training.step + 1) / max(1, config.warmup_steps))
            metrics = _update(training, batch, rate, config)
            training.step += 1
            seen = min(len(rows), training.step * config.batch_size)
            run.log({"step": training.step, "comparisons": seen, **metrics, "seconds": time.monotonic() - began})
            watch(training.step, steps, f"loss {metrics['loss']:.3f}")
            _save_now_and_then(run, training, config)
        data = {"comparisons": len(rows), "dropped": dict(dropped), "worker_kinds": dict(kinds)}
        return _finish(run, training, data)


def comparison_rows(
    model: PreferenceModel, preferences: Sequence[Preference]
) -> tuple[list[SharedRow], Counter[str], Counter[str]]:
    """(rows with the chosen reply first, dropped comparisons by reason, used ones by the kind of worker)."""
    rows: list[SharedRow] = []
    dropped: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for preference in preferences:
        flaw = "weakest strength" if preference.is_weakest else preference.flaw()
        row = None if flaw else model.row(preference.prompt, [preference.chosen, preference.rejected])
        if row is None:
            dropped[flaw or "longer than the context"] += 1
        else:
            rows.append(row)
            kinds[preference.worker_kind or "unknown"] += 1
    return rows, dropped, kinds


def _begin(run: Run, model: PreferenceModel, config: PreferenceModelConfig) -> _Training:
    """The training state: fresh, or as the last checkpoint left it."""
    if config.frozen_layers >= len(layers(model.classifier)):
        raise UserError(
            f"pm.frozen_layers is {config.frozen_layers}, and the model has {len(layers(model.classifier))} layers; "
            "leave at least one to be trained"
        )
    if config.lora_rank:
        model = model.with_lora(config.lora_rank, config.seed, config.frozen_layers)
    else:
        _freeze_lower(model, config.frozen_layers)
    weights = [weight for weight in model.network.parameters() if weight.requires_grad]
    optimizer = AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=config.weight_decay)
    training = _Training(model, optimizer)
    saved = Checkpoint.load(run.checkpoint)
    if saved:
        restore_weights(model.network, without_prefix("weights", saved.tensors))
        restore_optimizer(optimizer, without_prefix("optimizer", saved.tensors))
        training.step = saved.values["step"]
    run.rewind(training.step)
    return training


def _freeze_lower(model: PreferenceModel, frozen_layers: int) -> None:
    """Train all weights above the lowest ``frozen_layers`` layers; with any frozen, the embeddings are too."""
    model.network.requires_grad_(True)
    if frozen_layers:
        embeddings = [part for part in model.classifier.modules() if isinstance(part, nn.Embedding)]
        for part in (*embeddings, *layers(model.classifier)[:frozen_layers]):
            part.requires_grad_(False)


def _update(
    training: _Training, batch: Sequence[SharedRow], rate: float, config: PreferenceModelConfig
) -> dict[str, float]:
    """One optimiser step. The gradient is that of the batch's mean loss, in however many passes it is computed."""
    model, optimizer = training.model, training.optimizer
    loss_sum = correct = gap_sum = 0.0
    for group in within_budget(batch, config.row_tokens):
        scores = model.scores(RowBatch.pack([batch[index] for index in group], model.device))
        chosen, rejected = scores[0::2], scores[1::2]
        loss = preference_loss(chosen, rejected).sum()
        (loss / len(batch)).backward()  # type: ignore[no-untyped-call]
        gap = (chosen - rejected).detach()
        loss_sum += loss.item()
        gap_sum += gap.sum().item()
        correct += ((gap > 0).float() + 0.5 * (gap == 0).float()).sum().item()
    norm = torch.nn.utils.clip_grad_norm_(
        [weight for weight in model.network.parameters() if weight.requires_grad], config.gradient_clip
    ).item()
    if not math.isfinite(loss_sum) or not math.isfinite(norm):
        raise UserError(
            f"the loss became {loss_sum} and its gradient {norm} at step {training.step + 1}; the last checkpoint is "
            f"kept; lower pm.learning_rate (now {config.learning_rate})"
        )
    for settings in optimizer.param_groups:
        settings["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "loss": loss_sum / len(batch),
        "accuracy": correct / len(batch),
        "score_gap": gap_sum / len(batch),
        "learning_rate": rate,
        "grad_norm": norm,
    }


def _save_now_and_then(run: Run, training: _Training, config: PreferenceModelConfig) -> None:
    if time.monotonic() - training.saved_at >= config.checkpoint_seconds:
        tensors = prefixed("weights", trained_weights(training.model.network))
        tensors |= prefixed("optimizer", optimizer_tensors(training.optimizer))
        Checkpoint(tensors, {"step": training.step}).save(run.checkpoint)
        training.saved_at = time.monotonic()


def _finish(run: Run, training: _Training, data: dict[str, Any]) -> dict[str, Any]:
    """Write the model, then the result that declares the run finished, and drop the checkpoint."""
    run.save_model(training.model.save)
    metrics = run.metrics()
    late = metrics[-max(1, len(metrics) // 4) :]
    result = {
        **data,
        "train_loss": sum(row["loss"] for row in late) / len(late),
        "train_accuracy": sum(row["accuracy"] for row in late) / len(late),
        "seconds": sum(row["seconds"] for row in metrics),
    }
    write_card(run, result)
    run.finish(result)
    return result


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.most_common()) or "the set is empty"
