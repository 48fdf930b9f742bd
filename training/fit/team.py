"""The processes of one run. Alone, nothing here does anything; under `torchrun`, gradients and counts are shared.

    torchrun --nproc-per-node 2 -m training.finetune …

Each process takes its part of every step, so that the step stays the same however many there are.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Rows = npt.NDArray[np.intp]
_ENVIRONMENT: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True, slots=True)
class Team:
    """Process `rank` of `size`, on its device."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes, prints and validates."""
        return self.rank == 0

    def wrap(self, learner: nn.Module) -> nn.Module:
        """`learner` on the device; its gradients are those of all processes."""
        learner.to(self.device)
        if self.size == 1:
            return learner
        return DistributedDataParallel(learner, device_ids=[self.device] if self.device.type == "cuda" else None)

    def alone(self, learner: nn.Module) -> AbstractContextManager[None]:
        """Within it, a backward pass keeps its gradients to itself: more pieces of the step follow."""
        return learner.no_sync() if isinstance(learner, DistributedDataParallel) else nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def told(self, value: float) -> float:
        """What the leading process says."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(said, 0)
        return float(said.item())

    def part(self, rows: Rows, pieces: int) -> list[Rows]:
        """This process's rows of a step, in `pieces`. No piece is empty; raises ValueError where there are too few rows."""
        parts = np.array_split(rows, self.size * pieces)
        if not len(parts[-1]):
            raise ValueError(f"a step of {len(rows)} rows cannot be split into {self.size * pieces}: raise rows_per_step")
        return parts[self.rank * pieces : (self.rank + 1) * pieces]


def join(device: str = "auto") -> Team:
    """The team that `torchrun` started, or this process alone; on a GPU where there is one, unless `device` says cpu."""
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if not all(name in os.environ for name in _ENVIRONMENT):
        return Team(0, 1, torch.device("cuda" if cuda else "cpu"))
    rank, size, local = (int(os.environ[name]) for name in _ENVIRONMENT)
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    return Team(rank, size, torch.device("cuda", local) if cuda else torch.device("cpu"))


def leave() -> None:
    """End the team, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()
