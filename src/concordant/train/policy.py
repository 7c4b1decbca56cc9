"""PPO against a preference model (paper §4.1, §4.2, B.1): sample, score, advantages, update, log, again and again.

Follows the paper: reward r_PM − 0.001·KL with the raw score at the end of the reply, clip 0.2, γ = 1, no entropy bonus,
temperature 1 without top-p, warm-up and halving of the rate, a test PM that looks on. Ours, because the paper does not
say: LoRA on one trunk (policy, value and reference are one network; the reference is the adapter switched off),
several replies to a prompt, GAE or a leave-one-out baseline, whitened advantages, a critic on the policy's trunk or
begun as the PM (``critic.py``). Left out: one trunk for policy and PM.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.models.machine import Machine
from concordant.parting import find_parting
from concordant.runs import Run, Watch
from concordant.train.advantages import generalised_advantages, leave_one_out, token_rewards, whiten
from concordant.train.critic import Critic
from concordant.train.judging import Judges, score
from concordant.train.kept_policies import keep
from concordant.train.losses import divergence
from concordant.train.policy_log import log
from concordant.train.policy_prompts import Prompt, Prompts
from concordant.train.policy_state import Training, begin, save
from concordant.train.ppo_update import Batch, update
from concordant.train.rollout import Rollout, forward_all
from concordant.train.start_check import refuse_unsound
from concordant.train.trial import summary, trial_rows
from concordant.train_config import PolicyConfig


def train_policy(
    run: Run,
    base: LanguageModel,
    judges: Judges,
    prompts: Mapping[Conversation, Objective | None],
    config: PolicyConfig,
    watch: Watch,
) -> dict[str, Any]:
    """PPO from ``base``; the policy stands in ``run.model`` at the end: an adapter, or with lora_rank = 0 all of it.

    Args:
        run: the run's folder; an unfinished one is gone on with from its last checkpoint.
        base: the first policy and the reference.
        judges: preference models or ensembles; they may have other tokenizers, because they are shown text.
        prompts: conversations that end on the human side, each with its objective where that is known.
        config: batch, rates, limits.
        watch: told of progress.

    Returns:
        The run's result: scores, KL, length and share of finished replies, on the same held-out prompts and with the
        same random numbers, before and after; which snapshots were kept; where the two PMs parted.

    Raises:
        UserError: no prompt fits, a check of the models fails before the first update, scores are not finite or all the
            same, or a loss is not finite.
    """
    if config.stop_when_parted and judges.test is None:
        raise UserError("policy.stop_when_parted is true, and there is no test preference model; name one (--test-pm)")
    material = Prompts.split(prompts, base, judges.all, config)
    with run.alone():
        Machine.of_run(run, base.device, "float32").use()
        training = begin(run, base, judges.train, config)
        if training.step == 0:
            refuse_unsound(training.model, judges.all, config, training.critic)
            _try_out(run, training, judges, material, config)
        watch(training.step, config.updates, "")
        while training.step < config.updates and not _has_parted(training, config):
            began = time.monotonic()
            drawn = material.drawn(training.step, config)
            rollout = sample(training.model, drawn, training.step, config)
            judged, metrics = score(training.model, judges, drawn, rollout)
            starting = training.step < max(1, config.warmup_updates)
            batch, moved = advantages(training.model, training.critic, rollout, judged.scores, config, starting)
            metrics |= moved
            keep(run, training, metrics, config)  # before the update: these numbers are of these weights
            metrics |= update(training, batch, config)
            metrics["seconds"] = time.monotonic() - began
            log(run, training, judged, batch, metrics, config)
            watch(training.step, config.updates, _seen(metrics))
            if time.monotonic() - training.saved_at >= config.checkpoint_seconds:
                save(run, training)
        _try_out(run, training, judges, material, config)
        return _finish(run, training, judges, material)


def sample(model: LanguageModel, prompts: Sequence[Prompt], step: int, config: PolicyConfig) -> Rollout:
    """Fresh replies to these prompts; the draws depend on the seed and the step alone."""
    limits = SamplingLimits(config.max_new_tokens, config.temperature)
    seed = config.seed * 1_000_000 + step
    tokens = [prompt.tokens for prompt in prompts]
    return Rollout.of(tokens, generate(model, tokens, config.replies_per_prompt, limits, seed))


def advantages(
    model: LanguageModel,
    critic: Critic | None,
    rollout: Rollout,
    scores: Float[Tensor, " R"],
    config: PolicyConfig,
    starting: bool = False,
) -> tuple[Batch, dict[str, float]]:
    """The batch to learn from, and what is to be logged of it.

    While the critic is ``starting`` it knows nothing yet, and estimates that lean on it (λ < 1) would shrink the return
    of early tokens towards an arbitrary zero of the scores: then λ is 1, the return as it was.

    Log-probabilities are recomputed by the trainer's own path rather than taken from the sampler, so that every ratio
    is exactly 1 before the first step; the gap between the two is logged.
    """
    old = forward_all(model, critic, rollout, config.temperature, config.row_tokens)
    with model.reference() as reference:
        before = forward_all(reference, None, rollout, config.temperature, config.row_tokens)
    mask = rollout.loss_mask
    scores = scores - config.missing_end_penalty * (~rollout.finished).float()
    rewards = token_rewards(scores, old.logprobs, before.logprobs, mask, config.kl_coef)
    kl = divergence(old.logprobs, before.logprobs, mask)
    metrics = {
        "kl": kl.k1.mean().item(),
        "root_kl": max(kl.k1.mean().item(), 0.0) ** 0.5,
        "kl_k3": kl.k3.mean().item(),
        "entropy": old.entropy[mask].mean().item(),
        "length": rollout.lengths.mean().item(),
        "finished": rollout.finished.float().mean().item(),
        "logprob_gap": (old.logprobs - rollout.sampled_logprobs)[mask].abs().max().item(),
    }
    if critic is None:
        raw = leave_one_out(rewards, mask, config.replies_per_prompt)
        return Batch(rollout, old, kl.k1, whiten(raw, mask), None), metrics
    gae_lambda = 1.0 if starting else config.gae_lambda
    raw, returns = generalised_advantages(rewards, old.values, mask, config.gamma, gae_lambda)
    spread = returns[mask].var(unbiased=False).item()
    unexplained = (returns - old.values)[mask].var(unbiased=False).item()
    metrics["explained_variance"] = 1 - unexplained / spread if spread > 0 else 0.0
    return Batch(rollout, old, kl.k1, whiten(raw, mask), returns), metrics


def _has_parted(training: Training, config: PolicyConfig) -> bool:
    """Whether the run is to end here, before its last update."""
    return config.stop_when_parted and find_parting(training.history) is not None


def _seen(metrics: Mapping[str, float]) -> str:
    test = f"  test {metrics['test_score']:+.2f}" if "test_score" in metrics else ""
    return f"score {metrics['score']:+.2f}{test}  KL {metrics['kl']:.2f}"


def _try_out(run: Run, training: Training, judges: Judges, material: Prompts, config: PolicyConfig) -> None:
    """Answer the held-out prompts and keep the texts in samples.jsonl."""
    if not material.trial:
        return
    rollout = sample(training.model, material.trial, -1, config)
    judged, _ = score(training.model, judges, material.trial, rollout)
    rows = trial_rows(training.model, judged, rollout, config.temperature, config.row_tokens)
    run.replace_samples(training.step, rows)


def _finish(run: Run, training: Training, judges: Judges, material: Prompts) -> dict[str, Any]:
    """Write the policy, then the result that declares the run finished."""
    run.save_model(training.model.save_trained)
    trial = run.samples("trial")
    result: dict[str, Any] = {
        "updates": training.step,
        "seconds": sum(row["seconds"] for row in training.history),
        "prompts": {
            "trained_on": len(material.lessons),
            "held_out": len(material.trial),
            "too_long": material.left_out,
        },
        "before": summary([row for row in trial if row["step"] == 0]),
        "after": summary([row for row in trial if row["step"] == training.step]),
        "kept": run.kept_steps(),
    }
    if judges.test is not None:
        parting = find_parting(training.history)
        result["parted"] = None if parting is None else parting.json()
    run.finish(result)
    return result
