"""Replies before the preference models: what they are shown, and what is logged of scores and texts."""

import pytest
import torch

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.train.judging import JUDGED_METRICS, Judged, Judges, judged_metrics, mean_and_error, score
from concordant.train.policy import sample
from concordant.train.policy_prompts import Prompt
from concordant.train.rollout import Rollout
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel
from toy_model import ToyModels

PROMPTS = [Conversation().human(text) for text in ("how", "how do I bake bread", "é?")]


def drawn(model: LanguageModel, max_new_tokens: int = 12) -> tuple[list[Prompt], Rollout]:
    prompts = [Prompt(prompt, model.format.prompt(prompt)) for prompt in PROMPTS]
    config = PolicyConfig(replies_per_prompt=3, max_new_tokens=max_new_tokens)
    return prompts, sample(model, prompts, 0, config)


@pytest.fixture(scope="module")
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat)


def test_both_models_are_shown_the_same_conversations_and_text(model: LanguageModel) -> None:
    train, test = LetterModel(), LetterModel(-1.0)
    prompts, rollout = drawn(model)
    judged, metrics = score(model, Judges(train, test), prompts, rollout)
    (asked,) = train.asked
    assert test.asked == train.asked
    assert [prompt for prompt, _ in asked] == PROMPTS
    texts = [model.format.text(reply) for row in rollout.rows for reply in row.replies]
    assert [text for _, group in asked for text in group] == texts
    letters = [sum("a" <= letter <= "z" for letter in text) for text in texts]
    assert judged.scores.tolist() == pytest.approx([0.2 * number for number in letters])
    assert judged.test_scores is not None
    assert judged.test_scores.tolist() == [-1.0 * number for number in letters]
    assert metrics == judged_metrics(judged)


def test_a_model_is_not_shown_what_a_policy_without_template_wrote_as_the_human(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.plain)
    prompt = Prompt(PROMPTS[0], [11, 12])
    rollout = sample(model, [prompt], 0, PolicyConfig(replies_per_prompt=1, max_new_tokens=12))
    rollout.rows[0].replies[0][:] = model.tokenizer(" Yes.\n\nHuman:")["input_ids"]
    pm = LetterModel()
    judged, _ = score(model, Judges(pm), [prompt], rollout)
    assert pm.asked == [[(PROMPTS[0], ["Yes."])]]
    assert judged.replies == [["Yes."]] and judged.test_scores is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_is_refused(value: float, model: LanguageModel) -> None:
    prompts, rollout = drawn(model, max_new_tokens=60)
    for judges, name in (
        (Judges(LetterModel(value)), "the preference model"),
        (Judges(LetterModel(), LetterModel(value)), "the test preference model"),
    ):
        with pytest.raises(UserError, match=rf"{name} gave a score that is not finite \({value}\); check it with"):
            score(model, judges, prompts, rollout)


def test_the_error_is_over_prompts() -> None:
    """Means 1, 2 and 6 of three prompts: 3 in all, standard deviation √7, error √(7/3). Replies alone say less."""
    mean, error = mean_and_error(torch.tensor([0.0, 2.0, 2.0, 2.0, 5.0, 7.0]), replies_per_prompt=2)
    assert [mean, error] == pytest.approx([3.0, (7 / 3) ** 0.5])
    assert mean_and_error(torch.tensor([1.0, 5.0]), replies_per_prompt=2) == (3.0, 0.0)


def test_metrics_by_hand() -> None:
    """Two prompts, two replies each; the second is of red-team work and one of its replies declines.

    Words: "a b", "a b", "i can t help", "no": 9, of which 7 distinct; pairs 1 + 1 + 3, of which 4 are.
    """
    prompts = [Prompt(PROMPTS[0], [1]), Prompt(PROMPTS[1], [1], Objective.HARMLESS)]
    replies = [["a b", "A b."], ["I can't help", "no"]]
    found = judged_metrics(Judged(prompts, replies, torch.tensor([0.0, 2.0, 3.0, 7.0])))
    assert found == pytest.approx(
        {
            "score": 3.0,
            "score_se": 2.0,  # of 1 and 5: standard deviation √8, over √2
            "score_sd": (26 / 4) ** 0.5,
            "refusals": 0.25,
            "distinct_1": 7 / 9,
            "distinct_2": 4 / 5,
            "harmless_score": 5.0,
            "harmless_refusals": 0.5,
        }
    )
    assert found.keys() < JUDGED_METRICS.keys()
    both = judged_metrics(Judged(prompts, replies, torch.zeros(4), torch.tensor([1.0, 1.0, 2.0, 2.0])))
    assert [both["test_score"], both["test_score_se"]] == pytest.approx([1.5, 0.5])
    assert both.keys() | {"helpful_score", "helpful_refusals"} == JUDGED_METRICS.keys()
