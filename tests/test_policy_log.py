"""What is written down of an update, and when a reward that never differs stops the run."""

from pathlib import Path

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.generation import SampledReply
from concordant.models.language_model import LanguageModel
from concordant.runs import Run
from concordant.train.judging import Judged
from concordant.train.policy_log import POLICY_METRICS, log
from concordant.train.policy_prompts import Prompt
from concordant.train.policy_state import Training
from concordant.train.ppo_update import Batch
from concordant.train.rollout import Pass, Rollout
from concordant.train_config import PolicyConfig
from toy_model import ToyModels

CONFIG = PolicyConfig(prompts_per_update=2, replies_per_prompt=2, samples_every=2)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.begin(tmp_path / "run", "policy", {}, {})


def logged(run: Run, training: Training, score: float, spread: float) -> None:
    prompts = [Prompt(Conversation().human(text), [1]) for text in ("one", "two")]
    sampled = [[SampledReply([5], [-1.0], True), SampledReply([6], [-1.0], True)] for _ in prompts]
    rollout = Rollout.of([[1], [1]], sampled)
    zeros = torch.zeros(4, 1)
    batch = Batch(rollout, Pass(zeros, zeros, zeros), torch.arange(4.0), zeros, None)
    judged = Judged(prompts, [["a", "b"], ["c", "d"]], torch.arange(4.0))
    log(run, training, judged, batch, {"score": score, "score_sd": spread, "seconds": 0.5}, CONFIG)


@pytest.fixture
def state(toy: ToyModels) -> Training:
    return Training(LanguageModel.load(toy.chat), None, torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]))


def test_updates_are_counted_and_every_other_one_shows_a_reply_to_each_prompt(run: Run, state: Training) -> None:
    for score in (0.0, 1.0, 2.0, 3.0):
        logged(run, state, score, 1.0)
    rows = run.metrics()
    assert rows == state.history
    assert [(row["step"], row["samples"], row["score"]) for row in rows] == [
        (1, 4, 0),
        (2, 8, 1),
        (3, 12, 2),
        (4, 16, 3),
    ]
    samples = run.samples()
    assert [(row["step"], row["kind"], row["reply"], row["kl"]) for row in samples] == [
        (2, "update", "a", 0.0),
        (2, "update", "c", 2.0),
        (4, "update", "a", 0.0),
        (4, "update", "c", 2.0),
    ]
    assert samples[1]["prompt"] == [["human", "two"]]


def test_a_reward_that_never_differs_stops_the_run(run: Run, state: Training) -> None:
    logged(run, state, 0.25, 0.1)
    for _ in range(2):
        logged(run, state, 0.25, 0.0)
    with pytest.raises(
        UserError, match=r"every reply of 3 updates the same score \(\+0\.25\): there is nothing to learn"
    ):
        logged(run, state, 0.25, 0.0)
    assert len(run.metrics()) == 4


def test_a_reward_that_differs_between_updates_is_none(run: Run, state: Training) -> None:
    """With one reply an update there is no spread within one."""
    for score in (0.0, 0.0, 1.0, 0.0, 0.0, 1.0):
        logged(run, state, score, 0.0)
    assert len(run.metrics()) == 6


def test_every_metric_has_a_meaning() -> None:
    assert all(POLICY_METRICS.values()) and len(POLICY_METRICS) > 20
