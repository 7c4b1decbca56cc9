"""Whole PPO runs on a toy model against a rule: the score rises, and an interrupted run goes on bit for bit."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concordant.config import PolicyConfig
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel, adapter_base
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run, Watch
from concordant.train.policy import POLICY_METRICS, train_policy
from toy_lessons import LetterModel
from toy_model import ToyModels

PROMPTS = [Conversation().human(f"question {number}") for number in range(12)]
LATER = [prompt.assistant("yes").human("and then") for prompt in PROMPTS[:6]]
"""Second turns of the same openings."""

Train = Callable[..., Run]


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
        name: str,
        kind: str = "chat",
        watch: Watch = lambda *_: None,
        pm: PreferenceModel | None = None,
        **settings: Any,
    ) -> Run:
        small = {"updates": 4, "prompts_per_update": 4, "replies_per_prompt": 2, "max_new_tokens": 10, "lora_rank": 4}
        config = PolicyConfig(**{**small, "learning_rate": 3e-3, "trial_prompts": 3, **settings})
        run = Run.begin(tmp_path / name, "policy", config.model_dump(mode="json"), {})
        base = LanguageModel.load(getattr(toy, kind))
        train_policy(run, base, pm or LetterModel(), [*PROMPTS, *LATER], config, watch)
        return run

    return trained


def without_seconds(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


@pytest.mark.parametrize("kind", ["chat", "gpt2"])
def test_the_score_rises(kind: str, train: Train) -> None:
    """Over 20 updates, on what it is trained on and on prompts that it never saw; the KL is finite and small."""
    run = train("run", kind, updates=20, prompts_per_update=8, replies_per_prompt=4, max_new_tokens=12, lora_rank=8)
    rows = run.metrics()
    early, late = (sum(row["score"] for row in part) / 5 for part in (rows[:5], rows[-5:]))
    assert late > early + 4 * max(row["score_se"] for row in rows[:5]) / 5**0.5
    assert run.result["after"]["score"] > run.result["before"]["score"] + 0.4
    assert run.result["before"]["kl"] == 0
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert 0 < rows[-1]["kl_k3"] < 50
    assert max(row["logprob_gap"] for row in rows) < 1e-4


def test_without_advantage_nothing_is_learned(train: Train) -> None:
    """A constant score and no KL penalty: the policy stays the reference, exactly."""
    run = train("run", pm=LetterModel(0.0), kl_coef=0.0, gae_lambda=1.0)
    assert [row["score"] for row in run.metrics()] == [0.0] * 4
    assert max(abs(row["kl"]) for row in run.metrics()) < 1e-3


def test_what_is_logged(train: Train) -> None:
    told: list[tuple[int, int]] = []
    run = train("run", watch=lambda done, total, seen: told.append((done, total)))
    rows = run.metrics()
    assert all(row.keys() == POLICY_METRICS.keys() for row in rows)
    assert [(row["step"], row["samples"]) for row in rows] == [(1, 8), (2, 16), (3, 24), (4, 32)]
    assert told == [(step, 4) for step in range(5)]
    assert [row["learning_rate"] for row in rows] == [0.0, 3e-3, 3e-3, 3e-3]  # the critic starts alone
    assert [row["kl"] for row in rows[:2]] == [0.0, 0.0]  # so the second samples are the reference's still
    assert rows[2]["kl"] != 0.0
    assert run.result["updates"] == 4
    assert not run.checkpoint.exists()


def test_the_first_step_of_a_batch_has_ratio_one(train: Train) -> None:
    """With one step an update there is no other: nothing is ever clipped."""
    rows = train("run", passes=1, minibatches=1).metrics()
    assert [(row["ratio_max"], row["clip_fraction"]) for row in rows] == [(pytest.approx(1, abs=1e-5), 0.0)] * 4
    assert any(row["ratio_max"] > 1.01 for row in train("more", passes=2).metrics())


@pytest.mark.parametrize("stops", [(1, 2, 4), (3,), (4,)], ids=str)
def test_an_interrupted_run_goes_on_bit_for_bit(stops: tuple[int, ...], train: Train) -> None:
    """Also while the critic starts, when the LoRA's optimiser has no state, and after the last update."""
    expected = train("straight", warmup_updates=2)
    for step in stops:
        with pytest.raises(Stopped):
            train("stopped", watch=stop_at(step), warmup_updates=2, checkpoint_seconds=0)
    run = train("stopped", warmup_updates=2, checkpoint_seconds=0)
    one, other = (folder.model / "adapter_model.safetensors" for folder in (run, expected))
    assert one.read_bytes() == other.read_bytes()
    assert without_seconds(run) == without_seconds(expected)
    assert run.samples() == expected.samples()
    assert {**run.result, "seconds": 0} == {**expected.result, "seconds": 0}


def test_a_run_interrupted_without_a_checkpoint_begins_again(train: Train) -> None:
    expected = train("straight")
    with pytest.raises(Stopped):
        train("stopped", watch=stop_at(3))
    run = train("stopped")
    assert without_seconds(run) == without_seconds(expected)
    assert run.samples() == expected.samples()


def test_a_run_interrupted_at_its_end_ends(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Run, result: object) -> None:
        raise Stopped

    expected = train("straight")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Run, "finish", stop)
        train("stopped", checkpoint_seconds=0)
    run = train("stopped", checkpoint_seconds=0)
    assert without_seconds(run) == without_seconds(expected)
    assert run.samples() == expected.samples()


def test_the_trial_is_on_openings_that_are_never_trained_on(train: Train) -> None:
    """Twelve openings, so that at most three are held out; a later turn of one counts as that opening."""
    pm = LetterModel()
    run = train("run", pm=pm, updates=6, trial_prompts=50)
    first, *updates, last = [[prompt for prompt, _ in asked] for asked in pm.asked]
    assert first == last
    held_out = {prompt.split_key for prompt in first}
    assert len(held_out) == 3
    assert not held_out & {prompt.split_key for update in updates for prompt in update}
    assert sorted({row["step"] for row in run.samples()}) == [0, 6]
    for when, step in (("before", 0), ("after", 6)):
        rows = [row for row in run.samples() if row["step"] == step]
        assert len(rows) == 2 * len(first) == run.result[when]["n"]
        assert run.result[when]["score"] == pytest.approx(sum(row["score"] for row in rows) / len(rows))
        assert [row["prompt"][0][1] for row in rows[::2]] == [prompt.first_human_turn for prompt in first]


def test_before_and_after_draw_the_same_noise(train: Train) -> None:
    """A policy that cannot learn (rates of almost 0) answers word for word as before."""
    run = train("run", learning_rate=1e-30)
    before, after = ([row for row in run.samples() if row["step"] == step] for step in (0, 4))
    assert [row["reply"] for row in before] == [row["reply"] for row in after]


def test_prompts_come_round_once_an_epoch_in_fresh_orders(train: Train) -> None:
    pm = LetterModel()
    train("run", pm=pm, updates=8, prompts_per_update=5, trial_prompts=0)
    drawn = [prompt for asked in pm.asked for prompt, _ in asked]
    assert len(drawn) == 40
    first, second = drawn[:18], drawn[18:36]
    assert set(first) == set(second) == {*PROMPTS, *LATER}
    assert first != second


def test_without_a_trial_there_is_no_comparison(train: Train) -> None:
    run = train("run", trial_prompts=0)
    assert (run.samples(), run.result["before"], run.result["after"]) == ([], {}, {})


def test_the_adapter_is_a_folder_that_loads(train: Train, toy: ToyModels) -> None:
    """Merged into its base, and asked with the same noise, it writes what the trial after training shows."""
    pm = LetterModel()
    run = train("run", pm=pm, learning_rate=1e-2)
    assert adapter_base(run.model) == toy.chat
    merged = LanguageModel.load(adapter_base(run.model), run.model)
    prompts = [merged.format.prompt(prompt) for prompt, _ in pm.asked[-1]]
    replies = generate(merged, prompts, 2, SamplingLimits(10), seed=-1)
    texts = [merged.format.text(reply.tokens) for group in replies for reply in group]
    before, after = ([row["reply"] for row in run.samples() if row["step"] == step] for step in (0, 4))
    assert texts == after != before


def test_scores_that_are_not_finite_stop_the_run(train: Train) -> None:
    with pytest.raises(UserError, match="gave a score that is not finite"):
        train("run", pm=LetterModel(float("nan")))


def test_prompts_that_do_not_fit_are_refused(train: Train) -> None:
    with pytest.raises(UserError, match=r"none of the 18 prompts fits policy\.max_prompt_tokens=16, the model's"):
        train("run", max_prompt_tokens=16)


def test_prompts_whose_replies_the_pm_could_not_see_are_left_out_at_once(train: Train, toy: ToyModels) -> None:
    """Not met as an error in the middle of the run: a reply may be as long as its limit."""
    pm = PreferenceModel.from_language_model(toy.plain, seed=0, max_tokens=64)
    assert train("run", pm=pm, max_new_tokens=10).finished
    with pytest.raises(UserError, match=r"the preference model's 64 tokens with a reply of 40"):
        train("other", pm=pm, max_new_tokens=40)
