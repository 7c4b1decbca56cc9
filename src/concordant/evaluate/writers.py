"""Human writers against a model, by a preference model (paper §6.1, Fig. 24).

The paper sampled 17 replies to each prompt of its writers and took the median by the preference model, not the best, so
that what is compared is what the model usually writes. People preferred those to the writers' in 56 or 57 %; the
preference model scored them higher by more. The votes of people are for ``evaluate elo``; this is the other half.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.evaluate.accuracy import credits
from concordant.evaluate.intervals import clustered_mean, share
from concordant.evaluate.score_spread import Scores, bin_edges, density, spread
from concordant.evaluate.scoring import RowScorer, score_items
from concordant.runs import Json, Watch


@dataclass(frozen=True, slots=True)
class Met:
    """A prompt that a person and a model answered.

    Attributes:
        prompt: what was asked.
        writer: the person's reply.
        median: the model's reply of median score.
        writer_score: score of the person's.
        median_score: score of the model's.
    """

    prompt: Conversation
    writer: str
    median: str
    writer_score: float
    median_score: float


def median_reply(replies: Sequence[str], scores: Sequence[float]) -> tuple[str, float] | None:
    """(reply, score) in the middle of the scores of all that say something, the lower of two middles; None: none does.

    Replies of white space alone are left out, as in the paper's App. C.
    """
    said = sorted((score, reply) for reply, score in zip(replies, scores, strict=True) if reply.strip())
    if not said:
        return None
    score, reply = said[(len(said) - 1) // 2]
    return reply, score


def measure_writers(
    model: RowScorer, written: Sequence[tuple[Conversation, str]], sampled: Sequence[Json], watch: Watch
) -> tuple[Json, list[Met]]:
    """Scores of the writers' replies beside those of the model's median replies to the same prompts.

    Args:
        model: the preference model that scored ``sampled``.
        written: prompts with the reply of a person.
        sampled: rows of a best-of run's metrics.jsonl.
        watch: told of writers' replies scored.

    Returns:
        ``{"n", "replies", "dropped", "writers", "median", "gap", "gap_se", "model_wins", "ci95", "edges",
        "densities"}`` and what was compared; ``gap`` is the mean of median less writer, clustered by opening.

    Raises:
        UserError: no prompt is in both.
    """
    answers = {_prompt(row): row for row in sampled}
    unmet = sum(prompt not in answers for prompt, _ in written)
    both = [(prompt, reply) for prompt, reply in written if prompt in answers]
    watch(0, len(both), "")
    scores = score_items(model, [(prompt, (reply,)) for prompt, reply in both], lambda done: watch(done, len(both), ""))
    met = list(_met(both, scores, answers))
    if not met:
        raise UserError(
            f"none of the {len(written)} prompts of the writers was answered by the model; sample replies to them with "
            "'concordant evaluate best-of WRITERS'"
        )
    openings = np.array([one.prompt.split_key for one in met], dtype=np.str_)
    writer = np.array([one.writer_score for one in met])
    median = np.array([one.median_score for one in met])
    zero = writer.mean()
    sides = {"writers": writer - zero, "median": median - zero}
    edges = bin_edges(np.concatenate(list(sides.values())))
    wins = share(credits(median - writer), openings)
    gap, error = clustered_mean(median - writer, openings)
    result: Json = {
        "n": len(met),
        "replies": max(len(answers[one.prompt]["replies"]) for one in met),
        "dropped": {
            reason: count
            for reason, count in (
                ("the model did not answer the prompt", unmet),
                ("longer than the context, or no reply of the model says anything", len(both) - len(met)),
            )
            if count
        },
        "writers": spread(Scores(sides["writers"], openings)),
        "median": spread(Scores(sides["median"], openings)),
        "gap": gap,
        "gap_se": error,
        "model_wins": wins.value,
        "ci95": list(wins.ci95),
        "edges": edges.tolist(),
        "densities": {name: density(values, edges) for name, values in sides.items()},
    }
    return result, met


def _met(
    both: Sequence[tuple[Conversation, str]],
    scores: Sequence[list[float] | None],
    answers: Mapping[Conversation, Json],
) -> Iterator[Met]:
    """What could be scored on both sides."""
    for (prompt, reply), score in zip(both, scores, strict=True):
        usual = median_reply(answers[prompt]["replies"], answers[prompt]["score"])
        if score is not None and usual is not None:
            yield Met(prompt, reply, usual[0], score[0], usual[1])


def _prompt(row: Json) -> Conversation:
    return Conversation(tuple(Turn(Speaker(speaker), text) for speaker, text in row["prompt"]))
