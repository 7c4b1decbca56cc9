"""Whatever a run made can be named wherever a model is: trained on, sampled, scored with, deployed, exported.

One preference model with copies from on its way, a policy of adapters and one of whole weights with snapshots, and a
distilled model, each through the verbs as typed.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.cli import main
from concordant.comparison import Tranche
from concordant.conversation import Conversation
from concordant.models.language_model import LanguageModel
from concordant.models.lineage import ancestry
from concordant.models.made_model import adapter_base, model_id, policy_base, weights_digest
from concordant.models.named_model import NamedModel
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.runs import Run
from concordant.serving_models import snapshot_samplers
from concordant.store.database import Database
from concordant.store.preferences import Filter, preferences
from concordant.store.registry import runs, snapshot
from hh_rows import write_hh
from stories import draw, person, play
from toy_lessons import good_over_bad
from toy_model import ToyModels

TINY = ["updates=3", "prompts_per_update=4", "replies_per_prompt=2", "max_new_tokens=6", "trial_prompts=2"]
MOVED = [*TINY, "learning_rate=1e-2", "keep_step=0.01", "warmup_updates=0"]


class Made:
    """Runs side by side, made by commands once for this file."""

    def __init__(self, toy: ToyModels, folder: Path) -> None:
        self.toy, self.folder = toy, folder
        self.data = folder / "hh.jsonl"
        write_hh(self.data, good_over_bad(32))
        self.text = folder / "text.jsonl"
        words = "take 3 cups of flour, mix; wait 20 min"
        self.text.write_text("".join(json.dumps({"text": f"{number} {words}"}) + "\n" for number in range(40)))
        self.prompt = folder / "mine.txt"
        self.prompt.write_text("Bake.\n-----\nHuman: how do I bake\n\nAssistant: with flour and water\n")
        chat = str(toy.chat)
        self.pm = self("train", "pm", "pm-1", ["batch_size=8", "learning_rate=5e-3", "keep_at=16"], "--model", chat)
        self.lora = self.policy("lora", chat, "lora_rank=2")
        self.whole = self.policy("whole", chat, "lora_rank=0", "learning_rate=1e-3")
        self.student = self.distill("student", chat)

    def __call__(self, verb: str, what: str, name: str, settings: list[str], *words: str) -> Run:
        given = ["--data", str(self.data)] if what in ("pm", "policy") else []
        changes = [word for setting in settings for word in ("--set", setting)]
        assert main([verb, what, *given, *words, *changes, "--out", str(self.folder / name), "--json"]) == 0
        return Run.open(self.folder / name)

    def policy(self, name: str, model: str, *settings: str, pm: Path | None = None) -> Run:
        against = str(pm or self.pm.path)
        return self("train", "policy", name, [*MOVED, *settings], "--pm", against, "--model", model)

    def distill(self, name: str, model: str, *words: str) -> Run:
        settings = ["batch_size=4", "learning_rate=5e-3", "warmup_steps=0", "text_tokens=96", "k=10"]
        text = ["--text", str(self.text), "--prompt", str(self.prompt), "--test-fraction", "0.25"]
        return self("train", "distill", name, [*settings, "dialogue_share=0"], *text, "--model", model, *words)

    def kept(self, run: Run) -> Path:
        return run.kept / str(run.kept_steps()[-1])


@pytest.fixture(scope="module")
def made(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONCORDANT_CACHE", str(folder / "cache"))
        yield Made(toy, folder)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def logits(model: LanguageModel) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.network(torch.tensor([[11, 12, 13]])).logits
    return found


def test_a_policy_is_trained_on_from_either_kind_of_policy(made: Made) -> None:
    """The new reference is the old policy; of an adapter, one whole model is made, and used again."""
    for run in (made.lora, made.whole):
        for path in (run.path, made.kept(run)):
            named = NamedModel.find(str(path))
            after = made.policy(f"after-{run.name}-{path.name}", str(path), "lora_rank=2")
            base = adapter_base(after.model)
            assert policy_base(after.model) == base == named.whole().resolve()
            torch.testing.assert_close(logits(LanguageModel.load(base)), logits(named.load()), atol=1e-5, rtol=1e-5)
            assert after.head["parents"]["base"] == model_id(path)
            assert after.result["before"]["kl"] == 0
    merged = sorted(folder.name for folder in (made.folder / "cache").iterdir() if folder.is_dir())
    assert len(merged) == 2 and all(re.fullmatch(r"lora(--kept--\d)?@[0-9a-f]{12}", name) for name in merged)
    names = [one.id for one in ancestry(Run(made.folder / f"after-lora-{made.kept(made.lora).name}")) if one.run]
    assert names[0] == model_id(made.kept(made.lora)) and model_id(made.pm.path) in names
    again = made.policy("whole-again", str(made.whole.path), "lora_rank=0", "learning_rate=1e-3")
    assert policy_base(again.model) == made.whole.model.resolve()


def test_a_preference_model_and_a_student_from_a_policy(made: Made) -> None:
    for run in (made.lora, made.whole):
        pm = made("train", "pm", f"pm-of-{run.name}", ["batch_size=8"], "--model", str(run.path))
        assert pm.head["parents"]["base"] == model_id(run.path)
        assert PreferenceModel.load(pm.path).score(Conversation().human("hi"), ["a"])
    student = made.distill("student-2", str(made.lora.path), "--teacher", str(made.whole.path))
    assert student.head["parents"]["base"] == model_id(made.lora.path)
    assert student.head["parents"]["teacher"].startswith("whole@")
    # What is made of a policy is no policy.
    assert "concordant_policy" not in (student.model / "config.json").read_text()


def test_sampled_examined_and_fetched(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (made.whole.path, made.whole.model, made.kept(made.whole), made.kept(made.lora), made.student.path):
        words = ["sample", path, "--prompt", "how do I bake", "--max-new-tokens", 4, "--device", "cpu"]
        assert said(capsys, *words)["replies"][0]["tokens"] <= 4
        result = said(capsys, "doctor", path, "--device", "cpu")
        assert result["kind"] == "causal language model" and result["holds"]
        began = [check["check"] for check in result["checks"] if check["check"].startswith("PPO: ")]
        assert ("PPO: KL at step 0" in began) is (path != made.student.path)
        assert ("PPO: recorded KL" in began) is (path != made.student.path)
    assert said(capsys, "doctor", made.whole.path, "--pm", made.pm.path)["holds"]
    assert said(capsys, "model", "get", made.whole.path)["folder"] == str(made.whole.model)


def test_a_kept_preference_model_in_the_place_of_a_finished_one(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    copy = made.pm.kept / "16"
    id = f"pm-1/kept/16@{weights_digest(copy)[:12]}"
    assert said(capsys, "evaluate", "pm", copy, "--data", made.data)["n"] == 32
    assert said(capsys, "score", copy, made.data)["scored"] == 32
    scored = said(capsys, "sample", made.toy.chat, "--prompt", "hi", "--pm", copy, "--best-of", 2)
    assert scored["replies"][0]["score"] is not None
    policy = made.policy("against-a-copy", str(made.toy.chat), "lora_rank=2", pm=copy)
    assert policy.head["parents"]["pm"] == id
    (pm,) = (one for one in ancestry(policy) if one.role == "pm")
    assert (pm.id, pm.run) == (id, Run(copy.resolve())) and pm.run is not None
    assert (pm.run.head["parents"]["run"], pm.run.head["parents"]["kept_at"]) == ("pm-1", "16")
    out = made.folder / "best-of"
    said(capsys, "evaluate", "best-of", made.data, "--model", made.toy.chat, "--pm", copy, "--n", 2, "--limit", 2,
         "--max-new-tokens", 4, "--policy", policy.path, "--out", out)  # fmt: skip
    assert Run.open(out).head["parents"]["pm"] == id


def test_exported_with_a_card(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    for path, name, kind in (
        (made.whole.path, "# whole: a policy", "policy"),
        (made.kept(made.whole), f"# whole/kept/{made.kept(made.whole).name}: a policy", "policy"),
        (made.kept(made.lora), f"# lora/kept/{made.kept(made.lora).name}: a policy", "policy"),
        (made.student.path, "# student: a context-distilled model", "distilled model"),
        (made.pm.kept / "16", "# pm-1/kept/16: a preference model", "preference model"),
    ):
        out = made.folder / f"exported-{path.parent.parent.name}-{path.name}"
        assert said(capsys, "model", "export", path, out)["kind"] == kind
        card = (out / "README.md").read_text()
        assert name in card and str(made.folder) not in card
        assert str(made.folder) not in (out / "config.json").read_text()
        auto = AutoModelForSequenceClassification if kind == "preference model" else AutoModelForCausalLM
        assert auto.from_pretrained(out).config.vocab_size >= 300


def test_what_the_card_of_a_student_says(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    out = made.folder / "student-out"
    said(capsys, "model", "export", made.student.path, out)
    card, result = (out / "README.md").read_text(), made.student.result
    measured = json.loads((made.student.path / "evaluation.json").read_text())
    given = made.student.head["parents"]
    for piece in (
        f"| teacher | `{given['teacher']}` |",
        f"| prompt | `{given['prompt']}` |",
        f"| texts from | `{given['data']}` |",
        f"{result['texts']:,} texts (0 dialogues) of {result['documents']:,} documents",
        f"| base model, without the prompt | {measured['base']['kl']:.4f} [",
        f"| this model, without the prompt | {measured['student']['kl']:.4f} [",
        f"fell from {result['first_loss']:.4f} at the first step to {result['train_loss']:.4f}",
        "at most 96 tokens",
        f"  - base: `{given['base']}`",
    ):
        assert piece in card, piece
    network = LanguageModel.load(out)
    torch.testing.assert_close(logits(network), logits(LanguageModel.load(made.student.model)))
    assert main(["model", "export", str(made.student.path), str(out), "--adapter"]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_deployed(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Snapshots that were kept are online, a student is base, and a best-of-k by a kept PM is rs or online."""
    programme = Programme.init(tmp_path / "p", f'model = "{made.toy.chat}"\n[sampling]\nmax_new_tokens = 4\n')
    copy, where = made.pm.kept / "16", ["--dir", programme.path]
    kept = f"whole/kept/{made.kept(made.whole).name}"
    labels = [
        said(capsys, "deploy", "add", path, *where)["snapshot"]
        for path in (made.whole.path, made.kept(made.whole), made.kept(made.lora), made.student.path)
    ]
    assert labels == ["whole", kept, f"lora/kept/{made.kept(made.lora).name}", "student"]
    assert said(capsys, "deploy", "add", made.kept(made.whole), *where)["snapshot"] == kept
    for of in (made.toy.chat, "student", kept):
        labels.append(said(capsys, "deploy", "add", of, "--best-of", 2, "--pm", copy, *where)["snapshot"])
    assert labels[4].endswith(f" best of 2 by {model_id(copy)}")
    threads, database = torch.get_num_threads(), Database.open(programme.store_url)
    try:
        recorded = {run.name: run for run in runs(database)}
        assert recorded[kept].parents["run"] == "whole" and recorded[kept].parents["kept_at"] == kept[-1]
        worker, writers = person(database), snapshot_samplers(programme, database)
        for label in labels:
            found = snapshot(database, label)
            tokens = writers(found).sample([Conversation().human("how")], 1, 0)[0][0].tokens
            assert tokens is not None and tokens <= 4
            play(database, worker, draw(found), [1])
        tranches = [row.tranche for _, row in preferences(database, Filter())]
        online, rs = Tranche.ONLINE, Tranche.RS
        assert tranches == [online, online, online, Tranche.BASE, rs, rs, online]
    finally:
        torch.set_num_threads(threads)
        database.close()


def test_a_preference_model_in_the_place_of_a_policy_is_one_line(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pm, data = str(made.pm.path), str(made.data)
    rest = ["--out", str(tmp_path / "out")]
    text = ["--text", str(made.text)]
    for words in (
        ["train", "policy", "--data", data, "--pm", pm, "--model", pm, *rest],
        ["train", "distill", *text, "--model", pm, *rest],
        ["sample", pm, "--prompt", "hi"],
    ):
        capsys.readouterr()
        assert main(words) == 2
        assert "is a preference model; give a causal LM" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
