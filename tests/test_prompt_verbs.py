"""``concordant prompts …`` as typed, and ``train policy --prompts``; a scripted model writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.commands import model_verbs
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.prompts import Origin, Prompt
from concordant.runs import Run
from concordant.sampler import ScriptedSampler
from concordant.store.database import Database
from concordant.store.prompt_files import read_prompts, write_prompts
from hh_rows import write_hh
from stories import base_model, draw, person, play
from toy_lessons import preference
from toy_model import ToyModels

QUESTIONS = ["How do I bake bread?", "how do I bake bread", "What is a fjord and where?", "Who was Ada Lovelace then?"]
WRITTEN = ("Why do cats purr at night?", "Sure! Here is one.", "How tall is the Eiffel tower?", "Why?")


@pytest.fixture
def hh(tmp_path: Path) -> Path:
    write_hh(tmp_path / "hh.jsonl", [preference(text, "yes", "no") for text in QUESTIONS])
    return tmp_path / "hh.jsonl"


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main([*map(str, words), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(list(map(str, words))) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_peoples_prompts_from_comparisons(hh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_hh(tmp_path / "test.jsonl", [preference("who was Ada Lovelace, then", "yes", "no")])
    out = tmp_path / "prompts.jsonl"
    result = said(capsys, "prompts", "human", out, "--data", hh, "--leave-out", tmp_path / "test.jsonl")
    assert result["prompts"] == 2
    assert result["dropped"] == {"duplicate": 1, "opening that is left out": 1}
    assert result["groups"] == [{"objective": "helpful", "origin": "human", "n": 2}]
    asked = [prompt.conversation.first_human_turn for prompt in read_prompts(out).prompts]
    assert asked == ["How do I bake bread?", "What is a fjord and where?"]
    assert main(["prompts", "human", str(out), "--data", f"harmless={hh}"]) == 0
    assert capsys.readouterr().out == (
        f"3 prompts\n  harmless  written by people          3\nleft out: 1 duplicate\n{out}\n"
    )


def test_peoples_prompts_from_a_programme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each turn of a talk is a prompt, also where the choice was of the weakest strength."""
    programme = Programme.init(tmp_path / "programme")
    database = Database.open(programme.store_url)
    model = base_model(database)
    play(database, person(database), draw(model), [1, 4], Objective.HARMLESS)
    database.close()
    out = tmp_path / "p.jsonl.gz"
    assert said(capsys, "prompts", "human", out, "--dir", programme.path)["prompts"] == 2
    found = read_prompts(out).prompts
    assert [len(prompt.conversation.turns) for prompt in found] == [1, 3]
    assert {prompt.objective for prompt in found} == {Objective.HARMLESS}
    assert "give one of them" in refused(capsys, "prompts", "human", out)
    assert "go with --data" in refused(capsys, "prompts", "human", out, "--dir", programme.path, "--limit", 3)
    assert "no prompt is left" in refused(
        capsys, "prompts", "human", out, "--dir", programme.path, "--objective", "helpful"
    )


def test_a_model_writes(
    hh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_verbs, "sampler_of", lambda args: ScriptedSampler(WRITTEN))
    words = ["prompts", "write", tmp_path / "run", "--examples", hh, "--count", 40, "--model", "scripted"]
    result = said(capsys, *words)
    assert result["prompts"] == 2
    assert result["groups"] == [{"objective": "helpful", "origin": "model", "n": 2}]
    assert set(result["dropped"]) == {"too short", "speaks as the assistant", "duplicate"}
    assert sum(result["dropped"].values()) == 38
    assert set(result["examples"]["helpful"]) <= set(QUESTIONS)
    assert {prompt.origin for prompt in read_prompts(Path(result["path"])).prompts} == {Origin.MODEL}
    assert Run.open(tmp_path / "run").head["parents"]["examples"].startswith("hh.jsonl@")
    assert said(capsys, *words) == result  # nothing is written twice
    assert "holds another run" in refused(capsys, *words, "--seed", 3)
    assert "must be above 0" in refused(capsys, *words[:-4], "--count", 0)
    monkeypatch.setattr(model_verbs, "sampler_of", lambda args: ScriptedSampler(("Why?",)))
    words[2] = tmp_path / "other"
    assert "none of the 40 replies is a prompt (40 too short)" in refused(capsys, *words)


def test_a_mixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = [
        Prompt(Conversation().human(f"{word} {objective} {origin} {number}"), objective, origin)
        for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight"))
        for objective in Objective
        for origin in Origin
    ]
    write_prompts(tmp_path / "all.jsonl", prompts)
    words = ["prompts", "mix", tmp_path / "mix.jsonl", tmp_path / "all.jsonl", "--near", 1]
    result = said(capsys, *words, "--total", 12, "--model-share", 0.5, "--harmless-share", 0.25)
    counts = {(group["objective"], group["origin"]): group["n"] for group in result["groups"]}
    assert sum(counts.values()) == 12
    assert counts["helpful", "model"] + counts["harmless", "model"] == 6
    assert counts["harmless", "human"] + counts["harmless", "model"] == 3
    assert "the most that they allow is 20" in refused(capsys, *words, "--total", 30, "--harmless-share", 0.2)
    assert "must lie between 0 and 1" in refused(capsys, *words, "--model-share", 2)
    assert "must be above 0 and at most 1" in refused(capsys, *words[:-1], 0)


def test_a_policy_reads_prompts(hh: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    main(["prompts", "human", str(tmp_path / "p.jsonl"), "--data", str(hh)])
    capsys.readouterr()
    words = ["train", "policy", "--pm", tmp_path / "pm", "--model", toy.chat, "--out", tmp_path / "run"]
    for setting in ("updates=1", "prompts_per_update=2", "replies_per_prompt=2", "max_new_tokens=4", "lora_rank=2"):
        words += ["--set", setting]
    result = said(capsys, *words, "--prompts", tmp_path / "p.jsonl")
    assert result["updates"] == 1
    parents = Run.open(tmp_path / "run").head["parents"]
    assert parents["prompts"].startswith("p.jsonl@") and "data" not in parents
    assert "a policy needs prompts" in refused(capsys, *words)
