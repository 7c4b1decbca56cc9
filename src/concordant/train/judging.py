"""Replies as text before the preference models: the one that trains the policy, and one that only looks on (§4.2).

What is read from the same texts, and from no score, stands here too: refusals, and how much replies repeat themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.reply_signs import distinct_share, refusal_share
from concordant.sampler import BatchScorer
from concordant.train.policy_prompts import Prompt
from concordant.train.rollout import Rollout

JUDGED_METRICS = {
    "score": "mean score of the replies by the PM that trains the policy",
    "score_se": "standard error of that mean, over prompts",
    "score_sd": "standard deviation of the replies' scores; at 0 there is nothing to learn",
    "test_score": "with --test-pm: mean score of the same replies by the PM that only looks on",
    "test_score_se": "standard error of that mean, over prompts",
    "refusals": "share of replies that begin by declining, by their phrases (English only)",
    "distinct_1": "distinct words over all words of the update's replies; only like lengths compare",
    "distinct_2": "the same of pairs of words",
    **{
        f"{objective}_{name}": f"{what}, of replies to prompts whose objective is {objective}"
        for objective in Objective
        for name, what in (("score", "mean score"), ("refusals", "share that declines"))
    },
}
"""Metrics of texts and scores. A test PM's, and those of an objective, are there only where it is."""


@dataclass(frozen=True, slots=True)
class Judges:
    """The preference models of a run.

    Attributes:
        train: gives the reward.
        test: scores the same replies and teaches nothing; where it parts from ``train``, the policy pleases one model
            and no longer people. It should have learned from other comparisons.
    """

    train: BatchScorer
    test: BatchScorer | None = None

    @property
    def all(self) -> list[BatchScorer]:
        """One or both."""
        return [self.train] if self.test is None else [self.train, self.test]


@dataclass(frozen=True, slots=True)
class Judged:
    """Texts of a rollout and their scores; (R,) tensors, prompt after prompt.

    Attributes:
        prompts: what was answered.
        replies: K texts a prompt.
        scores: by the train PM.
        test_scores: by the test PM, where there is one.
    """

    prompts: Sequence[Prompt]
    replies: Sequence[Sequence[str]]
    scores: Float[Tensor, " R"]
    test_scores: Float[Tensor, " R"] | None = None


def score(
    model: LanguageModel, judges: Judges, prompts: Sequence[Prompt], rollout: Rollout
) -> tuple[Judged, dict[str, float]]:
    """The PMs' scores, and what is to be logged of them and of the texts.

    The PMs are shown each reply's text, since their tokens may not be the policy's.

    Raises:
        UserError: a score is not finite.
    """
    replies = [[model.format.text(tokens) for tokens in row.replies] for row in rollout.rows]
    items = [(prompt.conversation, texts) for prompt, texts in zip(prompts, replies, strict=True)]
    test = None if judges.test is None else _scores(judges.test, items, "test preference model")
    judged = Judged(prompts, replies, _scores(judges.train, items, "preference model"), test)
    return judged, judged_metrics(judged)


def _scores(pm: BatchScorer, items: Sequence[tuple[Conversation, Sequence[str]]], name: str) -> Float[Tensor, " R"]:
    scores = torch.tensor([value for values in pm.score_many(items) for value in values])
    if not scores.isfinite().all():
        raise UserError(
            f"the {name} gave a score that is not finite ({scores[~scores.isfinite()][0].item()}); check it with "
            "'concordant evaluate pm'"
        )
    return scores


def judged_metrics(judged: Judged) -> dict[str, float]:
    """``JUDGED_METRICS`` of these replies."""
    texts = [text for group in judged.replies for text in group]
    mean, error = mean_and_error(judged.scores, len(judged.replies[0]))
    metrics = {"score": mean, "score_se": error, "score_sd": judged.scores.std(unbiased=False).item()}
    if judged.test_scores is not None:
        metrics["test_score"], metrics["test_score_se"] = mean_and_error(judged.test_scores, len(judged.replies[0]))
    metrics |= {"refusals": refusal_share(texts)}
    metrics |= {f"distinct_{n}": distinct_share(texts, n) for n in (1, 2)}
    owners = [prompt.objective for prompt, group in zip(judged.prompts, judged.replies, strict=True) for _ in group]
    for objective in Objective:
        places = [place for place, owner in enumerate(owners) if owner is objective]
        if places:
            metrics[f"{objective}_score"] = judged.scores[places].mean().item()
            metrics[f"{objective}_refusals"] = refusal_share([texts[place] for place in places])
    return metrics


def mean_and_error(scores: Float[Tensor, " R"], replies_per_prompt: int) -> tuple[float, float]:
    """(mean, its standard error) of scores that come prompt by prompt.

    The error is over prompts, not replies: replies to one prompt share most of what makes their score. With a single
    prompt it is 0, because nothing can be said.
    """
    means = scores.view(-1, replies_per_prompt).mean(dim=1)
    error = means.std().item() / len(means) ** 0.5 if len(means) > 1 else 0.0
    return scores.mean().item(), error
