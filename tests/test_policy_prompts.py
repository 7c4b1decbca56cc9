"""Prompts of a run: none is a clear error; the rest is shown by whole runs (``tests/pipeline``)."""

import pytest

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.train.policy_prompts import Prompts
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel
from toy_model import ToyModels


class Narrow(LetterModel):
    """A PM that has no room after long messages."""

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        return len(prompt.turns[-1].text) < 20


def test_prompts_that_do_not_fit_one_of_the_models_are_counted(toy: ToyModels) -> None:
    asked = {Conversation().human(f"question {number}"): Objective.HARMLESS for number in range(8)}
    asked[Conversation().human("a message that is rather long")] = Objective.HELPFUL
    base, config = LanguageModel.load(toy.chat), PolicyConfig(max_new_tokens=8, trial_prompts=2)
    found = Prompts.split(dict(asked), base, [LetterModel(), Narrow()], config)
    assert (len(found.lessons), len(found.trial), found.left_out) == (6, 2, 1)
    for prompt in (*found.lessons, *found.trial):
        assert prompt.tokens == base.format.prompt(prompt.conversation)
        assert prompt.objective is Objective.HARMLESS
    assert Prompts.split(dict(asked), base, [LetterModel()], config).left_out == 0


def test_without_prompts_there_is_nothing_to_do(toy: ToyModels) -> None:
    with pytest.raises(UserError, match="there is no prompt to train on; give files that hold at least one"):
        Prompts.split({}, LanguageModel.load(toy.chat), [LetterModel()], PolicyConfig())
