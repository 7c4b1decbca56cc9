"""What a policy run writes down of an update: numbers in metrics.jsonl, now and then replies in samples.jsonl."""

from concordant.errors import UserError
from concordant.runs import Run
from concordant.train.judging import JUDGED_METRICS, Judged
from concordant.train.policy_state import Training, samples_of_an_update
from concordant.train.ppo_update import Batch
from concordant.train.trial import reply_rows
from concordant.train_config import PolicyConfig

POLICY_METRICS = {
    "step": "updates so far; the row describes the samples that the update learned from",
    "samples": "replies sampled so far",
    **JUDGED_METRICS,
    "kl": "KL(policy ‖ reference), k1: mean over replies of Σ log(π/π₀), nats per reply, signed",
    "root_kl": "its square root, of 0 where the estimate is below 0: the axis of Fig. 4 and 13",
    "kl_k3": "the same KL by k3, never negative and of less variance",
    "entropy": "mean entropy of the policy's next token, nats",
    "length": "mean tokens of a reply",
    "finished": "share of replies that ended by themselves",
    "logprob_gap": "largest |log-prob of the sampler − of the trainer| of any token: two paths through one network",
    "explained_variance": "gae: 1 − Var(return − V) / Var(return) before the update; 1 is a perfect critic",
    "policy_loss": "mean clipped loss of a token, over all passes",
    "value_loss": "gae: mean ½(V − return)² of a token, over all passes",
    "clip_fraction": "share of tokens whose ratio left 1 ± clip, over all passes",
    "ratio_max": "largest ratio new / old of any token",
    "grad_norm": "mean norm of the gradient before clipping",
    "learning_rate": "of the policy's weights",
    "seconds": "wall-clock seconds of the update",
}
"""Every key of a policy run's metrics.jsonl, with its meaning."""

_CONSTANT, _SAME = 3, 1e-6
"""So many updates in a row whose scores all lie this close together are a constant reward."""


def log(
    run: Run, training: Training, judged: Judged, batch: Batch, metrics: dict[str, float], config: PolicyConfig
) -> None:
    """Count the update, and write down what it learned from.

    Raises:
        UserError: the scores of the last updates are all the same.
    """
    training.step += 1
    row = {"step": training.step, "samples": training.step * samples_of_an_update(config), **metrics}
    run.log(row)
    training.history.append(row)
    if config.samples_every and training.step % config.samples_every == 0:
        rows = reply_rows(judged, batch.rollout, batch.kl)
        run.replace_samples(training.step, rows[:: config.replies_per_prompt], kind="update")
    _refuse_constant(training)


def _refuse_constant(training: Training) -> None:
    """Stop where nothing can be learned, rather than train on noise for hours."""
    rows = training.history[-_CONSTANT:]
    means = [row["score"] for row in rows]
    same = max(means) - min(means) < _SAME and all(row["score_sd"] < _SAME for row in rows)
    if len(rows) == _CONSTANT and same:
        raise UserError(
            f"the preference model gave every reply of {_CONSTANT} updates the same score ({means[-1]:+.4g}): there is "
            "nothing to learn; check it with 'concordant evaluate pm'"
        )
