"""Exported models: plain transformers, and peft, give our log-probabilities; no file names a folder of this machine."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from concordant.cli import main
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.run_material import save_evaluation
from concordant.models.export import export, exportable
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import weights_digest
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.runs import Run
from concordant.train.judging import Judges
from concordant.train.pm import train_pm
from concordant.train.policy import train_policy
from concordant.train_config import PolicyConfig, PreferenceModelConfig
from toy_lessons import LetterModel, good_over_bad
from toy_model import ToyModels

ASKED = Conversation().human("hi").assistant("hello there").human("how do I bake bread")
REPLY = "good answers are short"
CONFIG = PolicyConfig(updates=3, prompts_per_update=2, replies_per_prompt=2, max_new_tokens=6, lora_rank=2)


def silent(done: int, total: int, seen: str) -> None:
    """Nobody watches."""


def make_policy(folder: Path, base: Path) -> Run:
    """A preference model and a policy against it, side by side, as ``train`` leaves them."""
    pm_config = PreferenceModelConfig(model=str(base), batch_size=8, learning_rate=5e-3, max_tokens=200)
    given = {"data": "lessons.jsonl@0123456789ab", "objective": "helpful", "base": str(base)}
    pm = Run.begin(folder / "pm-1", "pm", pm_config.model_dump(mode="json"), given)
    train_pm(pm, PreferenceModel.from_language_model(base, 0, 200), good_over_bad(16), pm_config, silent)
    save_evaluation(pm, EVALUATION)
    parents = {"prompts": "asked.jsonl@ba9876543210", "base": str(base), "pm": f"pm-1@{weights_digest(pm.path)[:12]}"}
    config = CONFIG.model_copy(update={"learning_rate": 3e-2})
    run = Run.begin(folder / "policy-1", "policy", config.model_dump(mode="json"), parents)
    prompts = [Conversation().human(f"question {number}") for number in range(8)]
    train_policy(run, LanguageModel.load(base), Judges(LetterModel()), dict.fromkeys(prompts), config, silent)
    return run


EVALUATION: dict[str, Any] = {
    "n": 40, "accuracy": 0.675, "ci95": [0.52, 0.799], "ties": 0.0, "nll": 0.61, "ece": 0.052, "collapsed": False,
}  # fmt: skip


@pytest.fixture(scope="module", params=["chat", "gpt2"])
def policy(request: pytest.FixtureRequest, toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_policy(tmp_path_factory.mktemp("runs"), getattr(toy, request.param))


def ours(run: Run, adapter: Path | None = None) -> tuple[list[int], list[int], Tensor]:
    """(prompt, reply, log-probabilities) by our own packed rows, the adapter merged into the base."""
    from concordant.models.made_model import adapter_base

    folder = adapter or run.model
    model = LanguageModel.load(adapter_base(folder), folder)
    prompt, reply = model.format.prompt(ASKED), model.format.reply(REPLY)
    batch = RowBatch.pack([SharedRow(prompt, [reply])])
    _, _, before = batch.reply_tokens()
    with torch.inference_mode():
        states = model.hidden(batch)[0, before]
        return prompt, reply, model.token_logprobs(states, torch.tensor(reply), 1.0)[0]


def plainly(network: Any, prompt: list[int], reply: list[int]) -> Tensor:
    """The reply's log-probabilities by a causal LM of transformers or peft, called with tokens alone."""
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(reply)[:, None])[:, 0]


def no_folder_of_this_machine(folder: Path, *roots: Path) -> bool:
    texts = [file.read_text() for file in folder.rglob("*") if file.suffix in (".json", ".md", ".jinja")]
    return not any(str(root) in text for text in texts for root in roots)


def test_the_merged_model_is_plain(policy: Run, toy: ToyModels, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(exportable(policy.path), tmp_path / "out")
    prompt, reply, expected = ours(policy)
    network = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert plainly(network, prompt, reply) == pytest.approx(expected.tolist(), abs=1e-4)
    base = AutoModelForCausalLM.from_pretrained(policy.head["parents"]["base"])
    assert (plainly(base, prompt, reply) - expected).abs().max() > 1e-3  # it has learned something
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    loaded = LanguageModel.load(tmp_path / "out")
    assert loaded.format.prompt(ASKED) == prompt
    assert bool(tokenizer.chat_template) == loaded.format.has_template
    if tokenizer.chat_template:
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello there"}]
        turns.append({"role": "user", "content": "how do I bake bread"})
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == prompt
    assert network.generation_config.eos_token_id[0] == loaded.format.end_of_turn
    assert no_folder_of_this_machine(tmp_path / "out", policy.path.parent, toy.chat.parent, tmp_path)
    assert not list((tmp_path / "out").glob("adapter*")) and oct((tmp_path / "out").stat().st_mode & 0o777) == "0o755"


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_the_adapter_is_pefts(policy: Run, toy: ToyModels, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    export(exportable(policy.path), tmp_path / "out", adapter=True)
    prompt, reply, expected = ours(policy)
    base = AutoModelForCausalLM.from_pretrained(policy.head["parents"]["base"])
    network = PeftModel.from_pretrained(base, str(tmp_path / "out"))
    assert plainly(network, prompt, reply) == pytest.approx(expected.tolist(), abs=1e-4)
    named = json.loads((tmp_path / "out/adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == Path(policy.head["parents"]["base"]).name
    assert no_folder_of_this_machine(tmp_path / "out", policy.path.parent, toy.chat.parent, tmp_path)
    assert "library_name: peft" in (tmp_path / "out/README.md").read_text()


def test_what_the_card_says(policy: Run, tmp_path: Path) -> None:
    export(exportable(policy.path), tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    base, pm = Path(policy.head["parents"]["base"]).name, policy.head["parents"]["pm"]
    for piece in (
        "# policy-1: a policy",
        "after 3 updates:",
        "| score by the preference model that trained it | ",
        "| `learning_rate` | 0.03 |",
        "at most 6 tokens",
        "model pm-1 agrees with 67.5% [52.0%, 79.9%] of the choices in 40 comparisons that it never saw.",
        "- this model: policy-1\n  - prompts: `asked.jsonl@ba9876543210`\n",
        f"  - pm: `{pm}`, 16 comparisons (16 from files that do not say who chose)\n",
        "    - data: `lessons.jsonl@0123456789ab`\n    - objective: `helpful`\n",
        f"    - base: `{base}`",
    ):
        assert piece in card, piece


def test_the_lines_in_the_card_answer(toy: ToyModels, policy: Run, tmp_path: Path, capsys: Any) -> None:
    import re

    export(exportable(policy.path), tmp_path / "out")
    (code,) = re.findall(r"^```python\n(.*?)^```$", (tmp_path / "out/README.md").read_text(), re.M | re.S)
    exec(
        code.replace("path/to/this/folder", str(tmp_path / "out")).replace("max_new_tokens=128", "max_new_tokens=5"), {}
    )
    assert capsys.readouterr().out.endswith("\n")


def test_a_snapshot_that_was_kept(policy: Run, tmp_path: Path) -> None:
    """Of update 2: other weights than the end's, the same lineage."""

    kept = tmp_path / "runs/policy-1/kept/2"
    shutil.copytree(policy.path, tmp_path / "runs/policy-1")
    shutil.copytree(policy.model, kept)
    weights = {name: value * 0.5 for name, value in load_file(kept / "adapter_model.safetensors").items()}
    save_file(weights, kept / "adapter_model.safetensors", metadata={"format": "pt"})
    (kept / "kept.json").write_text('{"updates": 2, "kl": 1.5, "score": 0.25}')
    save_file({"weight": torch.zeros(1)}, kept / "value_head.safetensors")
    export(exportable(kept), tmp_path / "out")
    prompt, reply, expected = ours(policy, kept)
    found = LanguageModel.load(tmp_path / "out")
    assert plainly(found.network, prompt, reply) == pytest.approx(expected.tolist(), abs=1e-4)
    card = (tmp_path / "out/README.md").read_text()
    assert "| KL from the base model, nats per reply | 1.500 |" in card and "test_score" not in card
    assert "A snapshot at update 2." in card and "a run that was not at hand" in card
    assert not (tmp_path / "out/value_head.safetensors").exists()
    export(exportable(kept), tmp_path / "again", parents=[policy.path.parent / "pm-1"])
    assert "16 comparisons" in (tmp_path / "again/README.md").read_text()


def test_a_preference_model_of_that_name_with_other_weights_is_not_its_parent(policy: Run, tmp_path: Path) -> None:

    shutil.copytree(policy.path.parent, tmp_path / "runs")
    model = tmp_path / "runs/pm-1/model/model.safetensors"
    weights = load_file(model)
    weights["score.weight"] += 1
    save_file(weights, model, metadata={"format": "pt"})
    export(exportable(tmp_path / "runs/policy-1"), tmp_path / "out")
    assert "a run that was not at hand" in (tmp_path / "out/README.md").read_text()


def test_a_preference_model(policy: Run, toy: ToyModels, tmp_path: Path) -> None:
    assert main(["model", "export", str(policy.path.parent / "pm-1"), str(tmp_path / "out"), "--json"]) == 0
    scored = [
        PreferenceModel.load(path).score(ASKED, [REPLY, "bad"])
        for path in (policy.path.parent / "pm-1", tmp_path / "out")
    ]
    assert scored[0] == scored[1]
    assert "# pm-1: a preference model" in (tmp_path / "out/README.md").read_text()
    assert no_folder_of_this_machine(tmp_path / "out", policy.path.parent, toy.chat.parent)


def test_a_whole_model_without_a_run(toy: ToyModels, tmp_path: Path) -> None:
    """As full finetuning leaves one, moved away from its run."""
    whole = tmp_path / "whole"
    LanguageModel.load(toy.chat).with_all_weights().save_trained(whole)
    export(exportable(whole), tmp_path / "out")
    one, other = (LanguageModel.load(path).network.state_dict() for path in (whole, tmp_path / "out"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "The run that made it was not at hand." in (tmp_path / "out/README.md").read_text()
    with pytest.raises(UserError, match="holds a whole model and no adapter"):
        export(exportable(whole), tmp_path / "adapter", adapter=True)
    assert not (tmp_path / "adapter").exists()
    with pytest.raises(UserError, match="no card to write"):
        exportable(toy.chat)


def test_what_cannot_be_exported_is_one_line(tmp_path: Path, toy: ToyModels, capsys: Any) -> None:
    Run.begin(tmp_path / "begun", "policy", {}, {})
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    LanguageModel.load(toy.chat).with_all_weights().save_trained(tmp_path / "whole")
    for words, message in (
        ([tmp_path / "begun", tmp_path / "out"], "holds no finished model"),
        ([tmp_path / "none", tmp_path / "out"], "holds no finished model"),
        ([tmp_path / "whole", tmp_path / "full"], "is not empty; choose another folder"),
        ([toy.chat, tmp_path / "out"], "no card to write"),
    ):
        assert main(["model", "export", *map(str, words)]) == 2
        assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "full", "whole"]
