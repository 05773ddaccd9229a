"""Several processes that train one model, as torchrun starts them: which this is, and what they tell each other.

    torchrun --nproc-per-node 4 -m -- model train --dataset coco2017:FOLDER --run runs/coco

A batch stays what `--batch` says: each process computes its share of the photos, and the gradients are averaged by
DistributedDataParallel, weighed so that the loss is that of one process which sees them all. The first process alone
writes, validates and prints. The run's folder and the cache must be on a disk that all processes share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# The others wait while the first validates, and all for the last that computes features.
PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`; without torchrun there is one."""

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: str) -> tuple[World, str]:
        """Meet the other processes, if torchrun has started some; and this process's own device."""
        if not processes.is_torchelastic_launched():
            return cls(), device
        gpus = device.startswith("cuda")
        if gpus:
            device = f"cuda:{processes.get_node_local_rank()}"
            torch.cuda.set_device(device)
        processes.init_process_group("nccl" if gpus else "gloo", timeout=PATIENCE)
        return cls(processes.get_rank(), processes.get_world_size()), device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, value: float, device: str) -> float:
        """The sum of what each process has."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=device)
        processes.all_reduce(total)
        return total.item()

    def tell(self, value: T) -> T:
        """What the first process has; the others wait until it says so."""
        if self.size == 1:
            return value
        told = [value]
        processes.broadcast_object_list(told)
        return told[0]

    def meet(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            processes.barrier()

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The others begin the block when the first process has ended it: what it has made, they find."""
        if not self.first:
            self.tell(None)
        yield
        if self.first:
            self.tell(None)

    def joined(self, module: nn.Module) -> nn.Module:
        """`module`, with gradients averaged over all processes."""
        return module if self.size == 1 else DistributedDataParallel(module, broadcast_buffers=False)

    def leave(self) -> None:
        if self.size > 1:
            processes.destroy_process_group()


ALONE = World()
