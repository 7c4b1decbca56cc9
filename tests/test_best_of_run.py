"""Sampling and scoring n replies a prompt: what is logged, and that a stopped run ends as one that was not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.best_of_run import BEST_OF_METRICS, BestOfPlan, sample_and_score
from concordant.runs import Run
from concordant.sampler import OnText, Reply, ScriptedSampler
from toy_lessons import LetterModel

PROMPTS = [Conversation().human(f"question {number}") for number in range(7)]
SAMPLER = ScriptedSampler(tuple("a" * number for number in range(1, 40)))


class Stopped(Exception):
    """Somebody pulled the plug."""


@dataclass(frozen=True)
class StopsAt:
    """The scripted sampler, until it is asked for this prompt."""

    prompt: Conversation

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        if self.prompt in conversations:
            raise Stopped
        return SAMPLER.sample(conversations, n, seed)


def begun(path: Path) -> Run:
    return Run.begin(path, "best-of", {"n": 32}, {})


def test_rows_and_result(tmp_path: Path) -> None:
    run = begun(tmp_path / "run")
    scorers = {"score": LetterModel(1.0), "test_score": LetterModel(-1.0)}
    seen: list[tuple[int, int]] = []
    result = sample_and_score(
        run, SAMPLER, scorers, PROMPTS, BestOfPlan(32), lambda done, total, text: seen.append((done, total))
    )
    rows = run.metrics()
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert all(row.keys() == BEST_OF_METRICS.keys() for row in rows)
    assert rows[0]["prompt"] == [["human", "question 0"]]
    assert rows[0]["score"] == [len(text) for text in rows[0]["replies"]]
    assert seen == [(0, 7), (2, 7), (4, 7), (6, 7), (7, 7)]
    assert run.result == result and result["n"] == 32 and result["prompts"] == 7
    best = result["points"][-1]
    mean_of_best = sum(max(row["score"]) for row in rows) / 7
    assert (best["score"], best["test_score"]) == (pytest.approx(mean_of_best), pytest.approx(-mean_of_best))
    assert result["points"][0]["score"] == pytest.approx(sum(sum(row["score"]) / 32 for row in rows) / 7)


@pytest.mark.parametrize("stop", [1, 2, 5, 6])
def test_a_stopped_run_goes_on(stop: int, tmp_path: Path) -> None:
    expected = begun(tmp_path / "straight")
    sample_and_score(expected, SAMPLER, {"score": LetterModel()}, PROMPTS, BestOfPlan(32), lambda *_: None)
    run = begun(tmp_path / "run")
    with pytest.raises(Stopped):
        sample_and_score(run, StopsAt(PROMPTS[stop]), {"score": LetterModel()}, PROMPTS, BestOfPlan(32), _silent)
    if stop == 5:  # killed between the two rows of a group
        run.rewind(3)
    sample_and_score(run, SAMPLER, {"score": LetterModel()}, PROMPTS, BestOfPlan(32), _silent)
    assert run.metrics() == expected.metrics()
    assert run.result == expected.result


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gave a score that is not finite"):
        sample_and_score(
            begun(tmp_path / "run"), SAMPLER, {"score": LetterModel(float("nan"))}, PROMPTS, BestOfPlan(2), _silent
        )


def _silent(done: int, total: int, seen: str) -> None:
    """Nobody watches."""
