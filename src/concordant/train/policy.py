"""PPO against a preference model (paper §4.1, B.1).

Follows the paper: reward r_PM − 0.001·KL with the raw score at the end of the reply, clip 0.2, γ = 1, no entropy bonus,
temperature 1 without top-p. Ours, because the paper does not say: LoRA on one trunk (policy, value and reference are
one network; the reference is the adapter switched off), several replies to a prompt, GAE, whitened advantages.
Left out so far: full finetuning, learning-rate schedules, a test PM beside the train PM.
"""

import random
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW

from concordant.config import PolicyConfig
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.checkpoints import (
    Checkpoint,
    optimizer_tensors,
    prefixed,
    restore_optimizer,
    restore_weights,
    trained_weights,
    without_prefix,
)
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.runs import Run, Watch
from concordant.sampler import BatchScorer
from concordant.train.advantages import generalised_advantages, token_rewards, whiten
from concordant.train.losses import divergence
from concordant.train.ppo_update import Batch, Training, update
from concordant.train.rollout import Rollout, forward_all
from concordant.train.start_check import refuse_unsound
from concordant.train.trial import mean_and_error, summary, trial_rows

_LONGER = 2
"""How many times longer a reply may be in the PM's tokens than in the policy's: their tokenizers may differ."""

POLICY_METRICS = {
    "step": "updates so far; the row describes the samples that the update learned from",
    "samples": "replies sampled so far",
    "score": "mean score of the replies by the PM that trains the policy",
    "score_se": "standard error of that mean, over prompts",
    "kl": "KL(policy ‖ reference), k1: mean over replies of Σ log(π/π₀), nats per reply, signed",
    "kl_k3": "the same by k3, never negative and of less variance",
    "entropy": "mean entropy of the policy's next token, nats",
    "clip_fraction": "share of tokens whose ratio left 1 ± clip, over all passes",
    "ratio_max": "largest ratio new / old of any token",
    "policy_loss": "mean clipped loss of a token, over all passes",
    "value_loss": "mean ½(V − return)² of a token, over all passes",
    "explained_variance": "1 − Var(return − V) / Var(return) before the update; 1 is a perfect critic",
    "length": "mean tokens of a reply",
    "finished": "share of replies that ended by themselves",
    "grad_norm": "mean norm of the gradient before clipping",
    "learning_rate": "of the LoRA weights",
    "logprob_gap": "largest |log-prob of the sampler − of the trainer| of any token: two paths through one network",
    "seconds": "wall-clock seconds of the update",
}
"""Every key of a policy run's metrics.jsonl, with its meaning."""


def train_policy(
    run: Run,
    base: LanguageModel,
    pm: BatchScorer,
    prompts: Sequence[Conversation],
    config: PolicyConfig,
    watch: Watch,
) -> dict[str, Any]:
    """PPO from ``base``; the adapter stands in ``run.model`` at the end.

    Args:
        run: the run's folder; an unfinished one is gone on with from its last checkpoint.
        base: the first policy and the reference.
        pm: gives the score: a preference model or an ensemble; it may have another tokenizer, because it is shown text.
        prompts: conversations that end on the human side.
        config: batch, rates, limits.
        watch: told of progress.

    Returns:
        The run's result: score, KL, length and share of finished replies, on the same held-out prompts and with the
        same random numbers, before and after.

    Raises:
        UserError: no prompt fits, a check of the models fails before the first update, or a score is not finite.
    """
    trial, lessons = _split(base, pm, prompts, config)
    with run.alone():
        training = _begin(run, base, config)
        if training.step == 0:
            refuse_unsound(training.model, [pm], config)
            _try_out(run, training, pm, trial, config)
        watch(training.step, config.updates, "")
        while training.step < config.updates:
            began = time.monotonic()
            drawn = _draw(lessons, training.step, config)
            rollout = sample(training.model, [tokens for _, tokens in drawn], training.step, config)
            scores = score(training.model, pm, [prompt for prompt, _ in drawn], rollout)
            batch, metrics = advantages(training.model, training.value_head, rollout, scores, config)
            metrics |= update(training, batch, config)
            training.step += 1
            seconds = time.monotonic() - began
            run.log({"step": training.step, "samples": training.step * len(scores), **metrics, "seconds": seconds})
            watch(training.step, config.updates, f"score {metrics['score']:+.2f}  KL {metrics['kl']:.2f}")
            _save_now_and_then(run, training, config)
        _try_out(run, training, pm, trial, config)
        return _finish(run, training)


def sample(model: LanguageModel, prompts: list[list[int]], step: int, config: PolicyConfig) -> Rollout:
    """Fresh replies to these prompts; the draws depend on the seed and the step alone."""
    limits = SamplingLimits(config.max_new_tokens, config.temperature)
    seed = config.seed * 1_000_000 + step
    return Rollout.of(prompts, generate(model, prompts, config.replies_per_prompt, limits, seed))


def score(
    model: LanguageModel, pm: BatchScorer, prompts: Sequence[Conversation], rollout: Rollout
) -> Float[Tensor, " R"]:
    """(R,) the PM's scores. It is shown each reply's text, since its tokens may not be the policy's."""
    items = [
        (prompt, [model.format.text(tokens) for tokens in row.replies])
        for prompt, row in zip(prompts, rollout.rows, strict=True)
    ]
    scores = torch.tensor([value for values in pm.score_many(items) for value in values])
    if not scores.isfinite().all():
        raise UserError("the preference model gave a score that is not finite; check it with 'concordant evaluate pm'")
    return scores


def advantages(
    model: LanguageModel,
    value_head: nn.Linear,
    rollout: Rollout,
    scores: Float[Tensor, " R"],
    config: PolicyConfig,
) -> tuple[Batch, dict[str, float]]:
    """The batch to learn from, and what is to be logged of it.

    Log-probabilities are recomputed by the trainer's own path rather than taken from the sampler, so that every ratio
    is exactly 1 before the first step; the gap between the two is logged.
    """
    old = forward_all(model, value_head, rollout, config.temperature, config.row_tokens)
    with model.reference():
        reference = forward_all(model, None, rollout, config.temperature, config.row_tokens)
    mask = rollout.loss_mask
    rewards = token_rewards(scores, old.logprobs, reference.logprobs, mask, config.kl_coef)
    raw, returns = generalised_advantages(rewards, old.values, mask, config.gamma, config.gae_lambda)
    kl = divergence(old.logprobs, reference.logprobs, mask)
    mean, error = mean_and_error(scores, config.replies_per_prompt)
    spread = returns[mask].var(unbiased=False).item()
    unexplained = (returns - old.values)[mask].var(unbiased=False).item()
    metrics = {
        "score": mean,
        "score_se": error,
        "kl": kl.k1.mean().item(),
        "kl_k3": kl.k3.mean().item(),
        "entropy": old.entropy[mask].mean().item(),
        "explained_variance": 1 - unexplained / spread if spread > 0 else 0.0,
        "length": rollout.lengths.mean().item(),
        "finished": rollout.finished.float().mean().item(),
        "logprob_gap": (old.logprobs - rollout.sampled_logprobs)[mask].abs().max().item(),
    }
    return Batch(rollout, old, whiten(raw, mask), returns), metrics


def _begin(run: Run, base: LanguageModel, config: PolicyConfig) -> Training:
    """The training state: fresh, or as the last checkpoint left it."""
    model = base.with_lora(config.lora_rank, config.seed)
    value_head = nn.Linear(model.hidden_size, 1).to(model.device)
    for weight in value_head.parameters():  # bias too: torch would draw it from the global stream
        nn.init.zeros_(weight)
    optimizer = AdamW(
        [
            {"params": [w for w in model.network.parameters() if w.requires_grad], "lr": config.learning_rate},
            {"params": list(value_head.parameters()), "lr": config.value_learning_rate},
        ],
        betas=(0.9, 0.95),
        weight_decay=0.0,
    )
    training = Training(model, value_head, optimizer)
    saved = Checkpoint.load(run.checkpoint)
    if saved:
        restore_weights(model.network, without_prefix("weights", saved.tensors))
        restore_weights(value_head, without_prefix("value_head", saved.tensors))
        restore_optimizer(optimizer, without_prefix("optimizer", saved.tensors))
        training.step = saved.values["step"]
    run.rewind(training.step)
    return training


def _save_now_and_then(run: Run, training: Training, config: PolicyConfig) -> None:
    if time.monotonic() - training.saved_at >= config.checkpoint_seconds:
        tensors = prefixed("weights", trained_weights(training.model.network))
        tensors |= prefixed("value_head", trained_weights(training.value_head))
        tensors |= prefixed("optimizer", optimizer_tensors(training.optimizer))
        Checkpoint(tensors, {"step": training.step}).save(run.checkpoint)
        training.saved_at = time.monotonic()


def _split(
    base: LanguageModel, pm: BatchScorer, prompts: Sequence[Conversation], config: PolicyConfig
) -> tuple[list[tuple[Conversation, list[int]]], list[tuple[Conversation, list[int]]]]:
    """(prompts of the trial, prompts to train on), with their tokens; the two share no opening."""
    fitting = [
        (prompt, tokens)
        for prompt in prompts
        if (tokens := base.fit(prompt, config.max_prompt_tokens, config.max_new_tokens)) is not None
        and pm.has_room(prompt, _LONGER * config.max_new_tokens)
    ]
    openings = sorted({prompt.split_key for prompt, _ in fitting})
    random.Random(f"trial:{config.seed}").shuffle(openings)
    held_out = set(openings[: min(config.trial_prompts, len(openings) // 4)])
    trial = [item for item in fitting if item[0].split_key in held_out][: config.trial_prompts]
    lessons = [item for item in fitting if item[0].split_key not in held_out]
    if not lessons:
        raise UserError(
            f"none of the {len(prompts)} prompts fits policy.max_prompt_tokens={config.max_prompt_tokens}, the model's "
            f"context, and the preference model's {pm.max_tokens} tokens with a reply of "
            f"{config.max_new_tokens}; raise the first, lower policy.max_new_tokens, or collect conversations"
        )
    return trial, lessons


T = TypeVar("T")


def _draw(lessons: Sequence[T], step: int, config: PolicyConfig) -> list[T]:
    """The prompts of an update: epoch after epoch in fresh orders, a function of seed and step alone."""
    drawn: list[T] = []
    for place in range(step * config.prompts_per_update, (step + 1) * config.prompts_per_update):
        epoch, offset = divmod(place, len(lessons))
        drawn.append(lessons[_order(config.seed, epoch, len(lessons))[offset]])
    return drawn


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of an epoch; an update may reach into the next one."""
    return random.Random(f"prompts:{seed}:{epoch}").sample(range(count), count)


def _try_out(
    run: Run,
    training: Training,
    pm: BatchScorer,
    trial: Sequence[tuple[Conversation, list[int]]],
    config: PolicyConfig,
) -> None:
    """Answer the held-out prompts and keep the texts in samples.jsonl."""
    if not trial:
        return
    prompts = [prompt for prompt, _ in trial]
    rollout = sample(training.model, [tokens for _, tokens in trial], -1, config)
    scores = score(training.model, pm, prompts, rollout)
    rows = trial_rows(training.model, prompts, rollout, scores, config.temperature, config.row_tokens)
    run.replace_samples(training.step, rows)


def _finish(run: Run, training: Training) -> dict[str, Any]:
    """Write the adapter, then the result that declares the run finished."""
    run.save_model(training.model.save_adapter)
    samples = run.samples()
    result = {
        "updates": training.step,
        "seconds": sum(row["seconds"] for row in run.metrics()),
        "before": summary([row for row in samples if row["step"] == 0]),
        "after": summary([row for row in samples if row["step"] == training.step]),
    }
    run.finish(result)
    return result
