"""Training a preference model on comparisons: the finetune, and pretraining on votes (paper §3.1, A.2, Fig. 27).

Follows the paper: one epoch, constant rate after a warm-up, the end-of-context token, weakest comparisons dropped.
Pretraining differs by its settings alone: its comparisons, its rate, and the loss on text beside the pairwise one.
A run that diverges stops, and what stands in its checkpoint is from before. Left out: lessons from several processes.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.models.card import write_card
from concordant.models.language_model import layers
from concordant.models.machine import Machine
from concordant.models.parallel import Team
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, within_budget
from concordant.runs import Run, Watch
from concordant.train.course import Course, adamw
from concordant.train.kept import keep_copy
from concordant.train.lessons import Lesson, Lessons
from concordant.train.losses import language_loss, preference_loss
from concordant.train_config import PreferenceModelConfig

PM_METRICS = {
    "step": "optimiser steps so far",
    "comparisons": "comparisons seen so far",
    "loss": "mean −log P(chosen > rejected) of the step's comparisons, before the step (ln 2 ≈ 0.693 is a coin); "
    "every comparison counts alike, whatever its weight in training",
    "accuracy": "share of the step's comparisons whose chosen reply scores higher, before the step; ties count ½",
    "score_gap": "mean score of chosen minus rejected",
    "learning_rate": "of this step",
    "grad_norm": "norm of the gradient before clipping",
    "seconds": "wall-clock seconds of this step",
}
"""Every key of a PM run's metrics.jsonl, with its meaning."""

PMP_METRICS = {
    **PM_METRICS,
    "lm_loss": "where lm_coef > 0: mean −log-likelihood of a token of the step's chosen replies, before the step",
}
"""The same of a run that learns from text too."""

_COIN = math.log(2)


@dataclass(frozen=True, slots=True)
class _Training:
    """A PM that learns, from what, how, and by which processes."""

    model: PreferenceModel
    lessons: Lessons
    course: Course
    machine: Machine
    team: Team


def model_to_train(folder: Path, config: PreferenceModelConfig, device: str = "cpu") -> PreferenceModel:
    """What a run begins with: a PM from a causal LM, or one that was trained before, as ``folder`` holds.

    Args:
        folder: of the model, or of the run that made it.
        config: of the run.
        device: where it is to be trained.

    Raises:
        UserError: the folder holds neither, or no language-model head although the loss on text is asked for.
    """
    model = PreferenceModel.start(folder, config.seed, config.max_tokens)
    if config.lm_coef:
        model.learn_language(folder)
    return model.to(device)


def train_pm(
    run: Run, model: PreferenceModel, preferences: Sequence[Preference], config: PreferenceModelConfig, watch: Watch
) -> dict[str, Any]:
    """One epoch over the comparisons; the finished PM stands in ``run.model``, copies from on the way in ``run.kept``.

    Under ``torchrun``, every process calls this alike: each computes a share of every batch, and the first one writes.

    Args:
        run: the run's folder; an unfinished one is gone on with from its last checkpoint.
        model: as ``model_to_train`` makes it.
        preferences: comparisons; those that teach nothing are dropped and counted.
        config: rates, batch, what is trained.
        watch: told of progress.

    Returns:
        The run's result: comparisons used, what was dropped, mean loss and accuracy over the last quarter; with
        ``keep_at``, after how many comparisons a copy was kept.

    Raises:
        UserError: nothing usable among the comparisons, too few for ``keep_at``, or the run diverged.
    """
    lessons = Lessons.of(model, preferences, config)
    team = Team.joined()
    with run.alone() if team.leads else nullcontext():
        training = _begin(run, model, lessons, config)
        course, steps = training.course, lessons.steps(config)
        watch(course.step, steps, "")
        while course.step < steps:
            began = time.monotonic()
            batch = lessons.batch(course.step, config)
            metrics = _gradient(training, batch, config)
            began += _make_safe(run, training, metrics, config)
            rate = _take_step(training, config)
            _log(run, training, metrics | {"learning_rate": rate, "seconds": time.monotonic() - began}, config)
            watch(course.step, steps, f"loss {metrics['loss']:.3f}")
        _keep(run, training, config)
        return _finish(run, training, config)


def _begin(run: Run, model: PreferenceModel, lessons: Lessons, config: PreferenceModelConfig) -> _Training:
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
    if config.compile_layers:
        model.compile_layers()
    if config.gradient_checkpointing:
        model.recompute_layers()
    optimizer = adamw(model.network, config.learning_rate, config.weight_decay)
    course = Course(model.network, optimizer, floor=_COIN, said_of_floor="; a coin's is 0.69")
    training = _Training(model, lessons, course, _machine(run, model, config), Team.joined())
    course.go_on(run, training.team)
    return training


def _machine(run: Run, model: PreferenceModel, config: PreferenceModelConfig) -> Machine:
    """How the team computes: its first process measures, and the others read what it wrote."""
    team = Team.joined()
    if not team.leads:
        team.wait()
    machine = Machine.of_run(run, model.device, config.dtype)
    if team.leads:
        team.wait()
    machine.use()
    return machine


def _freeze_lower(model: PreferenceModel, frozen_layers: int) -> None:
    """Train all weights above the lowest ``frozen_layers`` layers; with any frozen, the embeddings are too."""
    model.network.requires_grad_(True)
    if frozen_layers:
        embeddings = [part for part in model.classifier.modules() if isinstance(part, nn.Embedding)]
        for part in (*embeddings, *layers(model.classifier)[:frozen_layers]):
            part.requires_grad_(False)


def _gradient(training: _Training, batch: Sequence[Lesson], config: PreferenceModelConfig) -> dict[str, float]:
    """Leave the clipped gradient of the batch's loss in the weights; it is the same in however many passes, and
    processes of a team.

    The loss is Σ weight · pairwise loss / comparisons + lm_coef · Σ −log p / tokens, over the whole batch. The first
    is divided by the number of comparisons and not by the sum of their weights: with another λ the helpful ones pull as
    they did (Fig. 27 adds λ·L_harmless to an L_helpful that stays), and with λ = 1 it is the plain mean.
    """
    model, team = training.model, training.team
    tokens = sum(len(lesson.row.replies[0]) - 1 for lesson in batch)  # all but the end-of-context token
    loss_sum = correct = gap_sum = text_sum = 0.0
    mine = team.share(batch)
    for group in within_budget([lesson.row for lesson in mine], config.row_tokens, model.device):
        packed = RowBatch.pack([mine[index].row for index in group], model.device)
        with training.machine.products():
            hidden = model.hidden(packed)
        hidden = hidden.to(training.course.weights[0].dtype)
        scores = model.scores(packed, hidden)
        chosen, rejected = scores[0::2], scores[1::2]
        losses = preference_loss(chosen, rejected)
        loss: Tensor = (losses * losses.new_tensor([mine[index].weight for index in group])).sum() / len(batch)
        if config.lm_coef:
            text = language_loss(model.reply_logprobs(packed, hidden))
            loss = loss + config.lm_coef * text / tokens
            text_sum += text.item()
        loss.backward()  # type: ignore[no-untyped-call]
        gap = (chosen - rejected).detach()
        loss_sum += losses.sum().item()
        gap_sum += gap.sum().item()
        correct += ((gap > 0).float() + 0.5 * (gap == 0).float()).sum().item()
    team.add_up_gradients(training.course.weights)
    sums = team.add_up({"loss": loss_sum, "accuracy": correct, "score_gap": gap_sum, "lm_loss": text_sum})
    norm = torch.nn.utils.clip_grad_norm_(training.course.weights, config.gradient_clip).item()
    return {
        "loss": sums["loss"] / len(batch),
        **({"lm_loss": sums["lm_loss"] / tokens} if config.lm_coef else {}),
        "accuracy": sums["accuracy"] / len(batch),
        "score_gap": sums["score_gap"] / len(batch),
        "grad_norm": norm,
    }


def _make_safe(run: Run, training: _Training, metrics: dict[str, float], config: PreferenceModelConfig) -> float:
    """Look whether the run diverges, keep what is due, save now and then; returns the seconds that saving took.

    Raises:
        UserError: the run diverged; the gradient that led there has not been applied.
    """
    training.course.stop_if_diverged(run, metrics, config.learning_rate)
    # In this order: a checkpoint is never of a step whose copy is missing, so that no kill can lose one.
    spent = _keep(run, training, config)
    if training.team.leads:
        spent += training.course.save_now_and_then(run, metrics["loss"], config.checkpoint_seconds)
    return spent


def _take_step(training: _Training, config: PreferenceModelConfig) -> float:
    """Apply the gradient at the rate of this step, which is returned."""
    rate = config.learning_rate * min(1.0, (training.course.step + 1) / max(1, config.warmup_steps))
    training.course.apply(rate)
    return rate


def _log(run: Run, training: _Training, metrics: dict[str, float], config: PreferenceModelConfig) -> None:
    """Write down the step that was just taken."""
    if training.team.leads:
        step = training.course.step
        seen = min(len(training.lessons.rows), step * config.batch_size)
        run.log({"step": step, "comparisons": seen, **metrics})


def _keep(run: Run, training: _Training, config: PreferenceModelConfig) -> float:
    """Keep a copy of the weights as they were before this step, if one is due; returns the seconds it took.

    As with a checkpoint, the batch of the next step has shown them to be sound.
    """
    began = time.monotonic()
    seen = training.course.step * config.batch_size
    if training.team.leads and seen in config.keep_at and seen <= len(training.lessons.rows):  # the last batch is less
        result = _result(run, training.lessons.said(seen))
        keep_copy(run, seen, result, partial(training.model.save, goes_on=True))
    return time.monotonic() - began


def _result(run: Run, data: dict[str, Any]) -> dict[str, Any]:
    """What the run reports if it ends with the last step that was logged."""
    metrics = run.metrics()
    late = metrics[-max(1, len(metrics) // 4) :]
    means = {
        f"train_{name}": sum(row[name] for row in late) / len(late)
        for name in ("loss", "accuracy", "lm_loss")
        if name in late[0]
    }
    return {**data, **means, "seconds": sum(row["seconds"] for row in metrics)}


def _finish(run: Run, training: _Training, config: PreferenceModelConfig) -> dict[str, Any]:
    """Write the model, then the result that declares the run finished, and drop the checkpoint."""
    if not training.team.leads:
        training.team.wait()
        return run.result
    run.save_model(training.model.save)
    result = _result(run, training.lessons.said())
    if config.keep_at:
        result["kept"] = [mark for mark in config.keep_at if mark <= len(training.lessons.rows)]
    write_card(run, result)
    run.finish(result)
    training.team.wait()
    return result
