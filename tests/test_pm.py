"""Which comparisons a preference model is trained on, and what it refuses. Whole runs: ``tests/pipeline``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import AdamW

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.checkpoints import Checkpoint
from concordant.models.machine import Machine
from concordant.models.parallel import Team
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch
from concordant.runs import Run
from concordant.train.course import Course
from concordant.train.lessons import Lesson, Lessons
from concordant.train.pm import _gradient, _Training, model_to_train, train_pm
from concordant.train_config import PreferenceModelConfig
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels, make_untied

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
    (lesson,) = Lessons.of(model, [swapped], PreferenceModelConfig()).rows
    tokens = [model.format.text(reply) for reply in lesson.row.replies]
    assert (tokens, lesson.worker_kind) == (["yes", "no"], "unknown")


def test_what_teaches_nothing_is_dropped_and_counted(model: PreferenceModel, tmp_path: Path) -> None:
    lessons = Lessons.of(model, [*UNUSABLE, preference("how", "yes", "no", strength=2)], PreferenceModelConfig())
    assert (len(lessons.rows), lessons.said()["dropped"]) == (1, REASONS)
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
    with pytest.raises(UserError, match=r"the loss became .* at step [23]: .* lower learning_rate .now 1e\+30."):
        train(tmp_path / "run", model, good_over_bad(40), learning_rate=1e30, checkpoint_seconds=0)
    assert not (tmp_path / "run/result.json").exists()


def harmful(item: Preference) -> Preference:
    return replace(item, objective=Objective.HARMLESS)


def gradient_of(
    toy: ToyModels, items: list[Preference], folder: Path | None = None, **settings: Any
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """(metrics, gradient) of one batch of all items, with weights in float64 so that sums can be compared."""
    config = PreferenceModelConfig(**{"gradient_clip": 1e9, **settings})
    fresh = model_to_train(folder or toy.chat, config)
    fresh.network.double().requires_grad_(True)
    lessons = Lessons.of(fresh, items, config.model_copy(update={"order": "given"}))
    course = Course(fresh.network, AdamW(fresh.network.parameters()), floor=0.7)
    training = _Training(fresh, lessons, course, Machine("cpu", 1, "float32", {}), Team())
    metrics = _gradient(training, lessons.rows, config)
    named = fresh.network.named_parameters()
    return metrics, {name: weight.grad.clone() for name, weight in named if weight.grad is not None}


def same_gradient(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], factor: float = 1.0) -> None:
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient * factor, atol=1e-7, rtol=1e-4)


UNEVEN = [*good_over_bad(5), preference("how", "good " * 20, "bad"), preference("a " * 30, "good", "bad " * 9)]


@pytest.mark.parametrize("settings", [{}, {"lm_coef": 0.7}, {"lm_coef": 0.7, "gradient_checkpointing": True}])
def test_the_gradient_is_the_same_in_however_many_passes(settings: dict[str, Any], toy: ToyModels) -> None:
    """One pass over all, three or so, and one for each comparison, for replies of very different lengths."""
    metrics, whole = gradient_of(toy, UNEVEN, row_tokens=10**6, **settings)
    for row_tokens in (150, 64):
        again, parts = gradient_of(toy, UNEVEN, row_tokens=row_tokens, **settings)
        same_gradient(whole, parts)
        assert again == pytest.approx(metrics, rel=1e-5)


def test_the_loss_on_text_is_a_mean_over_the_tokens_of_the_batch(toy: ToyModels, tmp_path: Path) -> None:
    """It adds to the gradient in proportion to its weight, and trains a head that the base model has of its own."""
    _, plain = gradient_of(toy, UNEVEN)
    metrics, once = gradient_of(toy, UNEVEN, lm_coef=1.0)
    _, twice = gradient_of(toy, UNEVEN, lm_coef=2.0)
    for name, gradient in plain.items():
        torch.testing.assert_close(twice[name] - gradient, 2 * (once[name] - gradient), atol=1e-7, rtol=1e-4)
    alone = [gradient_of(toy, [item], lm_coef=1.0)[0]["lm_loss"] for item in UNEVEN]
    fresh = PreferenceModel.start(toy.chat, 0)
    rows = [fresh.row(item.prompt, [item.chosen]) for item in UNEVEN]
    tokens = [len(row.replies[0]) - 1 for row in rows if row is not None]
    mean = sum(loss * count for loss, count in zip(alone, tokens, strict=True)) / sum(tokens)
    assert metrics["lm_loss"] == pytest.approx(mean, rel=1e-6)
    _, own = gradient_of(toy, UNEVEN, make_untied(toy.chat, tmp_path / "untied"), lm_coef=1.0)
    assert own["pmp_language_head.weight"].abs().max() > 0


def test_lambda_weighs_harmless_comparisons_alone(toy: ToyModels) -> None:
    """gradient(λ) = gradient of the helpful part + λ · that of the harmless one, both over all comparisons."""
    helpful, harmless = UNEVEN[:4], [harmful(item) for item in UNEVEN[4:]]
    share = [len(part) / len(UNEVEN) for part in (helpful, harmless)]
    of_helpful, of_harmless = (gradient_of(toy, part)[1] for part in (helpful, harmless))
    even, _ = gradient_of(toy, [*helpful, *harmless])
    for weight in (1.0, 3.0):
        metrics, found = gradient_of(toy, [*helpful, *harmless], harmless_weight=weight)
        expected = {name: of_helpful[name] * share[0] + weight * of_harmless[name] * share[1] for name in of_helpful}
        same_gradient(expected, found)
        assert metrics["loss"] == even["loss"] and metrics["accuracy"] == even["accuracy"]
    same_gradient(of_harmless, gradient_of(toy, harmless, harmless_weight=3.0)[1], factor=3.0)


def test_weights_come_from_the_objective(model: PreferenceModel) -> None:
    config = PreferenceModelConfig(harmless_weight=2.5, order="given")
    lessons = Lessons.of(model, [UNEVEN[0], harmful(UNEVEN[1])], config).rows
    assert [lesson.weight for lesson in lessons] == [1.0, 2.5]
    assert Lesson(lessons[0].row).weight == 1.0


class Fate(PreferenceModel):
    """A model whose scores turn against it after a number of batches."""

    batches: list[int]
    gap: float
    after: int

    @classmethod
    def of(cls, model: PreferenceModel, gap: float, after: int) -> "Fate":
        made = cls(model.network, model.format, model.max_tokens, model.row_tokens)
        for name, value in (("batches", []), ("gap", gap), ("after", after)):
            object.__setattr__(made, name, value)
        return made

    def scores(self, batch: RowBatch, hidden: torch.Tensor | None = None) -> torch.Tensor:
        found = super().scores(batch, hidden)
        self.batches.append(len(found))
        worse = torch.tensor([0.0, self.gap]).repeat(len(found) // 2)
        return found + worse if len(self.batches) > self.after else found


def test_a_run_that_stays_far_from_a_coin_stops_at_its_last_good_checkpoint(
    model: PreferenceModel, tmp_path: Path
) -> None:
    """A gap of 9 the wrong way is a loss of 9: after twenty good steps, four make a mean of 2.35."""
    fate = Fate.of(model, gap=9.0, after=20)
    said = r"the mean loss of 20 steps is 2\.3\d .* at step 24: the run diverged; its last good checkpoint is kept"
    with pytest.raises(UserError, match=said):
        train(tmp_path / "run", fate, good_over_bad(240), learning_rate=1e-9, checkpoint_seconds=0)
    saved = Checkpoint.load(tmp_path / "run/checkpoint")
    assert saved is not None and saved.values == {"step": 19}
    assert len(Run(tmp_path / "run").metrics()) == 23


def test_a_bad_step_or_two_stop_nothing(model: PreferenceModel, tmp_path: Path) -> None:
    """Of nineteen steps nothing is said, a mean of 1.9 is near enough, and a start that is sure and wrong may be so."""
    train(tmp_path / "few", Fate.of(model, gap=9.0, after=1), good_over_bad(19 * 8), learning_rate=1e-9)
    train(tmp_path / "near", Fate.of(model, gap=1.7, after=2), good_over_bad(25 * 8), learning_rate=1e-9)
    train(tmp_path / "began so", Fate.of(model, gap=9.0, after=0), good_over_bad(25 * 8), learning_rate=1e-9)


def test_without_a_checkpoint_none_is_promised(model: PreferenceModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the run diverged; it had no checkpoint yet; begin another one with a lower"):
        train(tmp_path / "run", Fate.of(model, float("nan"), after=2), good_over_bad(40))
