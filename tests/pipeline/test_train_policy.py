"""Whole PPO runs on a toy model against a rule: the score rises, and an interrupted run goes on bit for bit.

Runs that are killed at any moment: ``test_killed_policy.py``.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from concordant.comparison import Objective
from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.models.checkpoints import Checkpoint
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import adapter_base, is_whole_policy, weights_digest
from concordant.models.preference_model import PreferenceModel
from concordant.parting import find_parting
from concordant.runs import Run, Watch
from concordant.train.judging import Judges
from concordant.train.kept_policies import chosen_steps
from concordant.train.policy import train_policy
from concordant.train.policy_log import POLICY_METRICS
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel
from toy_model import ToyModels

PROMPTS = [Conversation().human(f"question {number}") for number in range(12)]
LATER = [prompt.assistant("yes").human("and then") for prompt in PROMPTS[:6]]
"""Second turns of the same openings."""

OBJECTIVES = {prompt: Objective.HARMLESS if prompt in PROMPTS else None for prompt in (*PROMPTS, *LATER)}

Train = Callable[..., Run]

PEFT_SAVE = "peft.peft_model.safe_save_file"
"""What writes an adapter."""


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
        test: PreferenceModel | None = None,
        **settings: Any,
    ) -> Run:
        small = {"updates": 4, "prompts_per_update": 4, "replies_per_prompt": 2, "max_new_tokens": 10, "lora_rank": 4}
        config = PolicyConfig(**{**small, "learning_rate": 3e-3, "trial_prompts": 3, **settings})
        run = Run.begin(tmp_path / name, "policy", config.model_dump(mode="json"), {})
        base = LanguageModel.load(getattr(toy, kind))
        train_policy(run, base, Judges(pm or LetterModel(), test), OBJECTIVES, config, watch)
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


@pytest.mark.parametrize(
    ("settings", "better"),
    [({"advantage": "leave_one_out"}, 0.4), ({"lora_rank": 0, "learning_rate": 1e-3}, 0.4)],
    ids=["leave one out", "all weights"],
)
def test_the_score_rises_without_a_critic_and_with_all_weights_too(
    settings: dict[str, Any], better: float, train: Train
) -> None:
    wide = {"prompts_per_update": 8, "replies_per_prompt": 4, "max_new_tokens": 12, "lora_rank": 8}
    run = train("run", **{**wide, "updates": 16, **settings})
    assert run.result["after"]["score"] > run.result["before"]["score"] + better
    assert run.result["before"]["kl"] == 0 < run.result["after"]["kl"]
    assert run.metrics()[-1]["kl_k3"] > 0


def test_without_advantage_nothing_is_learned(train: Train) -> None:
    """A constant score and no KL penalty: the policy stays the reference, exactly; and the run says so at the third."""
    run = train("run", pm=LetterModel(0.0), kl_coef=0.0, gae_lambda=1.0, updates=2)
    assert [row["score"] for row in run.metrics()] == [0.0] * 2
    assert abs(run.result["after"]["kl"]) < 1e-3
    with pytest.raises(UserError, match=r"every reply of 3 updates the same score \(\+0\): there is nothing to learn"):
        train("longer", pm=LetterModel(0.0), kl_coef=0.0, checkpoint_seconds=0)
    with pytest.raises(UserError, match="there is nothing to learn"):  # also when it goes on from its last good state
        train("longer", pm=LetterModel(0.0), kl_coef=0.0, checkpoint_seconds=0)


def test_what_is_logged(train: Train) -> None:
    told: list[tuple[int, int]] = []
    run = train("run", watch=lambda done, total, seen: told.append((done, total)))
    rows = run.metrics()
    absent = {"test_score", "test_score_se", "helpful_score", "helpful_refusals"}
    assert all(row.keys() == POLICY_METRICS.keys() - absent for row in rows)
    assert [(row["step"], row["samples"]) for row in rows] == [(1, 8), (2, 16), (3, 24), (4, 32)]
    assert told == [(step, 4) for step in range(5)]
    assert [row["learning_rate"] for row in rows] == [0.0, 3e-3, 3e-3, 3e-3]  # the critic starts alone
    assert [row["kl"] for row in rows[:2]] == [0.0, 0.0]  # so the second samples are the reference's still
    assert rows[2]["kl"] != 0.0
    assert run.result["updates"] == 4
    counts = run.result["prompts"]
    assert (counts["held_out"], counts["too_long"]) == (3, 0) and 12 <= counts["trained_on"] <= 15
    assert not run.checkpoint.exists()


def test_the_first_step_of_a_batch_has_ratio_one(train: Train) -> None:
    """With one step an update there is no other: nothing is ever clipped."""
    rows = train("run", passes=1, minibatches=1).metrics()
    assert [(row["ratio_max"], row["clip_fraction"]) for row in rows] == [(pytest.approx(1, abs=1e-5), 0.0)] * 4
    assert any(row["ratio_max"] > 1.01 for row in train("more", passes=2).metrics())


def test_a_critic_that_begins_as_the_preference_model(train: Train, toy: ToyModels) -> None:
    """It goes on bit for bit, and its forecasts get better."""
    pm = PreferenceModel.from_language_model(toy.chat, seed=0)
    torch.nn.init.normal_(pm.network.score.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    for rank in (0, 4):
        settings = {"pm": pm, "critic": "pm", "lora_rank": rank, "value_learning_rate": 5e-3}
        expected = train(f"straight-{rank}", **settings)
        with pytest.raises(Stopped):
            train(f"stopped-{rank}", watch=stop_at(2), checkpoint_seconds=0, **settings)
        run = train(f"stopped-{rank}", checkpoint_seconds=0, **settings)
        assert without_seconds(run) == without_seconds(expected)
        assert weights_digest(run.path) == weights_digest(expected.path)
    losses = [row["value_loss"] for row in train("long", **settings, updates=10, warmup_updates=10).metrics()]
    assert sum(losses[-3:]) < sum(losses[:3])


ARMS = [
    ((1, 2, 4), {"warmup_updates": 2}),
    ((3,), {"warmup_updates": 2}),
    ((4,), {"warmup_updates": 2}),
    ((2,), {"advantage": "leave_one_out", "halving_samples": 10}),
    ((3,), {"lora_rank": 0}),
]


@pytest.mark.parametrize(("stops", "settings"), ARMS, ids=str)
def test_an_interrupted_run_goes_on_bit_for_bit(stops: tuple[int, ...], settings: dict[str, Any], train: Train) -> None:
    """Also while the critic starts, when the LoRA's optimiser has no state, and after the last update."""
    expected = train("straight", **settings)
    for step in stops:
        with pytest.raises(Stopped):
            train("stopped", watch=stop_at(step), checkpoint_seconds=0, **settings)
    run = train("stopped", checkpoint_seconds=0, **settings)
    name = "adapter_model.safetensors" if settings.get("lora_rank", 4) else "model.safetensors"
    one, other = (folder.model / name for folder in (run, expected))
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
    assert sorted({row["step"] for row in run.samples("trial")}) == [0, 6]
    for when, step in (("before", 0), ("after", 6)):
        rows = [row for row in run.samples("trial") if row["step"] == step]
        assert len(rows) == 2 * len(first) == run.result[when]["n"]
        assert run.result[when]["score"] == pytest.approx(sum(row["score"] for row in rows) / len(rows))
        assert [row["prompt"][0][1] for row in rows[::2]] == [prompt.first_human_turn for prompt in first]


def test_before_and_after_draw_the_same_noise(train: Train) -> None:
    """A policy that cannot learn (rates of almost 0) answers word for word as before."""
    run = train("run", learning_rate=1e-30)
    before, after = ([row for row in run.samples("trial") if row["step"] == step] for step in (0, 4))
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
    run = train("run", trial_prompts=0, samples_every=0)
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
    before, after = ([row["reply"] for row in run.samples("trial") if row["step"] == step] for step in (0, 4))
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


FAST = {"updates": 16, "prompts_per_update": 8, "replies_per_prompt": 4, "max_new_tokens": 12, "lora_rank": 8}


def test_a_test_model_looks_on_and_the_point_where_it_parts_is_marked(train: Train) -> None:
    """It scores what the train model likes the other way round; it changes nothing but what is logged."""
    alone, watched = train("alone"), train("watched", test=LetterModel(-0.1))
    added = {"test_score", "test_score_se"}
    assert without_seconds(alone) == [
        {key: value for key, value in row.items() if key not in added} for row in without_seconds(watched)
    ]
    assert "parted" not in alone.result and watched.result["parted"] is None  # too few updates to say so

    longer = {**FAST, "updates": 40}
    run = train("run", test=LetterModel(-0.1), **longer)
    rows = run.metrics()
    for row in rows:
        assert row["test_score"] == pytest.approx(-row["score"] / 2, abs=1e-5)
        assert row["test_score_se"] == pytest.approx(row["score_se"] / 2, abs=1e-5)
    for when in ("before", "after"):
        trial = run.result[when]
        assert trial["test_score"] == pytest.approx(-trial["score"] / 2, abs=1e-5)
    parting = find_parting(rows)
    assert parting is not None and run.result["parted"] == parting.json()
    assert all("test_score" in row for row in run.samples())

    # The optional stop: at the update where the parting was seen.
    stopped = train("stopped", test=LetterModel(-0.1), stop_when_parted=True, **longer)
    assert stopped.result["updates"] == parting.seen < 40
    assert without_seconds(stopped) == without_seconds(run)[: parting.seen]
    assert stopped.result["parted"] == parting.json()


def test_a_stop_at_the_parting_needs_a_test_model(train: Train) -> None:
    with pytest.raises(UserError, match="stop_when_parted is true, and there is no test preference model"):
        train("run", stop_when_parted=True)


def test_replies_of_some_updates_are_kept_to_be_read(train: Train) -> None:
    run = train("run", samples_every=2)
    rows = run.samples("update")
    assert [row["step"] for row in rows] == [2] * 4 + [4] * 4
    assert {row["objective"] for row in rows} <= {"harmless", None}
    assert all(row["kl"] == 0 for row in rows[:4])  # the critic starts alone, so these are the reference's still


def test_snapshots_stand_along_root_kl(train: Train, toy: ToyModels) -> None:
    """Each is the policy whose replies had that KL: asked with the noise of its update, it writes them again."""
    settings = {"updates": 8, "learning_rate": 1e-2, "keep_step": 0.3, "keep_most": 3, "samples_every": 1}
    run = train("run", **settings)
    rows = run.metrics()
    wanted = chosen_steps([row["root_kl"] for row in rows], 0.3, 3)
    assert run.kept_steps() == run.result["kept"] == wanted
    assert 1 <= len(wanted) <= 3
    for step in wanted:
        folder = run.kept / str(step)
        note = json.loads((folder / "kept.json").read_text())
        assert note == {
            "updates": step,
            "samples": 8 * step,
            **{name: rows[step][name] for name in ("score", "kl", "root_kl")},
        }
        samples = [row for row in run.samples("update") if row["step"] == step + 1]
        prompts = [Conversation(tuple(Turn(Speaker(who), text) for who, text in row["prompt"])) for row in samples]
        model = LanguageModel.load(adapter_base(folder), folder)
        drawn = generate(model, [model.format.prompt(prompt) for prompt in prompts], 2, SamplingLimits(10), seed=step)
        assert [model.format.text(group[0].tokens) for group in drawn] == [row["reply"] for row in samples]

    with pytest.raises(Stopped):
        train("stopped", watch=stop_at(5), checkpoint_seconds=0, **settings)
    again = train("stopped", checkpoint_seconds=0, **settings)
    assert kept_files(again) == kept_files(run)


def kept_files(run: Run) -> dict[str, bytes]:
    return {str(path.relative_to(run.kept)): path.read_bytes() for path in run.kept.rglob("*") if path.is_file()}


def test_all_weights_are_a_whole_model_that_loads(train: Train, toy: ToyModels) -> None:
    """Also in the place of an adapter, where a snapshot of the online loop names one."""
    run = train("run", lora_rank=0, learning_rate=1e-3, keep_step=0.1)
    after = [row["reply"] for row in run.samples("trial") if row["step"] == 4]
    asked = [row for row in run.samples("trial") if row["step"] == 4][::2]
    for model in (LanguageModel.load(run.model), LanguageModel.load(toy.plain, run.model)):
        prompts = [Conversation(tuple(Turn(Speaker(who), text) for who, text in row["prompt"])) for row in asked]
        drawn = generate(model, [model.format.prompt(prompt) for prompt in prompts], 2, SamplingLimits(10), seed=-1)
        assert [model.format.text(reply.tokens) for group in drawn for reply in group] == after
    base = LanguageModel.load(toy.chat).network.state_dict()
    trained = LanguageModel.load(run.model).network.state_dict()
    assert all(not torch.equal(trained[name], weight) for name, weight in base.items() if "proj" in name)
    assert all((run.kept / str(step) / "model.safetensors").exists() for step in run.kept_steps())
    assert not is_whole_policy(toy.chat) and is_whole_policy(run.model)


@pytest.mark.parametrize("what", ["checkpoint", "model"])
def test_a_disk_that_fills_in_a_save_leaves_the_last_good_state(
    what: str, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """safetensors says it in words of its own; what stood there before still does, and the run goes on from it."""
    expected = train("straight", checkpoint_seconds=0)
    calls = []

    def full(tensors: dict[str, torch.Tensor], path: Path | str, **rest: object) -> None:
        calls.append(path)
        if what == "model" or len(calls) == 3:
            Path(path).write_bytes(b"half of it")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save_file(tensors, path)

    with monkeypatch.context() as patch, pytest.raises(SafetensorError):
        patch.setattr("concordant.models.checkpoints.save_file" if what == "checkpoint" else PEFT_SAVE, full)
        train("full", checkpoint_seconds=0)
    path = expected.path.parent / "full"
    saved = Checkpoint.load(path / "checkpoint")
    assert saved is not None and saved.values["step"] == (2 if what == "checkpoint" else 4)
    assert not (path / "result.json").exists() and not (path / "model").exists()
    assert [name for name in path.iterdir() if ".new." in name.name] == []
    run = train("full", checkpoint_seconds=0)
    assert without_seconds(run) == without_seconds(expected)
    name = "adapter_model.safetensors"
    assert (run.model / name).read_bytes() == (expected.model / name).read_bytes()
