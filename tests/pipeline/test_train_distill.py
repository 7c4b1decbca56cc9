"""Whole distillations on a toy model: the student comes closer on texts it has not seen, and goes on bit for bit."""

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from concordant.conversation import Conversation
from concordant.distill_run import Limits, Pair, Texts, Voice, cut_texts, distill_run, measure_run
from concordant.errors import UserError
from concordant.hhh_prompt import HhhPrompt
from concordant.models.language_model import LanguageModel
from concordant.runs import Run, Watch
from concordant.train.distill import DISTILL_METRICS, learning_rate
from concordant.train.teacher_shards import TeacherShards
from concordant.train_config import DistillConfig
from toy_model import ToyModels

PROMPT = HhhPrompt.from_text("Bake.\n-----\nHuman: how do I bake\n\nAssistant: with flour and water", "mine.txt")
WORDS = ["how", "do", "I", "bake", "bread", "with", "flour", "and", "water", "salt", "good", "short"]
Train = Callable[..., Run]


class Stopped(Exception):
    """Somebody pulled the plug."""


def conversations(count: int) -> list[Conversation]:
    """Half plain text, half dialogues, of random words; no two begin alike."""
    draw = random.Random(0)

    def words(number: int) -> str:
        return " ".join(draw.choices(WORDS, k=number))

    plain = [Conversation().human(f"{number} {words(9)}") for number in range(count // 2)]
    return plain + [Conversation().human(f"{number} {words(3)}?").assistant(words(6)) for number in range(count // 2)]


TALKS = conversations(240)
LIMITS, SHORT = Limits(0.2, None, None), Limits(0.2, 48, 12)
"""All texts, where something is to be learned; few of them, where it is only to be seen what a run does."""


def stop_at(step: int) -> Watch:
    def watch(done: int, total: int, seen: str) -> None:
        if done == step:
            raise Stopped

    return watch


def voice(**watches: Watch) -> Voice:
    """Speaks to nobody; ``teacher`` and ``training`` are told of their stages."""
    from contextlib import nullcontext

    stages = {"asking the teacher": "teacher", "training": "training"}
    return Voice(lambda title: nullcontext(watches.get(stages.get(title, ""), lambda *_: None)), lambda line: None)


def silent(*_: object) -> None:
    pass


def settings(**changes: Any) -> DistillConfig:
    small: dict[str, Any] = {
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "batch_size": 8,
        "k": 10,
        "text_tokens": 96,
        "shard_texts": 12,
    }
    return DistillConfig(**{**small, **changes})


def pair(toy: ToyModels, student: str = "chat", teacher: str = "chat") -> Pair:
    return Pair(getattr(toy, student), getattr(toy, teacher), PROMPT)


@pytest.fixture(scope="module")
def kept(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's output on few texts, made once for all runs of this file that may share it."""
    folder = tmp_path_factory.mktemp("kept")
    config, both = settings(), pair(toy)
    texts = cut_texts(TALKS, both.format, config, SHORT)
    run = Run.begin(folder / "run", "distill", config.model_dump(mode="json"), {})
    with pytest.raises(Stopped):
        distill_run(run, both, texts, config, folder / "shards", voice(training=stop_at(0)))
    return folder / "shards"


@pytest.fixture
def train(toy: ToyModels, tmp_path: Path, kept: Path) -> Train:
    def trained(name: str, both: Pair | None = None, watch: Watch = silent, **changes: Any) -> Run:
        config = settings(**changes)
        texts = texts_of(both or pair(toy), config, LIMITS if both else SHORT)
        run = Run.begin(tmp_path / name, "distill", config.model_dump(mode="json"), {})
        shards = run.path / "teacher"
        if both is None and not shards.exists():
            shutil.copytree(kept, shards)
        distill_run(run, both or pair(toy), texts, config, shards, voice(training=watch))
        return run

    return trained


def without_seconds(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def texts_of(both: Pair, config: DistillConfig, limits: Limits = SHORT) -> Texts:
    return cut_texts(TALKS, both.format, config, limits)


def progress(_: str) -> Any:
    from contextlib import nullcontext

    return nullcontext(silent)


def digests(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("student", "teacher", "changes"),
    [
        ("chat", "chat", {"learning_rate": 5e-3}),
        ("plain", "plain", {}),
        ("chat", "chat", {"lora_rank": 4, "learning_rate": 3e-2}),
        ("gpt2", "gpt2", {"learning_rate": 5e-3}),
        ("chat", "gpt2", {"learning_rate": 5e-3}),
    ],
    ids=["all weights", "no template", "LoRA", "GPT-2", "another teacher"],
)
def test_the_student_comes_closer_on_unseen_texts(
    student: str, teacher: str, changes: dict[str, Any], train: Train, toy: ToyModels
) -> None:
    both = pair(toy, student, teacher)
    run = train("run", both, **changes)
    assert run.result["train_loss"] < 0.7 * run.result["first_loss"]
    config = settings(**changes)
    texts = texts_of(both, config, LIMITS)
    assert not {row.document for row in texts.exam} & {row.document for row in texts.lessons}
    found = measure_run(run, both, texts.exam, config, progress)
    assert found["closer"] and found["share"] > 0.2
    assert found["student"]["kl_coarse"] < found["base"]["kl_coarse"]
    assert all(part["gain"]["ci95"][0] > 0 for part in found["by_kind"].values()) and len(found["by_kind"]) == 2
    assert not run.checkpoint.exists()


def test_what_is_logged(train: Train, toy: ToyModels) -> None:
    told: list[tuple[int, int]] = []
    run = train("run", watch=lambda done, total, seen: told.append((done, total)))
    rows, result = run.metrics(), run.result
    texts = texts_of(pair(toy), settings())
    steps = -(-len(texts.lessons) // 8)
    assert all(row.keys() == DISTILL_METRICS.keys() for row in rows)
    assert [row["step"] for row in rows] == list(range(1, steps + 1))
    assert told == [(step, steps) for step in range(steps + 1)]
    assert rows[-1]["texts"] == result["texts"] == len(texts.lessons)
    assert rows[-1]["tokens"] == result["tokens"] == sum(row.counted for row in texts.lessons)
    assert result["dialogues"] == pytest.approx(result["texts"] / 2, abs=0.5)
    assert all(0 < row["teacher_rest"] < 1 and 0 < row["student_rest"] < 1 for row in rows)
    rates = [row["learning_rate"] for row in rows]
    assert rates[:3] == pytest.approx([5e-3, 1e-2 * (1 - 1 / steps), 1e-2 * (1 - 2 / steps)])
    assert rates[-1] == pytest.approx(1e-2 / steps)


def test_the_rate_by_hand() -> None:
    """Ten steps, two of warm-up, from 1: ½, 0.9, 0.8 … 0.1; without warm-up it begins at 1."""
    config = settings(learning_rate=1.0)
    found = [learning_rate(step, 10, config) for step in range(10)]
    assert found == pytest.approx([0.5, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert learning_rate(0, 10, settings(learning_rate=1.0, warmup_steps=0)) == 1


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 4}], ids=["all weights", "LoRA"])
def test_a_killed_run_goes_on_bit_for_bit(changes: dict[str, Any], train: Train) -> None:
    """Killed at random steps, each time between the log and the checkpoint of one, and once before the first."""
    expected = train("straight", **changes)
    steps = len(expected.metrics())
    for step in sorted(random.Random(7).sample(range(1, steps), 3)):
        with pytest.raises(Stopped):
            train("stopped", watch=stop_at(step), checkpoint_seconds=0, **changes)
    run = train("stopped", checkpoint_seconds=0, **changes)
    assert (run.model / "model.safetensors").read_bytes() == (expected.model / "model.safetensors").read_bytes()
    assert without_seconds(run) == without_seconds(expected)
    timeless = {key: value for key, value in run.result.items() if key != "seconds"}
    assert timeless == {key: value for key, value in expected.result.items() if key != "seconds"}


def test_a_run_killed_while_the_teacher_speaks_goes_on(toy: ToyModels, tmp_path: Path, kept: Path) -> None:
    config, both = settings(), pair(toy)
    run = Run.begin(tmp_path / "run", "distill", config.model_dump(mode="json"), {})
    shards = run.path / "teacher"
    texts = texts_of(both, config)
    for number in (1, 3):
        with pytest.raises(Stopped):
            distill_run(run, both, texts, config, shards, voice(teacher=stop_at(number)))
        assert len(list(shards.glob("shard-*"))) == number
    with pytest.raises(Stopped):
        distill_run(run, both, texts, config, shards, voice(training=stop_at(0)))
    assert digests(shards) == digests(kept)


def test_one_teacher_for_two_students_is_asked_once(
    train: Train, toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train("first")

    def never(*_: object) -> None:
        raise AssertionError("the teacher was asked again")

    monkeypatch.setattr(TeacherShards, "fill", never)
    config = settings(lora_rank=2)
    run = Run.begin(tmp_path / "second", "distill", config.model_dump(mode="json"), {})
    distill_run(run, pair(toy), texts_of(pair(toy), config), config, first.path / "teacher", voice())
    assert run.finished


def test_the_parts_of_a_batch_change_no_gradient(train: Train) -> None:
    """Eight texts at once, or one by one (no two of them fit 64 tokens); logits in slices of 512 places, or of 3."""
    whole, parts = train("whole"), train("parts", row_tokens=64)
    for one, other in zip(without_seconds(whole), without_seconds(parts), strict=True):
        assert one == pytest.approx(other, abs=1e-3, rel=1e-2)


def test_slices_of_logits_change_nothing(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train("whole")
    monkeypatch.setattr("concordant.train.distill._LOGIT_ROWS", 50)
    for one, other in zip(without_seconds(whole), without_seconds(train("slices")), strict=True):
        assert one == pytest.approx(other, abs=1e-3, rel=1e-2)


def test_the_model_is_an_ordinary_causal_lm(train: Train) -> None:
    run = train("run", lora_rank=4)
    network = AutoModelForCausalLM.from_pretrained(run.model).eval()
    model = LanguageModel.load(run.model)
    ids = torch.tensor([model.format.prompt(Conversation().human("how do I bake?"))])
    with torch.no_grad():
        assert torch.allclose(network(ids).logits, model.network(ids).logits, atol=1e-5)
    assert not (run.model / "adapter_config.json").exists()


def test_a_run_that_diverges_stops(train: Train) -> None:
    with pytest.raises(
        UserError, match=r"the run diverged; .* begin another one with a lower learning_rate .now 10000"
    ):
        train("run", learning_rate=1e4, warmup_steps=0, batch_size=2)


def test_two_documents_are_needed_to_measure_on(toy: ToyModels, train: Train) -> None:
    both = pair(toy)
    with pytest.raises(UserError, match=r"kept to measure on are of 1 document; raise --test-fraction"):
        cut_texts(TALKS, both.format, settings(), Limits(0.2, None, 1))
    row = texts_of(both, settings()).exam[0]
    with pytest.raises(UserError, match="are of 1 document, and an interval needs two"):
        measure_run(train("run"), both, [row, row], settings(), progress)
