"""Pretraining on votes on a toy model, then the finetune: each stage learns, hands on its model, and can be killed."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.comparison import Preference
from concordant.models.checkpoints import Checkpoint
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from concordant.store.stackexchange import binarised
from concordant.train.pm import PMP_METRICS, model_to_train, train_pm
from concordant.train_config import PmpConfig, PreferenceModelConfig
from toy_lessons import good_over_bad
from toy_model import ToyModels, make_untied

VOTED = good_over_bad(400, seed=2)
LESSONS = good_over_bad(60)
FAST = {"learning_rate": 5e-3, "warmup_steps": 2, "batch_size": 8}
Train = Callable[..., Run]


class Killed(Exception):
    """Somebody pulled the plug."""


@pytest.fixture
def train(tmp_path: Path) -> Train:
    def trained(name: str, base: Path, lessons: list[Preference], kind: str = "pmp", **settings: Any) -> Run:
        section = PmpConfig if kind == "pmp" else PreferenceModelConfig
        config = section(**{**FAST, **settings})
        run = Run.begin(tmp_path / name, kind, config.model_dump(mode="json"), {})
        train_pm(run, model_to_train(base, config), lessons, config, lambda *_: None)
        return run

    return trained


def without_seconds(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def test_votes_are_learned_and_handed_on(train: Train, toy: ToyModels) -> None:
    """Labels come to be told apart, text becomes likelier, and the same finetune gets further than from nothing."""
    pmp = train("pmp", toy.chat, binarised(VOTED))
    rows = pmp.metrics()
    assert all(row.keys() == PMP_METRICS.keys() for row in rows)
    assert pmp.result["comparisons"] == 800
    assert rows[0]["loss"] == pytest.approx(0.693, abs=0.02) and pmp.result["train_loss"] < 0.3
    assert pmp.result["train_lm_loss"] < rows[0]["lm_loss"] - 0.5

    model = PreferenceModel.load(pmp.path)
    start = model_to_train(pmp.path, PreferenceModelConfig())
    end = start.end_of_context
    for name, weight in model.network.state_dict().items():
        assert torch.equal(start.network.state_dict()[name], weight)
    assert start.format.tokenizer.convert_ids_to_tokens(end) == "<|end_of_context|>"

    few = {"learning_rate": 2e-3}
    with_votes = train("with", pmp.path, LESSONS, kind="pm", **few)
    without = train("without", toy.chat, LESSONS, kind="pm", **few)
    assert with_votes.result["train_loss"] < without.result["train_loss"] - 0.2
    assert "lm_loss" not in with_votes.metrics()[0]


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        ("chat", {}),
        ("untied", {"weight_decay": 0.1}),
        ("gpt2", {"lora_rank": 4, "gradient_checkpointing": True}),
        ("chat", {"frozen_layers": 1, "row_tokens": 256}),
    ],
    ids=["all weights", "a head of its own", "LoRA", "upper layer"],
)
def test_a_run_that_is_killed_anywhere_goes_on_bit_for_bit(
    base: str, settings: dict[str, Any], train: Train, toy: ToyModels, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Killed at steps drawn at random: before a checkpoint is saved, right after, and between step and log."""
    folder = make_untied(toy.chat, tmp_path / "base") if base == "untied" else getattr(toy, base)
    lessons = binarised(good_over_bad(60, seed=3))
    expected = train("straight", folder, lessons, **settings)
    rng = random.Random(f"{base} {settings}")
    for kill in sorted(rng.sample(range(1, 15), 5)):
        before, what = rng.random() < 0.5, rng.choice([(Run, "log"), (Checkpoint, "save")])
        method = getattr(*what)

        def killing(
            self: Any, *args: Any, method: Any = method, kill: int = kill, before: bool = before, **more: Any
        ) -> None:
            values = args[0] if isinstance(self, Run) else self.values
            due = values["step"] >= kill
            if due and before:
                raise Killed
            method(self, *args, **more)
            if due:
                raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(what[0], what[1], killing)
            train("killed", folder, lessons, checkpoint_seconds=0, **settings)
    # What was begun with other settings is another run; how often it is saved is one of them.
    straight = train("again", folder, lessons, checkpoint_seconds=0, **settings)
    run = train("killed", folder, lessons, checkpoint_seconds=0, **settings)
    for other in (expected, straight):
        assert (run.model / "model.safetensors").read_bytes() == (other.model / "model.safetensors").read_bytes()
        assert without_seconds(run) == without_seconds(other)
    assert len(run.metrics()) == 15


def test_lambda_of_one_and_no_text_change_nothing_bit_for_bit(train: Train, toy: ToyModels) -> None:
    plain = train("plain", toy.chat, LESSONS, kind="pm")
    spelled = train("spelled", toy.chat, LESSONS, kind="pm", harmless_weight=1.0, lm_coef=0.0)
    lean = train("lean", toy.chat, LESSONS, kind="pm", gradient_checkpointing=True)
    assert (spelled.model / "model.safetensors").read_bytes() == (plain.model / "model.safetensors").read_bytes()
    assert without_seconds(spelled) == without_seconds(plain)
    for one, other in zip(without_seconds(lean), without_seconds(plain), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-5)
