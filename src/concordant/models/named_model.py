"""A causal LM by what people call it: a run, a folder, or a base model's name; and the digest of its weights.

The digest is over everything that changes what the model computes or reads: weights, adapter, config, tokenizer and
chat template. What is kept beside a digest (activations, a filter) is never used with another model.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch

from concordant.errors import UserError
from concordant.models.base_models import Say, cache_folder, fetch
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import MadeModel, adapter_base, is_preference_model, model_id

_READ = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer*.json", "*.jinja", "vocab.*", "merges.txt")


@dataclass(frozen=True, slots=True)
class NamedModel:
    """Where a causal LM stands.

    Attributes:
        name: what it was called; of a folder, its absolute path.
        folder: of the base model.
        adapter: of the LoRA, where it is a policy.
    """

    name: str
    folder: Path
    adapter: Path | None = None

    @classmethod
    def find(cls, name: str, say: Say = lambda line: None) -> "NamedModel":
        """What a run's folder, a policy it kept, a model's folder, a short name or a hub id stands for, fetched if
        need be.

        Raises:
            UserError: it stands for nothing, or for a preference model.
        """
        path = Path(name)
        known_as = str(path.resolve()) if path.is_dir() else name
        made = MadeModel.at(path) if path.is_dir() else None
        if made is not None and made.adapter is not None:
            return cls(known_as, adapter_base(made.adapter), made.adapter)
        if path.is_dir() and is_preference_model(path):
            raise UserError(f"{path} is a preference model; give a causal LM: a policy run, a model's folder or name")
        if path.is_dir() and not (path / "config.json").exists():
            raise UserError(
                f"{path} holds neither a finished policy run nor a model; give a run's folder or a model's name"
            )
        return cls(known_as, fetch(name, cache_folder(), say))

    def load(self, device: torch.device | str = "cpu") -> LanguageModel:
        """The model, its adapter merged in."""
        return LanguageModel.load(self.folder, self.adapter, device)

    def whole(self, say: Say = lambda line: None) -> Path:
        """The folder of the whole model: its own, or one into which the adapter is merged (``fetch``)."""
        return self.folder if self.adapter is None else fetch(self.name, cache_folder(), say)

    @property
    def id(self) -> str:
        """How it is recorded as an input."""
        return model_id(self.name)

    def digest(self) -> str:
        """SHA-256 of its files, 64 hex digits."""
        whole = hashlib.sha256()
        for folder in filter(None, (self.folder, self.adapter)):
            for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
                if path.name == "adapter_config.json":
                    # It names the base model's folder, which may stand elsewhere on another machine.
                    found = hashlib.sha256(b"adapter").hexdigest()
                else:
                    with path.open("rb") as file:
                        found = hashlib.file_digest(file, "sha256").hexdigest()
                whole.update(f"{path.name} {found}\n".encode())
        return whole.hexdigest()
