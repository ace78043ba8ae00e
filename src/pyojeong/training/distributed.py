"""Several processes, started by ``torchrun``, that train one network together; a single process needs none of this.

Every process makes the same plan and draws the same random numbers for a whole step; process r of n takes its images r,
r + n, r + 2n, ... BatchNorm and dropout see the whole step, so several processes learn what one would, up to rounding.
All processes must see the same files; only the first one writes them.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn

from pyojeong.core.errors import InputError, check_choice

_TIMEOUT = timedelta(days=2)
"""How long processes wait while the first one decodes crops; torchrun ends them at once when one of them fails."""


@dataclass(frozen=True)
class Share:
    """The part of a step's images that belongs to this process.

    Attributes:
        count: images of the whole step.
        rank: number of the process, from 0.
        size: number of processes.
    """

    count: int
    rank: int = 0
    size: int = 1

    @property
    def own(self) -> slice:
        """Positions of this process's images in the step."""
        return slice(self.rank, self.count, self.size)

    @property
    def weight(self) -> float:
        """Factor on the mean over this process's images that makes the mean over processes the mean over the step."""
        return len(range(self.count)[self.own]) * self.size / self.count


def rank() -> int:
    """Return the number of this process; the first, 0, writes the files."""
    return distributed.get_rank() if _initialized() else 0


def is_first() -> bool:
    """Return whether this is the first process, also before the processes are connected."""
    return not distributed.is_torchelastic_launched() or int(os.environ.get("RANK", 0)) == 0


def size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _initialized() else 1


def local_size() -> int:
    """Return how many of the processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def share(count: int) -> Share:
    """Return this process's part of a step of ``count`` images."""
    return Share(count, rank(), size())


def total(values: Tensor) -> Tensor:
    """Return the sum of ``values`` (any shape) over the processes; not differentiable."""
    if size() == 1:
        return values
    summed = values.detach().clone()
    distributed.all_reduce(summed)
    return summed


def gather(parts: Sequence[Tensor], places: Sequence[Any], count: int, device: torch.device) -> Tensor:
    """Return the rows computed by all processes, on the CPU.

    Args:
        parts: this process's rows; at least one tensor, which gives shape and dtype.
        places: the rows of the whole that each part fills; parts without a place are ignored.
        count: rows of the whole. No row comes from two processes.
        device: used for communication.
    """
    whole = parts[0].new_zeros(count, *parts[0].shape[1:])
    for part, place in zip(parts, places, strict=False):
        whole[place] = part
    return whole if size() == 1 else total(whole.to(device)).cpu()


@contextmanager
def first_alone() -> Iterator[None]:
    """Run the block in the first process before the others, so that they find the files it wrote."""
    if rank() > 0:
        distributed.barrier()
    yield
    if rank() == 0 and size() > 1:
        distributed.barrier()


def silence_nonzero_ranks() -> None:
    """Log warnings and progress in the first process only; all others would repeat them. Errors are always logged."""
    if not is_first():
        logging.getLogger("pyojeong").setLevel(logging.ERROR)


def open_fabric(device: str) -> Fabric:
    """Return a launched Fabric with the number of processes from torchrun's environment.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``. The CPU computes in float32, a GPU in mixed precision (bfloat16 where it
            has that, else float16) with deterministic algorithms.

    Raises:
        InputError: the device does not exist.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise InputError("no CUDA device can be used here; give --device cpu or auto")
    if device == "cpu" or not has_gpu:
        fabric = Fabric(accelerator="cpu", precision="32-true", **_process_options())
    else:
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = False
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        fabric = Fabric(accelerator="cuda", precision="bf16-mixed" if bf16 else "16-mixed", **_process_options())
    fabric.launch()
    return fabric


def _process_options() -> dict[str, Any]:
    processes = int(os.environ.get("WORLD_SIZE", 1))
    if processes == 1 or not distributed.is_torchelastic_launched():
        return {"devices": 1}
    local = local_size()
    return {"devices": local, "num_nodes": processes // local, "strategy": DDPStrategy(timeout=_TIMEOUT)}


def threads_for(batch: int) -> int:
    """Return how many threads share a step of ``batch`` images on the CPU.

    A small batch leaves a second thread too little to do, and where other processes use the cores the threads then
    mostly wait for each other: beside ten busy processes on two cores, one thread trained 74 images a second, two 6.
    The variable ``OMP_NUM_THREADS`` limits them.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    cores = int(limit) if limit.isdigit() else (os.cpu_count() or 1) // local_size()
    return max(1, min(cores, batch // size() // 16))


def sync_batchnorm(network: nn.Module) -> None:
    """Make BatchNorm and dropout of ``network`` behave as in a single process; changes it in place."""
    if size() == 1:
        return
    for parent in [*network.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, _SyncDropout(child.p))
            elif isinstance(child, nn.BatchNorm2d):
                # torch's own SyncBatchNorm needs a GPU.
                convert = nn.SyncBatchNorm.convert_sync_batchnorm if child.weight.is_cuda else _SyncBatchNorm.like
                setattr(parent, name, convert(child))


class _SyncBatchNorm(nn.BatchNorm2d):
    """BatchNorm with the statistics of all processes' images."""

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> "_SyncBatchNorm":
        synced = cls(norm.num_features, norm.eps, norm.momentum)
        synced.load_state_dict(norm.state_dict())
        return synced.to(norm.weight.device)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        axes = (0, 2, 3)
        count = int(total(torch.tensor(input.numel() // self.num_features)))
        mean = _sum(input.sum(axes, keepdim=True)) / count
        centered = input - mean
        variance = _sum(centered.square().sum(axes, keepdim=True)) / count
        with torch.no_grad():
            self._update(mean.flatten(), variance.flatten() * count / (count - 1))
        scale, shift = (values.view(1, -1, 1, 1) for values in (self.weight, self.bias))
        return centered * (variance + self.eps).rsqrt() * scale + shift

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """Sum over the processes; each process's part of the loss depends on every addend."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return total(gradient)


def _sum(values: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return summed


class _SyncDropout(nn.Dropout):
    """Dropout with this process's part of the mask that a single process would draw."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        count = int(total(torch.tensor(len(input), device=input.device)))
        mask = nn.functional.dropout(input.new_ones(count, *input.shape[1:]), self.p)
        return input * mask[share(count).own]


def _initialized() -> bool:
    return distributed.is_available() and distributed.is_initialized()
