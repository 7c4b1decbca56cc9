"""Whole PM runs on a toy model: it learns, goes on after an interruption bit for bit, and trains what it says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from concordant.cli import main
from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.models.machine import cannot_compile
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run, Watch
from concordant.train import pm
from concordant.train.course import Course
from concordant.train.pm import PM_METRICS, train_pm
from concordant.train_config import PreferenceModelConfig
from hh_rows import write_hh
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

LESSONS = good_over_bad(120)
Train = Callable[..., Run]
WEIGHTS = "model.safetensors"


class Stopped(Exception):
    """Somebody pulled the plug."""


def stop_at(step: int) -> Watch:
    def watch(done: int, total: int, seen: str) -> None:
        if done == step:
            raise Stopped

    return watch


@pytest.fixture
def train(toy: ToyModels, tmp_path: Path) -> Train:
    def trained(
        name: str, kind: str = "chat", watch: Watch = lambda *_: None, lessons: int = 120, **settings: Any
    ) -> Run:
        config = PreferenceModelConfig(**{"learning_rate": 5e-3, "warmup_steps": 2, "batch_size": 8, **settings})
        run = Run.begin(tmp_path / name, "pm", config.model_dump(mode="json"), {})
        model = PreferenceModel.from_language_model(getattr(toy, kind), config.seed, config.max_tokens)
        train_pm(run, model, LESSONS[:lessons], config, watch)
        return run

    return trained


def without_seconds(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def weights(run: Run) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = PreferenceModel.load(run.path).network.state_dict()
    return state


def timeless(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.result.items() if key != "seconds"}


def accuracy(run: Run, exam: list[Preference]) -> float:
    scores = PreferenceModel.load(run.path).score_many([(item.prompt, [item.chosen, item.rejected]) for item in exam])
    return sum(chosen > rejected for chosen, rejected in scores) / len(exam)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("chat", {}),
        ("plain", {}),
        ("chat", {"lora_rank": 4, "learning_rate": 2e-2}),
        ("chat", {"frozen_layers": 1, "learning_rate": 1e-2}),
        ("gpt2", {"learning_rate": 1e-2}),
        ("chat", {"dtype": "bfloat16"}),
    ],
    ids=["all weights", "no template", "LoRA", "upper layer", "GPT-2", "bfloat16"],
)
def test_a_rule_is_learned(kind: str, settings: dict[str, Any], train: Train) -> None:
    """From a coin's ln 2 to below 0.5, and it holds on comparisons that were never seen."""
    run = train("run", kind, **settings)
    losses = [row["loss"] for row in run.metrics()]
    assert losses[0] == pytest.approx(0.693, abs=0.02)
    assert run.result["train_loss"] < 0.5
    assert run.result["train_accuracy"] > 0.8
    assert accuracy(run, good_over_bad(50, seed=1)) > 0.8
    assert not run.checkpoint.exists()


@pytest.mark.filterwarnings("default")  # the compiler warns of its own parts
@pytest.mark.skipif(cannot_compile() is not None, reason=f"no {cannot_compile()}")
def test_compiled_layers_learn_the_same(train: Train) -> None:
    """A run of a few steps, to rounding; and it goes on after an interruption."""
    settings = {"lora_rank": 4, "frozen_layers": 1, "gradient_checkpointing": True}
    plain = train("plain", **settings, batch_size=40)
    with pytest.raises(Stopped):
        train("compiled", **settings, batch_size=40, compile_layers=True, watch=stop_at(2), checkpoint_seconds=0)
    compiled = train("compiled", **settings, batch_size=40, compile_layers=True, checkpoint_seconds=0)
    assert [row["loss"] for row in compiled.metrics()] == pytest.approx(
        [row["loss"] for row in plain.metrics()], rel=1e-4
    )


def test_compiling_needs_a_compiler(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.models.machine.which", lambda name: None)
    with pytest.raises(UserError, match=r"C\+\+ compiler"):
        train("run", compile_layers=True)


def test_what_is_logged(train: Train) -> None:
    told: list[tuple[int, int]] = []
    run = train("run", watch=lambda done, total, seen: told.append((done, total)), warmup_steps=4)
    rows = run.metrics()
    assert all(row.keys() == PM_METRICS.keys() for row in rows)
    assert [row["step"] for row in rows] == list(range(1, 16))
    assert [row["comparisons"] for row in rows] == list(range(8, 121, 8))
    assert [row["learning_rate"] for row in rows[:6]] == pytest.approx([1.25e-3, 2.5e-3, 3.75e-3, 5e-3, 5e-3, 5e-3])
    assert told == [(step, 15) for step in range(16)]
    late = rows[-3:]
    assert run.result["train_loss"] == pytest.approx(sum(row["loss"] for row in late) / 3)
    assert run.result["comparisons"] == 120


def test_the_last_batch_may_be_smaller(train: Train) -> None:
    rows = train("run", batch_size=50).metrics()
    assert [row["comparisons"] for row in rows] == [50, 100, 120]


@pytest.mark.filterwarnings("default")  # the compiler warns of its own parts
@pytest.mark.parametrize("settings", [{}, {"lora_rank": 4, "frozen_layers": 1}], ids=["all weights", "LoRA"])
def test_an_interrupted_run_goes_on_bit_for_bit(settings: dict[str, Any], train: Train) -> None:
    """Stopped between the log and the checkpoint of a step, twice, and once before the first checkpoint."""
    expected = train("straight", **settings)
    for step in (1, 4, 11):
        with pytest.raises(Stopped):
            train("stopped", watch=stop_at(step), checkpoint_seconds=0, **settings)
        assert not (expected.path.parent / "stopped/result.json").exists()
    run = train("stopped", checkpoint_seconds=0, **settings)
    assert (run.model / "model.safetensors").read_bytes() == (expected.model / "model.safetensors").read_bytes()
    assert without_seconds(run) == without_seconds(expected)
    timeless = {key: value for key, value in run.result.items() if key != "seconds"}
    assert timeless == {key: value for key, value in expected.result.items() if key != "seconds"}


MARKS = (16, 64, 120)


LORA = {"lora_rank": 4, "gradient_checkpointing": True}


@pytest.mark.parametrize("settings", [{}, LORA], ids=["all weights", "LoRA"])
def test_a_kept_copy_is_what_a_run_that_ended_there_would_be(settings: dict[str, Any], train: Train) -> None:
    """Bit for bit, with what it would have logged and reported; and keeping copies changes nothing in the run."""
    whole = train("whole", order="given", keep_at=MARKS, **settings)
    plain = train("plain", order="given", **settings)
    assert whole.result["kept"] == list(MARKS) and "kept" not in plain.result
    assert (whole.model / WEIGHTS).read_bytes() == (plain.model / WEIGHTS).read_bytes()
    assert sorted(path.name for path in whole.kept.iterdir()) == ["120", "16", "64"]
    for mark in MARKS:
        copy, short = Run.open(whole.kept / str(mark)), train(f"short-{mark}", lessons=mark, order="given", **settings)
        assert (copy.model / WEIGHTS).read_bytes() == (short.model / WEIGHTS).read_bytes()
        assert without_seconds(copy) == without_seconds(short)
        assert timeless(copy) == timeless(short)
        assert copy.head["config"] == short.head["config"]
        assert copy.head["parents"] == {"run": "whole", "kept_at": str(mark)}
        assert f"# whole/kept/{mark}: a preference model" in (copy.model / "README.md").read_text()


def test_no_kill_changes_or_loses_a_copy(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the step of a copy, while the copy is written, between the copy and its checkpoint, and after it."""
    expected = train("straight", keep_at=MARKS)

    def killed(*_: Any, **__: Any) -> None:
        raise Stopped

    def again(**settings: Any) -> None:
        with pytest.raises(Stopped):
            train("stopped", keep_at=MARKS, checkpoint_seconds=0, **settings)

    again(watch=stop_at(2))
    assert not Run(expected.path.parent / "stopped").kept.exists()
    with monkeypatch.context() as patch:
        patch.setattr("concordant.train.kept.write_card", killed)
        again()
    kept = Run(expected.path.parent / "stopped").kept
    assert list(kept.iterdir()) == []
    save = Course.save_now_and_then

    def killed_at_two(course: Course, *rest: Any) -> float:
        if course.step == 2:
            raise Stopped
        return save(course, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Course, "save_now_and_then", killed_at_two)
        again()
    assert [path.name for path in kept.iterdir()] == ["16"]
    again(watch=stop_at(9))
    with monkeypatch.context() as patch:
        patch.setattr(pm, "_finish", killed)
        again()
    run = train("stopped", keep_at=MARKS, checkpoint_seconds=0)
    assert sorted(path.name for path in kept.iterdir()) == ["120", "16", "64"]
    for mark in MARKS:
        copy, other = (Run.open(one.kept / str(mark)) for one in (run, expected))
        assert (copy.model / WEIGHTS).read_bytes() == (other.model / WEIGHTS).read_bytes()
        assert (timeless(copy), without_seconds(copy)) == (timeless(other), without_seconds(other))
    assert (run.model / WEIGHTS).read_bytes() == (expected.model / WEIGHTS).read_bytes()


def test_a_copy_that_no_step_reaches(train: Train, toy: ToyModels, tmp_path: Path) -> None:
    """Refused where it is plain; where comparisons are dropped, the result says which copies there are."""
    with pytest.raises(UserError, match="kept after 128 comparisons, and there are 120; leave it out of keep_at"):
        train("run", keep_at=(8, 128))
    config = PreferenceModelConfig(batch_size=8, keep_at=(8, 16))
    run = Run.begin(tmp_path / "dropped", "pm", config.model_dump(mode="json"), {})
    lessons = [*LESSONS[:10], *[preference("how", "same", "same")] * 8]
    model = PreferenceModel.from_language_model(toy.chat, 0)
    assert train_pm(run, model, lessons, config, lambda *_: None)["kept"] == [8]
    assert Run.open(run.kept / "8").result["comparisons"] == 8


def test_a_copy_is_a_run_that_every_verb_reads(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = train("run", keep_at=(64,)).kept / "64"
    write_hh(tmp_path / "exam.jsonl", good_over_bad(20, seed=1))
    items = [{"category": "other", "prompt": f"how {n}", "chosen": "good", "rejected": "bad " * n} for n in range(1, 7)]
    (tmp_path / "hhh.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    assert main(["evaluate", "pm", str(copy), "--data", str(tmp_path / "exam.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.5
    assert json.loads((copy / "evaluation.json").read_text())["n"] == 20
    assert main(["score", str(copy), str(tmp_path / "exam.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scored"] == 20
    assert main(["evaluate", "hhh", str(copy), str(tmp_path / "hhh.jsonl"), "--json"]) == 0
    capsys.readouterr()
    assert "| this run | run/kept/64 |" in (copy / "model/README.md").read_text()


def test_a_run_interrupted_without_a_checkpoint_begins_again(train: Train) -> None:
    expected = train("straight")
    with pytest.raises(Stopped):
        train("stopped", watch=stop_at(9))
    assert without_seconds(train("stopped")) == without_seconds(expected)


def test_a_run_interrupted_at_its_end_ends(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is written, the result is not yet."""

    def stop(self: Run, result: object) -> None:
        raise Stopped

    expected = train("straight")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Run, "finish", stop)
        train("stopped", checkpoint_seconds=0)
    run = train("stopped", checkpoint_seconds=0)
    assert (run.model / "model.safetensors").read_bytes() == (expected.model / "model.safetensors").read_bytes()
    assert without_seconds(run) == without_seconds(expected)


def test_the_parts_of_a_batch_change_no_gradient(train: Train) -> None:
    """Eight comparisons at once, or one by one (no two of them fit 64 tokens)."""
    whole, parts = train("whole", row_tokens=8192), train("parts", row_tokens=64)
    for one, other in zip(without_seconds(whole), without_seconds(parts), strict=True):
        assert one == pytest.approx(other, abs=1e-4, rel=1e-3)
    found = weights(parts)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(found[name], weight, atol=1e-3, rtol=1e-2)


def test_the_seed_decides_order_and_head(train: Train) -> None:
    first = without_seconds(train("first"))
    assert without_seconds(train("again")) == first
    assert without_seconds(train("other", seed=1)) != first


def changed(run: Run, toy: ToyModels) -> set[str]:
    """Names of the weights that differ from the base model's."""
    base = PreferenceModel.from_language_model(toy.chat, seed=0).network.state_dict()
    found = weights(run)
    assert found.keys() == base.keys()
    return {name for name in found if not torch.equal(found[name], base[name])}


def test_lora_trains_the_linear_layers_above_the_frozen_and_the_head(train: Train, toy: ToyModels) -> None:
    linear = {
        f"{part}.weight"
        for part in (
            *(f"self_attn.{name}_proj" for name in "qkvo"),
            *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
        )
    }
    upper = {f"model.layers.1.{name}" for name in linear}
    assert changed(train("upper", lora_rank=4, frozen_layers=1), toy) == {"score.weight", *upper}
    both = {f"model.layers.{layer}.{name}" for layer in (0, 1) for name in linear}
    assert changed(train("both", lora_rank=4), toy) == {"score.weight", *both}


def test_frozen_layers_and_the_embeddings_below_them_stay(train: Train, toy: ToyModels) -> None:
    everything = set(PreferenceModel.from_language_model(toy.chat, seed=0).network.state_dict())
    frozen = {"model.embed_tokens.weight", *(name for name in everything if "layers.0." in name)}
    assert changed(train("upper", frozen_layers=1), toy) == everything - frozen
    assert changed(train("all"), toy) == everything


def test_the_model_is_an_ordinary_classifier(train: Train) -> None:
    run = train("run", lora_rank=4, learning_rate=2e-2)
    network = AutoModelForSequenceClassification.from_pretrained(run.model).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.model)
    model = PreferenceModel.load(run.path)
    for item in LESSONS[:5]:
        row = model.row(item.prompt, [item.chosen])
        assert row is not None
        text = tokenizer.decode([*row.prompt, *row.replies[0]])
        with torch.no_grad():
            found = network(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits.item()
        assert [found] == [pytest.approx(score, abs=1e-4) for score in model.score(item.prompt, [item.chosen])]
