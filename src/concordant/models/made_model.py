"""What a run left in a folder: a policy, a distilled student or a preference model, at its end or kept on the way.

One place knows the forms: the run's folder, the folder of its model, and ``RUN/kept/STEP``, which is the weights alone
where the run trained a policy, and a run's folder itself where it trained a preference model. An input is recorded by
``model_id``, a name and the beginning of its weights' SHA-256. Left out: loading any of it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from concordant.runs import KEPT, Json, Run, read_json

ADAPTER = "adapter_config.json"
WHOLE_POLICY_KEY = "concordant_policy"
"""Stands in the config.json of every whole policy that was trained here, and of nothing else: its base's folder."""
PM_TOKENS_KEY = "concordant_max_tokens"
"""Stands in the config.json of every preference model that was saved here, and of nothing else."""
NOTE = "kept.json"
"""In the folder of a policy kept on the way: what its samples showed."""

_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class MadeModel:
    """A model and the run that made it.

    Attributes:
        folder: of the weights.
        run: None where the folder stands alone.
        step: of a policy that was kept on the way, else "". A kept preference model is a run of its own.
    """

    folder: Path
    run: Run | None
    step: str = ""

    @classmethod
    def at(cls, path: Path) -> "MadeModel | None":
        """What stands in this folder; None where no model stands, or one that has none of our marks and no run."""
        folder = path / "model" if is_run(path) or _is_model(path / "model") else path
        if not _is_model(folder):
            return None
        place = folder.resolve()
        if place.name == "model" and is_run(place.parent):
            return cls(folder, Run(folder.absolute().parent))
        if place.parent.name == KEPT and is_run(place.parents[1]):
            return cls(folder, Run(folder.absolute().parents[1]), place.name)
        marked = (folder / ADAPTER).exists() or is_whole_policy(folder) or is_preference_model(folder)
        return cls(folder, None) if marked else None

    @property
    def name(self) -> str:
        """Its name in lineage records: the run's, with ``kept/STEP`` where it was kept on the way."""
        if self.run is None:
            return (self.folder.parent if self.folder.name == "model" else self.folder).resolve().name
        return f"{run_name(self.run)}/{KEPT}/{self.step}" if self.step else run_name(self.run)

    @property
    def kind(self) -> str:
        """Of the run that made it; where that is not at hand, "pm" or "policy"."""
        alone = "pm" if is_preference_model(self.folder) else "policy"
        return str(self.run.head["kind"]) if self.run else alone

    @property
    def adapter(self) -> Path | None:
        """The folder of the LoRA, where the weights are one."""
        return self.folder if (self.folder / ADAPTER).exists() else None

    @property
    def ready(self) -> bool:
        """Whether it changes no more: it was kept, or its run has ended."""
        return bool(self.step) or self.run is None or self.run.finished

    @property
    def parents(self) -> Mapping[str, str]:
        """What it was made from: the run's inputs, and of a kept policy the run and the step too."""
        given: Json = self.run.head["parents"] if self.run else {}
        return given | {"run": run_name(self.run), "kept_at": self.step} if self.run and self.step else given

    @property
    def note(self) -> Json:
        """What was measured when it was kept."""
        return read_json(self.folder / NOTE) if (self.folder / NOTE).exists() else {}


def is_run(path: Path) -> bool:
    """Whether this is the folder of a run, finished or not."""
    return (path / "config.json").exists() and "kind" in read_json(path / "config.json")


def run_name(run: Run) -> str:
    """The run's name, wherever the command was started."""
    return Run(run.path.resolve()).name


def is_whole_policy(folder: Path) -> bool:
    """Whether a run of ``train policy`` wrote a whole model here and not an adapter."""
    config = folder / "config.json"
    return config.exists() and WHOLE_POLICY_KEY in read_json(config)


def is_preference_model(folder: Path) -> bool:
    """Whether a PM stands in this folder, or in the folder of the run that made it."""
    config = model_folder(folder) / "config.json"
    return config.exists() and PM_TOKENS_KEY in read_json(config)


def model_folder(folder: Path) -> Path:
    """Where the whole model stands: in the folder of the run that made it, or here."""
    return folder / "model" if (folder / "model" / "config.json").exists() else folder


def adapter_base(adapter: Path) -> Path:
    """The folder of the base model that a LoRA adapter was trained on."""
    return Path(read_json(adapter / ADAPTER)["base_model_name_or_path"])


def policy_base(folder: Path) -> Path:
    """The folder of the model that a policy was trained from, whether an adapter or all weights were trained."""
    return (
        adapter_base(folder)
        if (folder / ADAPTER).exists()
        else Path(read_json(folder / "config.json")[WHOLE_POLICY_KEY])
    )


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights of a run's model or a model's folder, 64 hex digits; "" where there are none.

    Of weights in several files it is that of their names and digests.
    """
    for inner in (folder / "model", folder):
        for name in ("model.safetensors", "adapter_model.safetensors"):
            if (inner / name).exists():
                return _sha256(inner / name)
        if parts := {path.name: _sha256(path) for path in sorted(inner.glob("model-*.safetensors"))}:
            return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return ""


def model_id(name: str | Path) -> str:
    """How a model is recorded as an input: a folder by name and content, a short name or hub id as it is.

    What is fetched by name has a digest of its own, which is checked whenever it is used.
    """
    folder = Path(name)
    if not folder.is_dir():
        return str(name)
    made = MadeModel.at(folder)
    called = made.name if made else Run(folder.resolve()).name
    return f"{called}@{weights_digest(folder)[:_ID_DIGITS]}"


def same_model(one: str, other: str) -> bool:
    """Whether two ids mean one model: by content where both say it, else by name.

    A run of the online loop names models of its own programme by their run's name alone.
    """
    (name, _, digest), (other_name, _, other_digest) = one.partition("@"), other.partition("@")
    return digest == other_digest if digest and other_digest else Path(name).name == Path(other_name).name


def _is_model(folder: Path) -> bool:
    return (folder / ADAPTER).exists() or ((folder / "config.json").exists() and not is_run(folder))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
