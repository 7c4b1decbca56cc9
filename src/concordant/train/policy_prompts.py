"""The prompts of a policy: which fit, which are held out, and which come in an update (paper §4.1).

The draw of an update is a function of seed and step alone, so that a resumed run needs no record of it. Left out: where
prompts come from, and the share of each objective, which are the caller's.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.sampler import BatchScorer
from concordant.train_config import PolicyConfig

_LONGER = 2
"""How many times longer a reply may be in a PM's tokens than in the policy's: their tokenizers may differ."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that waits for a reply.

    Attributes:
        conversation: what a PM is shown.
        tokens: what the policy is shown.
        objective: what a good reply is, where it is known; numbers are logged for each.
    """

    conversation: Conversation
    tokens: list[int]
    objective: Objective | None = None


@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts of a run.

    Attributes:
        lessons: to train on.
        trial: held out; the two share no opening.
        left_out: how many did not fit.
    """

    lessons: Sequence[Prompt]
    trial: Sequence[Prompt]
    left_out: int

    @classmethod
    def split(
        cls,
        conversations: Mapping[Conversation, Objective | None],
        base: LanguageModel,
        pms: Sequence[BatchScorer],
        config: PolicyConfig,
    ) -> "Prompts":
        """Those that fit the policy and every PM with a reply to come, the trial's openings cut off.

        Raises:
            UserError: there is no prompt, or none fits.
        """
        if not conversations:
            raise UserError("there is no prompt to train on; give files that hold at least one conversation")
        fitting = [
            Prompt(conversation, tokens, objective)
            for conversation, objective in conversations.items()
            if (tokens := base.fit(conversation, config.max_prompt_tokens, config.max_new_tokens)) is not None
            and all(pm.has_room(conversation, _LONGER * config.max_new_tokens) for pm in pms)
        ]
        openings = sorted({prompt.conversation.split_key for prompt in fitting})
        random.Random(f"trial:{config.seed}").shuffle(openings)
        held_out = set(openings[: min(config.trial_prompts, len(openings) // 4)])
        trial = [prompt for prompt in fitting if prompt.conversation.split_key in held_out][: config.trial_prompts]
        lessons = [prompt for prompt in fitting if prompt.conversation.split_key not in held_out]
        if not lessons:
            raise UserError(
                f"none of the {len(conversations)} prompts fits policy.max_prompt_tokens={config.max_prompt_tokens}, "
                f"the model's context, and the preference model's {min(pm.max_tokens for pm in pms)} tokens with a "
                f"reply of {config.max_new_tokens}; raise the first, lower policy.max_new_tokens, or collect "
                "conversations"
            )
        return cls(lessons, trial, len(conversations) - len(fitting))

    def drawn(self, step: int, config: PolicyConfig) -> list[Prompt]:
        """The prompts of an update: epoch after epoch in fresh orders."""
        drawn: list[Prompt] = []
        for place in range(step * config.prompts_per_update, (step + 1) * config.prompts_per_update):
            epoch, offset = divmod(place, len(self.lessons))
            drawn.append(self.lessons[_order(config.seed, epoch, len(self.lessons))[offset]])
        return drawn


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    """The order of an epoch; an update may reach into the next one."""
    return random.Random(f"prompts:{seed}:{epoch}").sample(range(count), count)
