"""n scored replies to every prompt, kept as they come: the material of ``best_of.py``, in a run's folder.

Each row of metrics.jsonl is one prompt with its replies and their scores; a killed run goes on after the last whole
group of prompts and ends with the same rows, since a group's random numbers depend on the seed and its place alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.best_of import best_of_points
from concordant.runs import Json, Run, Watch
from concordant.sampler import BatchScorer, Sampler

MOST_REPLIES = 1000
"""To one prompt: the sampler's random streams are told apart up to here."""
_ROWS = 64
"""Replies in flight at once."""

BEST_OF_METRICS = {
    "step": "prompts so far; the row describes one prompt",
    "prompt": "its turns: [speaker, text]",
    "opening": "hash of its first human turn; errors are clustered by it",
    "replies": "the n replies",
    "tokens": "tokens of each reply",
    "finished": "whether each reply ended by itself",
    "score": "score of each reply by the preference model that chooses",
    "test_score": "with --test-pm: score of each reply by the one that has no say",
}
"""Every key of a best-of run's metrics.jsonl, with its meaning."""


@dataclass(frozen=True, slots=True)
class BestOfPlan:
    """What is drawn.

    Attributes:
        n: replies to each prompt, 2 to ``MOST_REPLIES``.
        seed: of every draw.
        left_out: how many prompts were too long; goes into the result.
    """

    n: int
    seed: int = 0
    left_out: int = 0


def sample_and_score(
    run: Run,
    sampler: Sampler,
    scorers: Mapping[str, BatchScorer],
    prompts: Sequence[Conversation],
    plan: BestOfPlan,
    watch: Watch,
) -> Json:
    """Sample, score and log what is still missing; returns the run's result: points for every k, lengths, counts.

    Args:
        run: its folder; one that was begun before is gone on with.
        sampler: writes the replies.
        scorers: "score" chooses; "test_score", where there is one, looks at the same replies and has no say.
        prompts: each ends on a human turn and fits sampler and scorers.
        plan: how many replies, and the seed.
        watch: told of progress in prompts.

    Raises:
        UserError: a score is not finite.
    """
    with run.alone():
        together = max(1, _ROWS // plan.n)
        done = len(run.metrics()) // together * together if len(run.metrics()) < len(prompts) else len(prompts)
        run.rewind(done)
        watch(done, len(prompts), "")
        for start in range(done, len(prompts), together):
            group = prompts[start : start + together]
            replies = sampler.sample(group, plan.n, plan.seed * 1_000_000 + start)
            texts = [[reply.text for reply in of_one] for of_one in replies]
            scores = {name: scorer.score_many(list(zip(group, texts, strict=True))) for name, scorer in scorers.items()}
            for place, prompt in enumerate(group):
                run.log(
                    {
                        "step": start + place + 1,
                        "prompt": [[turn.speaker.value, turn.text] for turn in prompt.turns],
                        "opening": prompt.split_key,
                        "replies": texts[place],
                        "tokens": [reply.tokens for reply in replies[place]],
                        "finished": [reply.finished for reply in replies[place]],
                        **{name: _finite(values[place]) for name, values in scores.items()},
                    }
                )
            watch(start + len(group), len(prompts), "")
        result = {**summary_of_best(run.metrics()), "left_out": plan.left_out}
        run.finish(result)
        return result


def summary_of_best(rows: Sequence[Json]) -> dict[str, Any]:
    """What the rows say: n, the points, and how long the best of n are beside a reply as it comes.

    Args:
        rows: of ``sample_and_score``; at least one.
    """
    scores = np.array([row["score"] for row in rows], dtype=np.float64)
    judged = np.array([row["test_score"] for row in rows], dtype=np.float64) if "test_score" in rows[0] else None
    tokens = np.array([row["tokens"] for row in rows], dtype=np.float64)
    finished = np.array([row["finished"] for row in rows], dtype=np.float64)
    best = scores.argmax(axis=1)[:, None]
    points = best_of_points(scores, [row["opening"] for row in rows], judged)
    return {
        "prompts": len(rows),
        "openings": len({row["opening"] for row in rows}),
        "n": int(scores.shape[1]),
        "length": float(tokens.mean()),
        "length_of_best": float(np.take_along_axis(tokens, best, axis=1).mean()),
        "finished": float(finished.mean()),
        "finished_of_best": float(np.take_along_axis(finished, best, axis=1).mean()),
        "points": [point.json() for point in points],
    }


def _finite(scores: list[float]) -> list[float]:
    if not np.isfinite(scores).all():
        raise UserError("the preference model gave a score that is not finite; check it with 'concordant evaluate pm'")
    return scores
