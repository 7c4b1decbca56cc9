"""The doctor's look at a policy run: whether it began as PPO must, and what its record says of every update.

The first are findings about the model as it was before training (``models/policy_checks.py``); the second are read from
metrics.jsonl: a divergence that was not 0 before the first update, and how far sampler and trainer were apart.
"""

from collections.abc import Sequence

from concordant.evaluate.doctor_parts import Verdict, within
from concordant.models.policy_checks import REPLY_LIMIT, Finding
from concordant.runs import Json

GAP_LIMIT = 0.1
"""Log-probabilities of sampler and trainer that are 0.1 nats apart move a ratio by half of PPO's clip."""


def verdicts_of(findings: Sequence[Finding]) -> list[Verdict]:
    """Findings as the doctor's verdicts, named so that they stand apart from those of the model that came out."""
    return [
        Verdict(f"PPO: {found.check}", "ok" if found.sound else "wrong", found.meaning, found.measured, found.limit)
        for found in findings
    ]


def recorded_verdicts(rows: Sequence[Json]) -> list[Verdict]:
    """What a run's metrics say.

    Args:
        rows: of metrics.jsonl, oldest first; of an empty record nothing is said.
    """
    first = [abs(float(row["kl"])) for row in rows if row["step"] == 1 and row.get("kl") is not None]
    gaps = [float(row["logprob_gap"]) for row in rows if row.get("logprob_gap") is not None]
    found = []
    if first:
        found.append(
            within(
                "PPO: recorded KL",
                first[0],
                REPLY_LIMIT,
                "the divergence was 0 on the samples before the first update",
                "the divergence was not 0 on the samples before the first update",
            )
        )
    if gaps:
        found.append(
            within(
                "PPO: recorded gap",
                max(gaps),
                GAP_LIMIT,
                f"sampler and trainer agreed about every drawn token of {len(gaps):,} updates",
                "sampler and trainer were apart by more than half of PPO's clip at some update",
            )
        )
    return found
