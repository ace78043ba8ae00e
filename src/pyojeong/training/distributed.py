"""Several processes that train one network together, started by ``torchrun``. Alone, nothing here does anything.

Every process makes the same plan and draws the same random numbers for a whole step; of its images process r of n
takes r, r + n, r + 2n, ... BatchNorm and dropout act as in one process, so several learn what one does, up to rounding.
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
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn

_PATIENCE = timedelta(days=2)
"""How long processes wait while the first one decodes crops; torchrun ends them at once when one of them fails."""


@dataclass(frozen=True)
class Share:
    """Which images of a step are this process's.

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
        """Positions of the own images in the step."""
        return slice(self.rank, self.count, self.size)

    @property
    def weight(self) -> float:
        """Weight of the mean over the own images, such that the mean over the processes is that over the step."""
        return len(range(self.count)[self.own]) * self.size / self.count


def rank() -> int:
    """Return the number of this process; the first, 0, writes the files."""
    return distributed.get_rank() if _together() else 0


def is_first() -> bool:
    """Whether this is the first process, also before they know of each other."""
    return not distributed.is_torchelastic_launched() or int(os.environ.get("RANK", 0)) == 0


def size() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if _together() else 1


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
    """Return the rows that all processes have made, on the CPU.

    Args:
        parts: this process's rows; at least one tensor, which tells shape and kind.
        places: rows of the whole that each of the parts is; a part without a place is left out.
        count: rows of the whole. No row comes from two processes.
        device: through which the processes talk.
    """
    whole = parts[0].new_zeros(count, *parts[0].shape[1:])
    for part, place in zip(parts, places, strict=False):
        whole[place] = part
    return whole if size() == 1 else total(whole.to(device)).cpu()


@contextmanager
def first_alone() -> Iterator[None]:
    """Let the first process do the block before the others, so that they find the files it has made."""
    if rank() > 0:
        distributed.barrier()
    yield
    if rank() == 0 and size() > 1:
        distributed.barrier()


def silence_nonzero_ranks() -> None:
    """Leave messages to the first process; all would say the same. Errors are told by each."""
    if not is_first():
        logging.getLogger("pyojeong").setLevel(logging.ERROR)


def fabric_options() -> dict[str, Any]:
    """Return the arguments for Fabric that say how many processes there are, from torchrun's environment."""
    many = int(os.environ.get("WORLD_SIZE", 1))
    if many == 1 or not distributed.is_torchelastic_launched():
        return {"devices": 1}
    local = local_size()
    return {"devices": local, "num_nodes": many // local, "strategy": DDPStrategy(timeout=_PATIENCE)}


def local_size() -> int:
    """Return how many of the processes share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def sync_batchnorm(network: nn.Module) -> None:
    """Let BatchNorm and dropout of ``network`` see each step as a single process would; changes it in place."""
    if size() == 1:
        return
    for parent in [*network.modules()]:
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                setattr(parent, name, _Dropout(child.p))
            elif isinstance(child, nn.BatchNorm2d):
                # torch's own needs a GPU.
                shared = nn.SyncBatchNorm.convert_sync_batchnorm if child.weight.is_cuda else _Norm.like
                setattr(parent, name, shared(child))


class _Norm(nn.BatchNorm2d):
    """BatchNorm with the statistics of all processes' images."""

    @classmethod
    def like(cls, norm: nn.BatchNorm2d) -> "_Norm":
        shared = cls(norm.num_features, norm.eps, norm.momentum)
        shared.load_state_dict(norm.state_dict())
        return shared.to(norm.weight.device)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        every = (0, 2, 3)
        count = int(total(torch.tensor(input.numel() // self.num_features)))
        mean = _sum(input.sum(every, keepdim=True)) / count
        centered = input - mean
        variance = _sum(centered.square().sum(every, keepdim=True)) / count
        with torch.no_grad():
            self._follow(mean.flatten(), variance.flatten() * count / (count - 1))
        scale, shift = (values.view(1, -1, 1, 1) for values in (self.weight, self.bias))
        return centered * (variance + self.eps).rsqrt() * scale + shift

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum or 0.0
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


class _Sum(torch.autograd.Function):
    """Sum over the processes; each one's part of the loss depends on every addend."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        return total(values)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return total(gradient)


def _sum(values: Tensor) -> Tensor:
    summed: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return summed


class _Dropout(nn.Dropout):
    """Dropout with this process's part of the mask that a single process would draw."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        count = int(total(torch.tensor(len(input), device=input.device)))
        mask = nn.functional.dropout(input.new_ones(count, *input.shape[1:]), self.p)
        return input * mask[share(count).own]


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
