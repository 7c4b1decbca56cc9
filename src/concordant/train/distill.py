"""Context distillation: a student learns to write as a teacher does behind a prompt, without it (paper §2.3, App. A.1).

One epoch over the teacher's stored output, KL over its k most probable tokens and the rest as one class, at every token
of the texts; the rate falls linearly to zero. The texts' order is that of the shards, and nothing else is random, so a
run that was killed goes on bit for bit. Left out: lessons from several processes.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from concordant.models.coarse import class_logprobs, divergence_of
from concordant.models.language_model import LanguageModel
from concordant.models.machine import Machine
from concordant.models.parallel import Team
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget
from concordant.runs import Run, Watch
from concordant.train.course import Course, adamw
from concordant.train.teacher_shards import Lesson, TeacherShards
from concordant.train_config import DistillConfig

DISTILL_METRICS = {
    "step": "optimiser steps so far",
    "texts": "texts seen so far",
    "tokens": "tokens learned from so far",
    "loss": "mean KL(teacher behind the prompt ‖ student) of a token of the step over k + 1 classes, nats, before it",
    "teacher_rest": "mean probability that the teacher gives to all but its k most probable tokens",
    "student_rest": "the same of the student, before the step: to all but the teacher's k",
    "learning_rate": "of this step",
    "grad_norm": "norm of the gradient before clipping",
    "seconds": "wall-clock seconds of this step",
}
"""Every key of a distillation run's metrics.jsonl, with its meaning."""

_LOGIT_ROWS = 512
_SMALL = 0.1
"""A mean KL of a token, nats, from which learning may well begin."""


@dataclass(frozen=True, slots=True)
class _Training:
    """A student that learns."""

    model: LanguageModel
    course: Course


def distill(
    run: Run, student: LanguageModel, shards: TeacherShards, config: DistillConfig, watch: Watch
) -> dict[str, Any]:
    """One epoch over the shards, all of which must be there; the student stands in ``run.model`` at the end.

    Args:
        run: the run's folder; an unfinished one is gone on with from its last checkpoint. The caller holds it.
        student: what is trained, as it was before.
        shards: the teacher's output.
        config: rates, batch, what is trained.
        watch: told of progress.

    Returns:
        What the run has to say of its training: texts, tokens, loss at the first step and over the last quarter.

    Raises:
        UserError: a shard is damaged, or the run diverged.
    """
    Machine.of_run(run, student.device, "float32").use()
    training = _begin(run, student, config)
    course = training.course
    texts = len(shards.rows)
    steps = -(-texts // config.batch_size)
    tokens = sum(row.counted for row in shards.rows[: course.step * config.batch_size])
    watch(course.step, steps, "")
    while course.step < steps:
        began = time.monotonic()
        start = course.step * config.batch_size
        batch = shards.lessons(start, min(texts, start + config.batch_size))
        metrics = _gradient(training, batch, shards.width, config)
        course.stop_if_diverged(run, metrics, config.learning_rate)
        began += course.save_now_and_then(run, metrics["loss"], config.checkpoint_seconds)
        rate = learning_rate(course.step, steps, config)
        course.apply(rate)
        tokens += sum(lesson.row.counted for lesson in batch)
        counts = {"step": course.step, "texts": start + len(batch), "tokens": tokens}
        run.log({**counts, **metrics, "learning_rate": rate, "seconds": time.monotonic() - began})
        watch(course.step, steps, f"KL {metrics['loss']:.4f}")
    run.save_model(lambda folder: _save(training.model, folder))
    rows = run.metrics()
    late = rows[-max(1, len(rows) // 4) :]
    return {
        "texts": texts,
        "dialogues": sum(row.is_dialogue for row in shards.rows),
        "documents": len({row.document for row in shards.rows}),
        "tokens": tokens,
        "first_loss": rows[0]["loss"],
        "train_loss": sum(row["loss"] for row in late) / len(late),
        "seconds": sum(row["seconds"] for row in rows),
    }


def learning_rate(step: int, steps: int, config: DistillConfig) -> float:
    """Of the step with this number, from 0: warm-up, and a linear fall that would reach 0 behind the last one."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * (1 - step / steps)


def _begin(run: Run, student: LanguageModel, config: DistillConfig) -> _Training:
    """The training state: fresh, or as the last checkpoint left it."""
    if config.lora_rank:
        student = student.with_lora(config.lora_rank, config.seed)
    else:
        student.network.requires_grad_(True)
    optimizer = adamw(student.network, config.learning_rate, config.weight_decay)
    training = _Training(student, Course(student.network, optimizer, floor=_SMALL))
    training.course.go_on(run, Team())
    return training


def _gradient(training: _Training, batch: Sequence[Lesson], width: int, config: DistillConfig) -> dict[str, float]:
    """Leave the clipped gradient of the batch's mean KL per token in the weights; the same in however many passes."""
    model = training.model
    tokens = sum(lesson.row.counted for lesson in batch)
    loss_sum = rest_sum = 0.0
    for group in within_budget([SharedRow(lesson.row.tokens, []) for lesson in batch], config.row_tokens, model.device):
        lessons = [batch[index] for index in group]
        hidden = model.hidden(RowBatch.pack([SharedRow(lesson.row.tokens, []) for lesson in lessons], model.device))
        places = [(place, lesson.row) for place, lesson in enumerate(lessons)]
        states = torch.cat([hidden[place, row.first - 1 : len(row.tokens) - 1] for place, row in places])
        kl, rest = _divergence_sums(model, states, lessons, width)
        (kl / tokens).backward()  # type: ignore[no-untyped-call]
        loss_sum += kl.item()
        rest_sum += rest.item()
    norm = torch.nn.utils.clip_grad_norm_(training.course.weights, config.gradient_clip).item()
    return {
        "loss": loss_sum / tokens,
        "teacher_rest": sum(lesson.logprobs[:, -1].exp().sum().item() for lesson in batch) / tokens,
        "student_rest": rest_sum / tokens,
        "grad_norm": norm,
    }


def _divergence_sums(
    model: LanguageModel, states: Float[Tensor, "N D"], lessons: Sequence[Lesson], width: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(Σ KL(teacher ‖ student), Σ the student's probability of the rest) over the lessons' tokens.

    Logits are made in slices and made again in the backward pass, so that one slice of them stands in memory at a time.
    """
    head = model.causal.get_output_embeddings()

    def of_slice(part: Tensor, tokens: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        student = class_logprobs(head(part).float()[:, :width], tokens)
        return divergence_of(teacher, student).sum(), student[:, -1].detach().exp().sum()

    tokens = torch.cat([lesson.tokens for lesson in lessons]).to(model.device)
    teacher = torch.cat([lesson.logprobs for lesson in lessons]).to(model.device)
    parts = zip(*(torch.split(tensor, _LOGIT_ROWS) for tensor in (states, tokens, teacher)), strict=True)
    sums = [checkpoint(of_slice, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    kl, rest = (torch.stack(values).sum() for values in zip(*sums, strict=True))
    return kl, rest


def _save(model: LanguageModel, folder: Path) -> None:
    """Write the student as an ordinary causal LM, with any LoRA merged into its weights."""
    network = model.network.merge_and_unload() if hasattr(model.network, "peft_config") else model.network
    network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
