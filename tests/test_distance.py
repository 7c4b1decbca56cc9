"""The distance from the prompted teacher: by hand, per token, with documents as the units of the interval."""

import numpy as np
import pytest
import torch

from concordant.evaluate.distance import DISTANCE_FIELDS, Contest, _divergences, _summary, measure_distance
from concordant.evaluate.intervals import t95
from concordant.models.language_model import LanguageModel
from concordant.models.prompted import PromptedModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.models.text_rows import TextRow
from toy_model import ToyModels

PREFIX = [65, 66, 67]
ROWS = [
    TextRow([10, 11, 12, 40, 41], 2, "a", False),
    TextRow([10, 11, 13], 2, "a", False),
    TextRow([10, 50, 51, 52], 1, "b", True),
    TextRow([10, 60, 61], 1, "c", True),
    TextRow([10, 70], 1, "d", False),
]


def test_divergences_by_hand() -> None:
    """The teacher of test_coarse: ½, ¼, 0.15, 0.1 against a uniform model and against itself, with k = 2."""
    teacher = torch.tensor([[0.5, 0.25, 0.15, 0.1]], dtype=torch.float64).log()
    found = _divergences(teacher, torch.zeros(1, 4, dtype=torch.float64), teacher + 1, 2)
    values = {name: value.item() for name, value in found.items()}
    assert values == pytest.approx(
        {"base": 0.178321, "student": 0.0, "base_coarse": 0.173287, "student_coarse": 0.0}, abs=1e-6
    )


def test_intervals_by_hand() -> None:
    """Tokens 1, 2 of one document and 6 of another: mean 3, residuals −3 and 3, error √(2 · 18) / 3 = 2."""
    values = {name: np.array([1.0, 2.0, 6.0]) for name in ("base", "base_coarse")}
    values |= {name: np.array([0.5, 1.0, 3.0]) for name in ("student", "student_coarse")}
    found = _summary(values, np.array(["x", "x", "y"]))
    assert (found["tokens"], found["documents"], found["share"]) == (3, 2, pytest.approx(0.5))
    assert found["base"]["kl"] == pytest.approx(3) and found["student"]["kl_coarse"] == pytest.approx(1.5)
    assert found["base"]["ci95"] == pytest.approx([3 - 2 * t95(1), 3 + 2 * t95(1)])
    assert found["gain"]["ci95"] == pytest.approx([1.5 - t95(1), 1.5 + t95(1)])


def test_it_is_the_kl_of_the_whole_text(toy: ToyModels) -> None:
    """Against one text after another with the prompt written out; a student that is the base gains nothing."""
    model = LanguageModel.load(toy.chat)
    teacher = PromptedModel.after(PREFIX, model, 8)
    told: list[int] = []
    contest = Contest(teacher, model, model, 5, 300)
    found = measure_distance(contest, ROWS, 12, lambda done, total, seen: told.append(done))
    assert {*found, "dropped"} == DISTANCE_FIELDS.keys() and told[-1] == len(ROWS)

    def logprobs(tokens: list[int], row: TextRow) -> torch.Tensor:
        with torch.inference_mode():
            hidden = model.hidden(RowBatch.pack([SharedRow(tokens, [])]))[0]
            logits = model.causal.get_output_embeddings()(hidden[len(tokens) - row.counted - 1 : -1])
        return torch.log_softmax(logits.double(), dim=1)

    expected = {"plain text": 0.0, "dialogues": 0.0}
    for row in ROWS:
        whole, alone = logprobs([*PREFIX, *row.tokens], row), logprobs(row.tokens, row)
        expected["dialogues" if row.is_dialogue else "plain text"] += (whole.exp() * (whole - alone)).sum().item()
    assert found["tokens"] == 3 + 1 + 3 + 2 + 1 and found["documents"] == 4
    assert found["base"]["kl"] == pytest.approx(sum(expected.values()) / 10, rel=1e-4)
    for kind, tokens in (("plain text", 5), ("dialogues", 5)):
        assert found["by_kind"][kind]["base"]["kl"] == pytest.approx(expected[kind] / tokens, rel=1e-4)
    assert 0 < found["base"]["kl_coarse"] < found["base"]["kl"]
    assert found["gain"]["kl"] == 0 and not found["closer"]


def test_a_student_that_is_nearer_is_closer(toy: ToyModels) -> None:
    """Without a prompt the teacher is the model itself: as a student it is at 0, and another model is not."""
    model, other = LanguageModel.load(toy.chat), LanguageModel.load(toy.gpt2)
    found = measure_distance(
        Contest(PromptedModel.after([], model, 8), other, model, 5, 300), ROWS, 64, lambda *_: None
    )
    assert found["student"]["kl"] == pytest.approx(0, abs=1e-9) and found["share"] == pytest.approx(1)
    assert found["closer"]
