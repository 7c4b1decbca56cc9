"""On which device a model is trained and scores: the CPU, a CUDA card, or Apple's GPU.

It is chosen where a command starts and never written into a run's config: what a run is must not depend on the machine.
Left out: several devices in one process. Under ``torchrun`` each process takes the card of its own number.
"""

import os
import re

import torch

from concordant.errors import UserError


def find_device(name: str) -> str:
    """The device of this name, as torch calls it.

    Args:
        name: "auto" (a CUDA card where there is one, else the CPU), "cpu", "cuda", "cuda:N" or "mps". Apple's GPU is
            only taken when it is named: its arithmetic is not checked here.

    Raises:
        UserError: another name, or this machine has no such device.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not cards):
        return "cpu"
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise UserError("device mps: this machine has no GPU that Metal can use; take --device cpu")
        return name
    named = re.fullmatch(r"auto|cuda(?::(\d+))?", name)
    if not named:
        raise UserError(f"device {name!r} is unknown; take auto, cpu, cuda, cuda:N or mps")
    if not cards:
        raise UserError(f"device {name}: torch finds no CUDA card here; take --device cpu")
    number = int(named[1] or os.environ.get("LOCAL_RANK", "0"))
    if number >= cards:
        raise UserError(
            f"device {name}: card {number} is asked for, and there are {cards}, counted from 0; take another one, or "
            "--device cpu"
        )
    return f"cuda:{number}"
