"""Which comparisons a preference model is trained on, and what it refuses. Whole runs: ``tests/pipeline``."""

from pathlib import Path
from typing import Any

import pytest

from concordant.comparison import Comparison, Objective, Preference
from concordant.config import PreferenceModelConfig
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from concordant.train.pm import comparison_rows, train_pm
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

UNUSABLE = [
    preference("how", "yes", "no", strength=1),
    preference("how", "same", "same"),
    preference("how", "yes", "  "),
    preference("how", "yes", "long " * 80),
    Preference(Comparison(Conversation().human("a").assistant("b"), "yes", "no"), "a", Objective.HELPFUL),
    preference("how", "same", "same"),
]
REASONS = {
    "weakest strength": 1,
    "equal replies": 2,
    "empty reply": 1,
    "longer than the context": 1,
    "prompt does not end on a human turn": 1,
}


def train(run: Path, model: PreferenceModel, preferences: list[Preference], **settings: Any) -> dict[str, Any]:
    config = PreferenceModelConfig(**{"learning_rate": 5e-3, "warmup_steps": 2, "batch_size": 8, **settings})
    return train_pm(Run.begin(run, "pm", {}, {}), model, preferences, config, lambda *_: None)


@pytest.fixture
def model(toy: ToyModels) -> PreferenceModel:
    return PreferenceModel.from_language_model(toy.chat, seed=0, max_tokens=200)


def test_the_chosen_reply_comes_first(model: PreferenceModel) -> None:
    swapped = preference("how", "yes", "no", strength=3).swap()
    rows, dropped, kinds = comparison_rows(model, [swapped])
    tokens = [model.format.text(reply) for reply in rows[0].replies]
    assert (tokens, dict(dropped), dict(kinds)) == (["yes", "no"], {}, {"unknown": 1})


def test_what_teaches_nothing_is_dropped_and_counted(model: PreferenceModel, tmp_path: Path) -> None:
    rows, dropped, _ = comparison_rows(model, [*UNUSABLE, preference("how", "yes", "no", strength=2)])
    assert (len(rows), dict(dropped)) == (1, REASONS)
    result = train(tmp_path / "run", model, [*UNUSABLE, *good_over_bad(8)])
    assert (result["comparisons"], result["dropped"]) == (8, REASONS)


@pytest.mark.parametrize(
    ("preferences", "said"), [(UNUSABLE, "2 equal replies, 1 weakest strength, "), ([], "the set is empty")]
)
def test_nothing_usable_is_refused(
    preferences: list[Preference], said: str, model: PreferenceModel, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"none of the {len(preferences)} comparisons can be used .{said}"):
        train(tmp_path / "run", model, preferences)


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_as_many_frozen_layers_as_there_are_is_refused(lora_rank: int, model: PreferenceModel, tmp_path: Path) -> None:
    """Freezing none at all is what such a setting would come to with LoRA, if peft decided."""
    with pytest.raises(UserError, match=r"pm\.frozen_layers is 2, and the model has 2 layers; leave at least one"):
        train(tmp_path / "run", model, good_over_bad(8), frozen_layers=2, lora_rank=lora_rank)


def test_a_loss_that_is_not_finite_stops_the_run(model: PreferenceModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the loss became .* at step [23]; .* lower pm.learning_rate .now 1e\+30."):
        train(tmp_path / "run", model, good_over_bad(40), learning_rate=1e30, checkpoint_seconds=0)
    assert not (tmp_path / "run/result.json").exists()
