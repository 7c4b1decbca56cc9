import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.models.option_scores import OptionScore, Question, option_scores
from toy_model import CONTEXT, ToyModels

QUESTIONS = [
    Question("how do I bake bread", (" take flour", " and water and salt", " wait")),
    Question("Question: what?\nAnswer: ", ("good", "bad answers are long", "7")),  # the space goes over
    Question("", ("hello there", "answers")),
    Question("good answers are short " * 40, (" and", " long and longer and the longest of all of them")),
]


def scores(model: LanguageModel, questions: list[Question], row_tokens: int = 4096) -> list[list[OptionScore]]:
    found: dict[tuple[int, int], OptionScore] = {}
    for group in option_scores(model, questions, row_tokens):
        for question, option, score in group:
            assert (question, option) not in found
            found[question, option] = score
    return [[found[place, k] for k in range(len(question.options))] for place, question in enumerate(questions)]


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
@pytest.mark.parametrize("row_tokens", [64, 4096])
def test_the_numbers_are_those_of_lm_eval(toy: ToyModels, kind: str, row_tokens: int) -> None:
    from lm_eval.models.huggingface import HFLM

    model = LanguageModel.load(getattr(toy, kind))
    assert len(model.tokenizer.encode(QUESTIONS[3].context)) > CONTEXT  # it loses its beginning
    theirs: Any = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=2, max_length=CONTEXT)
    for question, of_question in zip(QUESTIONS, scores(model, QUESTIONS, row_tokens), strict=True):
        requests = [SimpleNamespace(args=(question.context, option)) for option in question.options]
        for (logprob, greedy), ours in zip(theirs.loglikelihood(requests, disable_tqdm=True), of_question, strict=True):
            assert ours.logprob == pytest.approx(logprob, abs=1e-4)
            assert ours.greedy == greedy


def test_a_reply_is_scored_with_its_end_of_turn(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    talk = Conversation().human("hello")
    found = scores(model, [Question(talk, ("hi", "good answers"))])[0]
    prompt, reply = model.format.prompt(talk), model.format.reply("hi")
    with torch.inference_mode():
        logits = model.network(torch.tensor([prompt + reply])).logits[0].float().log_softmax(-1)
    by_hand = sum(float(logits[len(prompt) - 1 + k, token]) for k, token in enumerate(reply))
    assert found[0].logprob == pytest.approx(by_hand, abs=1e-4)
    assert found[0].tokens == len(reply)


def test_probabilities_of_all_single_tokens_sum_to_one(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.plain)
    ids = range(len(model.tokenizer))
    asked = tuple(model.tokenizer.decode([token]) for token in ids if len(model.tokenizer.decode([token])) == 1)
    found = scores(model, [Question("hello", tuple(text for text in asked if text.isascii() and not text.isspace()))])
    total = sum(math.exp(score.logprob) for score in found[0] if score.tokens == 1)
    assert 0 < total < 1
    assert sum(score.greedy for score in found[0]) <= 1


def test_an_option_that_fits_no_context_is_named(toy: ToyModels) -> None:
    model = LanguageModel.load(toy.chat)
    with pytest.raises(UserError, match=r"an option has \d+ tokens and the model's context 256"):
        scores(model, [Question("a", ("z" * 400,))])
