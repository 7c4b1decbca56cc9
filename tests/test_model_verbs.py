"""``model get`` and ``sample`` as typed, on a toy model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.cli import main
from concordant.commands.outcome import for_terminal
from concordant.conversation import Conversation
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from toy_model import ToyModels


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """What a command that cannot be done says, in one line."""
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


@pytest.fixture(scope="module")
def pm(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PM's run, with a head large enough to tell replies apart."""
    folder = tmp_path_factory.mktemp("runs") / "pm-1"
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    with torch.no_grad():
        model.network.score.weight.mul_(100)
    model.save(folder / "model")
    Run.begin(folder / "other", "pm", {}, {})
    (folder / "other/config.json").rename(folder / "config.json")
    return folder


@pytest.fixture(scope="module")
def policy(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy's run, far from its base."""
    folder = tmp_path_factory.mktemp("runs") / "policy-1"
    model = LanguageModel.load(toy.chat).with_lora(rank=2, seed=0)
    with torch.no_grad():
        for name, weight in model.network.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.3)
    Run.begin(folder, "policy", {}, {}).save_model(model.network.save_pretrained)
    return folder


def sample(*arguments: str) -> list[str]:
    return ["sample", *arguments, "--prompt", "how do I bake bread", "--max-new-tokens", "12"]


def test_get_prints_a_folder(toy: ToyModels, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "get", str(toy.chat)]) == 0
    assert capsys.readouterr().out == f"{toy.chat}\n"
    assert main(["model", "get", str(toy.chat), "--json"]) == 0
    assert said(capsys) == {"model": str(toy.chat), "folder": str(toy.chat)}
    assert "model 'smolm' is unknown; give smollm2-135m" in refused(capsys, ["model", "get", "smolm"])


def test_replies(toy: ToyModels, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*sample(str(toy.chat)), "-n", "3", "--json"]) == 0
    replies = said(capsys)["replies"]
    assert len({reply["text"] for reply in replies}) == 3
    assert all(1 <= reply["tokens"] <= 12 and reply["score"] is None for reply in replies)
    assert main([*sample(str(toy.chat)), "-n", "3"]) == 0
    assert capsys.readouterr().out == for_terminal("\n\n".join(reply["text"] for reply in replies)) + "\n"
    assert main([*sample(str(toy.chat)), "-n", "3", "--seed", "1", "--json"]) == 0
    assert said(capsys)["replies"] != replies


def test_a_transcript_is_a_prompt_too(toy: ToyModels, capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for prompt in (
        "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: how",
        "Human: Hi\n\nAssistant: Hello\n\nHuman: how",
        "how",
    ):
        assert main(["sample", str(toy.chat), "--prompt", prompt, "--max-new-tokens", "12"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_a_policys_run_writes_with_its_adapter(
    toy: ToyModels, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for name in (policy, policy / "model", toy.chat):
        assert main(sample(str(name))) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_scores_and_the_best_of_k(toy: ToyModels, pm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*sample(str(toy.chat)), "-n", "8", "--pm", str(pm), "--json"]) == 0
    replies = said(capsys)["replies"]
    scores = PreferenceModel.load(pm).score(Conversation().human("how do I bake bread"), [r["text"] for r in replies])
    assert [reply["score"] for reply in replies] == pytest.approx(scores, abs=1e-5)
    assert main([*sample(str(toy.chat)), "-n", "2", "--best-of", "4", "--pm", str(pm), "--json"]) == 0
    best = [max(part, key=lambda reply: reply["score"]) for part in (replies[:4], replies[4:])]
    assert [reply["text"] for reply in said(capsys)["replies"]] == [reply["text"] for reply in best]
    assert main([*sample(str(toy.chat)), "--best-of", "4", "--pm", str(pm)]) == 0
    assert capsys.readouterr().out == f"[{best[0]['score']:+.3f}] {for_terminal(best[0]['text'])}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "must be above 0"),
        (["--max-new-tokens", "0"], "must be above 0"),
        (["--temperature", "0"], "must be above 0"),
        (["--temperature", "nan"], "must be above 0"),
        (["--best-of", "0", "--pm", "x"], "must be above 0"),
        (["--best-of", "4"], "--best-of needs a preference model to choose by; name one with --pm RUN"),
        (["--pm", "absent"], "absent holds no model"),
        (["--prompt", "  "], "does not end on a human message"),
        (["--prompt", "\n\nHuman: Hi\n\nAssistant: Hello"], "does not end on a human message"),
        (["--prompt", "x" * 400], "the last message does not fit"),
    ],
)
def test_what_cannot_be_sampled_is_one_line(
    arguments: list[str], message: str, toy: ToyModels, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, [*sample(str(toy.chat)), *arguments])


def test_folders_that_hold_no_writer(
    toy: ToyModels, pm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds neither a finished policy run nor a model" in refused(capsys, sample(str(tmp_path)))
    Run.begin(tmp_path / "policy-2", "policy", {}, {})
    assert "policy-2 holds no model yet" in refused(capsys, sample(str(tmp_path / "policy-2")))
    assert "is a preference model; give a causal LM" in refused(capsys, sample(str(pm)))
