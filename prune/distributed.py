"""One run over several processes (torchrun): every process draws the same batch and works on its share of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class World:
    """This process's place among `size` processes; (0, 1) when alone."""

    rank: int = 0
    size: int = 1

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch; the parts of all processes make it up."""
        return batch if self.size == 1 else batch.tensor_split(self.size)[self.rank]

    def total(self, part: Tensor, device: torch.device) -> Tensor:
        """The sum over all processes of what each holds."""
        if self.size == 1:
            return part
        whole = part.to(device, copy=True)
        distributed.all_reduce(whole)
        return whole

    def wrap(self, net: nn.Module) -> nn.Module:
        """`net` with its gradients averaged over the processes; itself when alone.

        On CUDA, BatchNorm then sees the whole batch (SyncBatchNorm); on a CPU each process normalises its own share, so only
        networks without BatchNorm give there what one process gives.
        """
        return net if self.size == 1 else DistributedDataParallel(net)


def world() -> World:
    """The process group of this process, joined on the first call when torchrun's environment says there is one."""
    if not distributed.is_available():
        return World()
    if not distributed.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return World()
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return World(distributed.get_rank(), distributed.get_world_size())
