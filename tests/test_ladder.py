"""The paper's sizes from scratch: the arithmetic without allocating them, and the smallest one as a base model."""

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from concordant.cli import main
from concordant.errors import UserError
from concordant.models import base_models
from concordant.models.base_models import fetch
from concordant.models.chat_format import ChatFormat
from concordant.models.ladder import CONTEXT, LAYERS, Rung
from hh_rows import write_hh
from toy_lessons import good_over_bad
from toy_model import ToyModels

PAPER = {
    "ladder-13m": (4, 512, 12.6e6),
    "ladder-42m": (6, 768, 42.5e6),
    "ladder-197m": (10, 1280, 196.6e6),
    "ladder-810m": (16, 2048, 805e6),
    "ladder-2.7b": (24, 3072, 2.72e9),
    "ladder-13b": (40, 5120, 12.6e9),
    "ladder-52b": (64, 8192, 51.5e9),
}
"""Layers, width and weights without embeddings, as the paper's table has them."""


@pytest.fixture
def tokenizer_at_hand(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub whose smollm2-135m is a toy."""
    loaded = (AutoModelForCausalLM.from_pretrained(toy.chat), AutoTokenizer.from_pretrained(toy.chat))
    monkeypatch.setattr(base_models, "_hub_answers", lambda hub_id: True)
    monkeypatch.setattr(base_models, "_from_hub", lambda hub_id: loaded)


def test_the_sizes_are_the_papers() -> None:
    assert PAPER.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", PAPER)
def test_weights_without_allocating_them(name: str, toy: ToyModels) -> None:
    """The network that transformers builds has the paper's number of weights, and the one that is stated."""
    tokenizer = AutoTokenizer.from_pretrained(toy.chat)
    layers, width, expected = PAPER[name]
    rung = Rung.named(name)
    assert rung is not None and (rung.layers, rung.width) == (layers, width)
    config = rung.config(tokenizer)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    embeddings = network.get_input_embeddings().weight
    assert network.get_output_embeddings().weight is embeddings and embeddings.shape == (len(tokenizer), width)
    weights = sum(weight.numel() for weight in network.parameters()) - embeddings.numel()
    assert weights == rung.body_parameters
    assert weights == pytest.approx(expected, rel=0.05)
    assert weights == pytest.approx(12 * layers * width**2, rel=0.015)
    assert config.num_attention_heads * config.head_dim == width
    assert config.max_position_embeddings == CONTEXT == 2048


def test_worked_by_hand() -> None:
    """4 layers of 512: 4·512² = 1,048,576 for attention, 3·512·1344 = 2,064,384, nine norms of 512."""
    rung = Rung("ladder-13m")
    assert rung.inner_width == 1344  # 8·512/3 = 1365.3 = 21.3 · 64
    assert rung.body_parameters == 4 * (1_048_576 + 2_064_384) + 9 * 512


def test_names() -> None:
    assert Rung.named("smollm2-135m") is None and Rung.named("org/ladder-13m") is None
    assert Rung.named("ladder-13m") == Rung.named("ladder-13m@0") == Rung("ladder-13m", 0)
    assert Rung.named("ladder-2.7b@12") == Rung("ladder-2.7b", 12)
    for wrong in ("ladder-14m", "ladder-13m@", "ladder-13m@x", "ladder-13m@-1", "ladder-13M"):
        with pytest.raises(UserError, match=rf"model '{wrong}' is unknown; give ladder-13m, ladder-42m") as refusal:
            Rung.named(wrong)
        assert "\n" not in str(refusal.value)


def test_the_seed_makes_the_weights(toy: ToyModels, tmp_path: Path) -> None:
    def weights(seed: int) -> Any:
        return Rung("ladder-13m", seed).untrained(toy.chat, tmp_path / "model")[0].state_dict()

    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = weights(0), weights(0), weights(1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["lm_head.weight"], other["lm_head.weight"])


@pytest.mark.usefixtures("tokenizer_at_hand")
def test_a_rung_is_an_ordinary_base_model(toy: ToyModels, tmp_path: Path) -> None:
    said: list[str] = []
    folder = fetch("ladder-13m", tmp_path, said.append)
    assert folder == tmp_path / "ladder-13m@0"
    assert said[-1] == "ladder-13m@0: 12.5M weights without embeddings, untrained"
    seal = json.loads((folder / "concordant.json").read_text())
    assert seal["source"] == "scratch:ladder-13m@0" and list(seal["sha256"]) == ["model.safetensors"]
    network = AutoModelForCausalLM.from_pretrained(folder)
    assert network.config.architectures == ["LlamaForCausalLM"]
    assert (network.config.eos_token_id, network.config.pad_token_id) == (1, 0)
    # Text is rendered as the paper's transcripts, whatever template the tokenizer had.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == AutoTokenizer.from_pretrained(toy.chat).get_vocab()
    assert not ChatFormat(tokenizer).has_template
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert fetch("ladder-13m@0", tmp_path, said.append) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == written and len(said) == 2
    # Sealed as every base model is.
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(UserError, match="is not what was saved there; delete"):
        fetch("ladder-13m", tmp_path)


def test_padding_is_not_the_end_of_text(toy: ToyModels, tmp_path: Path) -> None:
    """SmolLM2 pads with its end of turn; the ladder does not, where another token is free."""
    shutil.copytree(toy.chat, tmp_path / "tokenizer")
    path = tmp_path / "tokenizer/tokenizer_config.json"
    config = json.loads(path.read_text()) | {"pad_token": "<|endoftext|>", "unk_token": "<|hidden|>"}
    path.write_text(json.dumps(config))
    model, tokenizer = Rung("ladder-13m").untrained(tmp_path / "tokenizer", tmp_path / "model")
    assert tokenizer.pad_token == "<|hidden|>"
    assert model.config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_machine_that_is_too_small(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anything is allocated: with 300 tokens, ladder-52b has 51.4e9 weights of four bytes."""
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free=10**12))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 16 * 10**6, "SC_PAGE_SIZE": 1000}.get)
    wanted = (
        r"ladder-52b is 20\d GB in memory and on disk, and this machine has 16 GB of memory and 1000 GB of free disk"
    )
    with pytest.raises(UserError, match=wanted):
        Rung("ladder-52b").untrained(toy.chat, tmp_path / "model")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free=10**6))
    with pytest.raises(UserError, match=r"ladder-13m is 0 GB .* 0 GB of free disk; take a smaller one"):
        Rung("ladder-13m").untrained(toy.chat, tmp_path / "model")


@pytest.mark.usefixtures("tokenizer_at_hand")
def test_a_preference_model_of_a_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verbs take the short name: train, evaluate, examine."""
    monkeypatch.setenv("CONCORDANT_CACHE", str(tmp_path / "cache"))
    write_hh(tmp_path / "data.jsonl", good_over_bad(8))
    run, data = str(tmp_path / "pm"), str(tmp_path / "data.jsonl")
    assert main(["train", "pm", "--data", data, "--model", "ladder-13m", "--out", run, "--set", "batch_size=4"]) == 0
    assert main(["evaluate", "pm", run, "--data", data]) == 0
    capsys.readouterr()
    assert main(["doctor", run, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wrong"] == 0
    assert main(["model", "get", "ladder-13m"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cache/ladder-13m@0")
    assert "ladder-13m, a transformer that was not trained before" in (tmp_path / "pm/model/README.md").read_text()
