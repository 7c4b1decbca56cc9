"""Several preference models as one scorer: the mean or the minimum of their scores, and how far they disagree.

Scores of different models are comparable only after each model's mean on one set of replies is subtracted (paper B.2:
several thousand held-out samples). The set is handed in and is the same for all members; its choices are not looked at.
Members get text, so each may have a tokenizer and a context of its own. Left out: weights of members, and training
them (``train pm`` with several seeds, or the two parts of a split).
"""

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float64

from concordant.comparison import Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.preference_model import PreferenceModel
from concordant.sampler import BatchScorer

Combine = Literal["mean", "minimum"]
COMBINES: tuple[str, ...] = get_args(Combine)

REFERENCE_SIZE = 1000
"""Comparisons of a reference set that are scored, two replies each (B.2: several thousand samples)."""

Item = tuple[Conversation, Sequence[str]]
_CHUNK = 32


@dataclass(frozen=True)
class Ensemble:
    """K preference models as one (the BatchScorer protocol). Shape letters: K members, N replies.

    Attributes:
        members: at least one.
        combine: "mean" of the members' scores, or their "minimum", which a policy can raise only by pleasing all.
        offsets: subtracted from the members' scores, one each: their means on the reference set.
    """

    members: tuple[BatchScorer, ...]
    combine: Combine
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.members or len(self.offsets) != len(self.members):
            raise ValueError(f"{len(self.members)} members and {len(self.offsets)} offsets: not one for one")

    @classmethod
    def of(cls, members: Sequence[BatchScorer], combine: Combine, reference: Sequence[Preference]) -> "Ensemble":
        """An ensemble whose members each have the mean score 0 on the reference set.

        Args:
            members: preference models.
            combine: how their scores become one.
            reference: comparisons, both replies of which are scored; the first REFERENCE_SIZE that fit every member.

        Raises:
            UserError: none of them fits every member.
        """
        return cls.around(members, combine, [(one.prompt, [one.chosen, one.rejected]) for one in reference])

    @classmethod
    def around(cls, members: Sequence[BatchScorer], combine: Combine, reference: Iterable[Item]) -> "Ensemble":
        """``of`` with any replies as the reference set: prompts, each with its replies.

        Raises:
            UserError: none of them fits every member.
        """
        fitting = (
            (prompt, replies)
            for prompt, replies in reference
            if all(member.row(prompt, replies) is not None for member in members)
        )
        items = list(islice(fitting, REFERENCE_SIZE))
        if not items:
            raise UserError(
                "none of the reference replies fits the context of every preference model; "
                "give others, on which the models' scores can be made comparable"
            )
        means = [float(np.mean([value for values in _scores(member, items) for value in values])) for member in members]
        return cls(tuple(members), combine, tuple(means))

    @property
    def max_tokens(self) -> int:
        """The smallest context of a member, in that member's tokens."""
        return min(member.max_tokens for member in self.members)

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        """Whether every member can score a reply of so many of its tokens."""
        return all(member.has_room(prompt, reply_tokens) for member in self.members)

    def row(self, prompt: Conversation, replies: Sequence[str]) -> Sized | None:
        """The tokens in which these replies are longest, or None where a member cannot score them."""
        rows = [member.row(prompt, replies) for member in self.members]
        fitting = [row for row in rows if row is not None]
        return max(fitting, key=len) if len(fitting) == len(rows) else None

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        """One score a reply (the Scorer protocol)."""
        return self.score_many([(prompt, replies)])[0]

    def score_many(self, items: Sequence[Item]) -> list[list[float]]:
        """The combined scores of the replies to each prompt.

        Raises:
            UserError: a reply does not fit a member's context.
        """
        scores = [[value for values in member.score_many(items) for value in values] for member in self.members]
        flat = np.array(scores, dtype=np.float64).reshape(len(self.members), -1)
        return self._apart(items, self.merge(flat)[0])

    def merge(self, scores: Float64[np.ndarray, "K N"]) -> tuple[Float64[np.ndarray, " N"], Float64[np.ndarray, " N"]]:
        """(combined score of each reply, standard deviation over the members), each member's offset taken off.

        Args:
            scores: (K, N) the members' own. The standard deviation is that of these K alone (divided by K).
        """
        judged = scores - np.array(self.offsets)[:, None]
        combined = judged.min(axis=0) if self.combine == "minimum" else judged.mean(axis=0)
        return np.asarray(combined), np.asarray(judged.std(axis=0))

    @staticmethod
    def _apart(items: Sequence[Item], flat: Float64[np.ndarray, " N"]) -> list[list[float]]:
        """The replies' numbers, prompt by prompt."""
        numbers = iter(flat.tolist())
        return [[next(numbers) for _ in replies] for _, replies in items]


def load_scorer(
    paths: Sequence[Path],
    combine: Combine = "mean",
    reference: Sequence[Preference] = (),
    device: str = "cpu",
) -> BatchScorer:
    """A preference model from one folder, or the ensemble of several.

    Args:
        paths: folders of preference models, or of the runs that made them.
        combine: how several become one; one stays as it is.
        reference: comparisons on which the scores are made comparable; not needed for one model.
        device: where they score.

    Raises:
        UserError: a folder holds no preference model or is named twice, or several come without a reference.
    """
    members = load_members(paths, device)
    if len(members) == 1:
        return members[0]
    if not reference:
        raise UserError(
            f"the scores of {len(members)} preference models can be compared only on reference comparisons; give some"
        )
    return Ensemble.of(members, combine, reference)


def load_members(paths: Sequence[Path], device: str = "cpu") -> list[PreferenceModel]:
    """The preference models of several folders.

    Raises:
        UserError: a folder holds no preference model, or is named twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"one preference model is named twice among {', '.join(map(str, paths))}; name each once")
    return [PreferenceModel.load(path, device) for path in paths]


def _scores(member: BatchScorer, items: Sequence[Item]) -> list[list[float]]:
    """A member's scores, in bounded parts."""
    return [
        values for start in range(0, len(items), _CHUNK) for values in member.score_many(items[start : start + _CHUNK])
    ]
