"""The doctor on a policy run: findings as verdicts, and what the record says."""

from pathlib import Path

import pytest

from concordant.cli import main
from concordant.conversation import Conversation
from concordant.evaluate.doctor_policy import recorded_verdicts, verdicts_of
from concordant.models.language_model import LanguageModel
from concordant.models.policy_checks import Finding
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from concordant.train.judging import Judges
from concordant.train.policy import train_policy
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel
from toy_model import ToyModels


def row(step: int, kl: float, gap: float) -> dict[str, float]:
    return {"step": step, "kl": kl, "logprob_gap": gap}


def test_findings_become_verdicts() -> None:
    found = verdicts_of([Finding("mask", 0.5, 1.0, "fine", "broken"), Finding("ratio", 2.0, 1.0, "fine", "broken")])
    assert [(one.check, one.status, one.meaning) for one in found] == [
        ("PPO: mask", "ok", "fine"),
        ("PPO: ratio", "wrong", "broken"),
    ]


def test_the_record() -> None:
    sound = recorded_verdicts([row(1, 0.0, 1e-5), row(2, 3.0, 2e-5)])
    assert [(one.status, one.measured) for one in sound] == [("ok", 0.0), ("ok", 2e-5)]
    assert [one.status for one in recorded_verdicts([row(1, -0.2, 1e-5)])] == ["wrong", "ok"]
    assert [one.status for one in recorded_verdicts([row(1, 0.0, 1e-5), row(2, 3.0, 0.3)])] == ["ok", "wrong"]
    assert recorded_verdicts([]) == []


def test_the_verb_on_a_policy_run(toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = PolicyConfig(updates=2, prompts_per_update=2, replies_per_prompt=2, max_new_tokens=6, lora_rank=2)
    run = Run.begin(tmp_path / "run", "policy", config.model_dump(mode="json"), {})
    prompts = [Conversation().human(f"question {number}") for number in range(4)]
    train_policy(
        run, LanguageModel.load(toy.chat), Judges(LetterModel()), dict.fromkeys(prompts), config, lambda *_: None
    )
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    assert main(["doctor", str(run.path), "--pm", str(tmp_path / "pm")]) == 0
    text = capsys.readouterr().out
    for name in ("ratio at step 0", "KL at step 0", "score position", "reward position", "recorded KL", "recorded gap"):
        assert f"ok              PPO: {name}" in text
    assert main(["doctor", str(toy.chat), "--pm", str(tmp_path / "pm")]) == 2
    assert "--pm goes with a policy run" in capsys.readouterr().err
