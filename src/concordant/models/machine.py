"""What this machine computes fastest with: threads, number format, and memory that is kept instead of given back.

It is measured in a second when a run begins, because habits mislead: bfloat16 is several times as fast as float32 on
one machine and hundreds of times slower on the next, and a container may see more cores than it is given. Left out:
several accelerators in one process.
"""

import ctypes
import json
import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from shutil import which
from typing import Any, Literal

import torch

from concordant.runs import Run, read_json, write_whole

Dtype = Literal["auto", "float32", "bfloat16"]

FILE = "machine.json"

WORTH = 1.5
"""How much faster bfloat16 must multiply to be taken: casts take a part of it back, and it rounds to three digits."""

_ROWS, _WIDE, _NARROW = 128, 1536, 576
"""Shape of the product that is timed: a feed-forward layer of the 135M model."""

_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2
"""glibc's numbers of its settings (malloc.h)."""


@dataclass(frozen=True, slots=True)
class Machine:
    """How a run computes. It stays the same when the run is gone on with, so that the sums stay the same too.

    Attributes:
        device: type of the device, such as "cpu" or "cuda".
        threads: of torch on the CPU.
        dtype: of the transformer's matrix products in training; weights, scores and losses are float32 always.
        gflops: measured rate of a matrix product, by dtype; empty where nothing was measured.
    """

    device: str
    threads: int
    dtype: str
    gflops: dict[str, float]

    @classmethod
    def of_run(cls, run: Run, device: torch.device, dtype: Dtype) -> "Machine":
        """What the run began with, as its folder says; measured and written there the first time.

        Args:
            run: begun.
            device: where it computes now; on another kind than it began on, everything is measured anew.
            dtype: "auto" for the faster one.
        """
        path = run.path / FILE
        if path.exists():
            found = cls(**read_json(path))
            if found.device == device.type and dtype in ("auto", found.dtype):
                return found
        machine = cls.measured(device, dtype)
        write_whole(path, json.dumps(asdict(machine), indent=2) + "\n")
        return machine

    @classmethod
    def measured(cls, device: torch.device, dtype: Dtype) -> "Machine":
        """The fastest threads and, where the choice is free, the faster dtype."""
        threads, rates = best_threads(), {}
        if dtype == "auto":
            torch.set_num_threads(threads)
            rates = {name: round(product_rate(device, getattr(torch, name)), 2) for name in ("float32", "bfloat16")}
            dtype = "bfloat16" if rates["bfloat16"] >= WORTH * rates["float32"] else "float32"
        return cls(device.type, threads, dtype, rates)

    def use(self) -> None:
        """Compute with its number of threads from now on."""
        torch.set_num_threads(self.threads)

    def products(self) -> AbstractContextManager[Any]:
        """Within it, matrix products are made in its dtype; weights and their gradients stay float32."""
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device, dtype=torch.bfloat16)


@lru_cache
def best_threads() -> int:
    """The number of threads with the fastest product on this CPU; fewer where more gain less than 5 %.

    ``OMP_NUM_THREADS`` is kept where it is set: ``torchrun`` sets it, and so does who shares a machine out.
    """
    if "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads()
    before = torch.get_num_threads()
    best, best_rate = 1, 0.0
    for threads in _thread_counts(available_cores()):
        torch.set_num_threads(threads)
        rate = product_rate(torch.device("cpu"), torch.float32)
        if rate > 1.05 * best_rate:
            best, best_rate = threads, rate
    torch.set_num_threads(before)
    return best


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _thread_counts(cores: int) -> Iterator[int]:
    """1, 2, 4 … and all cores."""
    count = 1
    while count < cores:
        yield count
        count *= 2
    yield cores


def product_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.05) -> float:
    """GFLOP/s of a product as the 135M model makes them.

    Args:
        device: where.
        dtype: of both factors.
        seconds: how long to repeat it; at least once, however slow.
    """
    left = torch.ones(_ROWS, _NARROW, device=device, dtype=dtype)
    right = torch.ones(_NARROW, _WIDE, device=device, dtype=dtype)
    _ready(left[:8] @ right)  # the first product of a kind sets its kernel up
    repeats, began = 0, time.perf_counter()
    while repeats == 0 or time.perf_counter() - began < seconds:
        _ready(left @ right)
        repeats += 1
    return repeats * 2 * _ROWS * _WIDE * _NARROW / (time.perf_counter() - began) / 1e9


def cannot_compile() -> str | None:
    """What ``torch.compile`` lacks on this machine, in words, or None."""
    if not any(map(which, ("g++", "clang++", "cl"))):
        return "a C++ compiler (g++)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers (python3-dev)"
    return None


def _ready(product: torch.Tensor) -> None:
    """Wait for an accelerator to finish."""
    product[0, 0].item()


@lru_cache
def keep_memory() -> None:
    """Let the C library keep the memory that tensors leave behind, instead of asking the system anew for every one.

    glibc maps each large block and unmaps it when it is freed; in training every step then touches gigabytes of fresh
    pages, which took a fifth of the time on the machine where it was measured (docs/log.md). Elsewhere it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)
        mallopt(_TOP_PAD, 2**26)
