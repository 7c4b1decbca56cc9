"""The trial of a policy: one row a reply, and what its rows come to."""

import pytest
import torch

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.train.judging import Judged
from concordant.train.policy_prompts import Prompt
from concordant.train.rollout import Rollout
from concordant.train.trial import reply_rows, summary, trial_rows
from toy_model import ToyModels


def test_a_summary() -> None:
    rows = [
        {"trial": 0, "score": 1.0, "kl": 0.5, "tokens": 4, "finished": True},
        {"trial": 0, "score": 3.0, "kl": -0.5, "tokens": 8, "finished": False},
        {"trial": 1, "score": 5.0, "kl": 3.0, "tokens": 6, "finished": True},
        {"trial": 1, "score": 7.0, "kl": 1.0, "tokens": 6, "finished": True},
    ]
    # Means of the prompts 2 and 6: standard deviation √8, error 2.
    expected = {"n": 4, "score": 4.0, "score_se": 2.0, "kl": 1.0, "tokens": 6.0, "finished": 0.75}
    assert summary(rows) == pytest.approx(expected)
    assert summary([]) == {}
    for row in rows:
        row["test_score"] = -row["score"]
    assert summary(rows) == pytest.approx({**expected, "test_score": -4.0, "test_score_se": 2.0})


def test_rows(toy: ToyModels) -> None:
    """Prompt, text, and the log-ratio against the adapter switched off."""
    model = LanguageModel.load(toy.chat).with_lora(rank=4, seed=0)
    prompts = [Conversation().human("Hi").assistant("Hello").human("é?"), Conversation().human("no")]
    replies = [["Yes", "So so"], ["é", "."]]
    sampled = [[SampledReply(model.format.reply(text), [-1.0] * 20, True) for text in group] for group in replies]
    for group in sampled:
        for reply in group:
            reply.logprobs = reply.logprobs[: len(reply.tokens)]
    rollout = Rollout.of([model.format.prompt(prompt) for prompt in prompts], sampled)
    asked = [Prompt(prompts[0], [], Objective.HARMLESS), Prompt(prompts[1], [])]
    judged = Judged(asked, replies, torch.tensor([0.5, 1.5, 2.5, 3.5]))
    rows = trial_rows(model, judged, rollout, 1.0, 4096)
    assert [row["kl"] for row in rows] == [0.0] * 4  # a fresh adapter changes nothing
    assert [(row["trial"], row["reply"], row["score"]) for row in rows] == [
        (0, "Yes", 0.5),
        (0, "So so", 1.5),
        (1, "é", 2.5),
        (1, ".", 3.5),
    ]
    assert [row["objective"] for row in rows] == ["harmless", "harmless", None, None]
    assert rows[0]["prompt"] == [["human", "Hi"], ["assistant", "Hello"], ["human", "é?"]]
    assert [row["tokens"] for row in rows] == [len(reply.tokens) for group in sampled for reply in group]
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
        tokens = torch.tensor([[*model.format.prompt(prompts[1]), *model.format.reply("é")]])
        size = len(model.format.reply("é"))

        def log_prob() -> float:
            distribution = torch.log_softmax(model.network(tokens).logits[0, -1 - size : -1], dim=-1)
            return float(distribution.gather(1, tokens[0, -size:, None]).sum())

        trained = log_prob()
        with model.network.disable_adapter():
            expected = trained - log_prob()
    found = trial_rows(model, judged, rollout, 1.0, 4096)[2]["kl"]
    assert abs(expected) > 0.01 and found == pytest.approx(expected, abs=1e-4)


def test_rows_of_an_update_bear_both_scores() -> None:
    prompt = Prompt(Conversation().human("Hi"), [1])
    rollout = Rollout.of([[1]], [[SampledReply([5, 6], [-1.0, -1.0], True), SampledReply([7], [-1.0], False)]])
    judged = Judged([prompt], [["Yes", "No"]], torch.tensor([0.5, 1.5]), torch.tensor([-1.0, -2.0]))
    rows = reply_rows(judged, rollout, torch.tensor([0.25, -0.5]))
    assert [(row["reply"], row["score"], row["test_score"], row["kl"], row["tokens"]) for row in rows] == [
        ("Yes", 0.5, -1.0, 0.25, 2),
        ("No", 1.5, -2.0, -0.5, 1),
    ]
    assert [row["finished"] for row in rows] == [True, False]
