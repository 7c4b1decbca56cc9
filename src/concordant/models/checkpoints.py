"""A training state on disk, whole or not at all: tensors as safetensors, the rest as JSON; never pickle.

It holds what is needed to go on exactly: trained weights, optimiser, random streams, position. Torch's optimiser state
is a dict of dicts; it is flattened to named tensors and numbers.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from concordant.runs import recover_folder, replace_folder, write_whole


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A saved state: named tensors, and JSON values beside them."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Put this checkpoint in place of the last one in one step."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.new."))
        try:
            save_file(
                {name: tensor.contiguous() for name, tensor in self.tensors.items()}, temporary / "state.safetensors"
            )
            write_whole(temporary / "state.json", json.dumps(self.values))
            replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path) -> "Checkpoint | None":
        """The last checkpoint, or None where there is none. Sweeps up what a killed save left."""
        recover_folder(folder)
        for leftover in folder.parent.glob(f".{folder.name}.new.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        if not folder.exists():
            return None
        return cls(load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text()))


def trained_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights that training changes, by name."""
    return {name: weight.detach() for name, weight in network.named_parameters() if weight.requires_grad}


def restore_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights back into place; every trained weight must be there."""
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.requires_grad:
                weight.copy_(weights[name])


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors: ``"<parameter index>.<name>"``."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, slots in state.items() for name, value in slots.items()
    }


def restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Undo ``optimizer_tensors`` on a fresh optimiser of the same parameters; its settings stay its own."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")
    }
