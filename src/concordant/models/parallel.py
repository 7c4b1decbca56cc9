"""The processes that ``torchrun`` started, as one trainer: each computes a share of a batch, and the shares are summed.

Without torchrun there is one process, and nothing here does anything. A sum is the same, bit for bit, in every process;
against one process alone it differs by rounding. Left out: sharded weights, for models that one process cannot hold.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import nn

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Team:
    """All processes of a run, seen from one of them.

    Attributes:
        rank: which of them this is, from 0.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> "Team":
        """The team that this process was started in; waits for the others the first time."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        if not distributed.is_initialized():
            distributed.init_process_group()
        return cls(distributed.get_rank(), size)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def share(self, rows: Sequence[Row]) -> Sequence[Row]:
        """This process's part of a batch; no two parts differ by more than one row."""
        return rows[self.rank :: self.size]

    def add_up(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Each number summed over the team."""
        if self.size == 1:
            return dict(numbers)
        summed = torch.tensor(list(numbers.values()), dtype=torch.float64)
        distributed.all_reduce(summed)
        return dict(zip(numbers, summed.tolist(), strict=True))

    def add_up_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Leave in every weight the sum of the team's gradients. A process without a share adds nothing."""
        if self.size == 1:
            return
        for weight in weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            distributed.all_reduce(weight.grad)

    def wait(self) -> None:
        """Until all have come so far."""
        if self.size > 1:
            distributed.barrier()
