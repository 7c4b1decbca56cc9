"""One run, made once: trained, measured, and not again."""

from pathlib import Path

import pytest

from concordant.evaluate.run_material import load_evaluation
from concordant.models.preference_model import PreferenceModel
from concordant.pm_run import measure_run, train_run
from concordant.runs import Run, read_json
from concordant.train_config import PreferenceModelConfig
from toy_lessons import good_over_bad
from toy_model import ToyModels


def test_a_run_is_trained_once_and_measured_as_often_as_one_likes(toy: ToyModels, tmp_path: Path) -> None:
    config = PreferenceModelConfig(learning_rate=5e-3, warmup_steps=2, batch_size=8)
    run = Run.begin(tmp_path / "run", "pm", config.model_dump(mode="json"), {})
    told: list[int] = []
    result = train_run(run, toy.chat, good_over_bad(40), config, lambda done, total, _: told.append(done))
    assert result == run.result and result["comparisons"] == 40 and told == [0, 1, 2, 3, 4, 5]
    assert train_run(run, toy.chat, [], config, lambda *_: pytest.fail("it trained again")) == result
    first = measure_run(run, good_over_bad(10, seed=1), lambda *_: None)
    assert load_evaluation(run) == first and first["n"] == 10
    assert first["parameters"] == PreferenceModel.load(run.path).size
    second = measure_run(run, good_over_bad(12, seed=2), lambda *_: None, "other.json")
    assert (load_evaluation(run), read_json(run.path / "other.json")) == (first, second)
