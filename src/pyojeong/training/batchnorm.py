"""Statistics of BatchNorm layers, measured on training images before a network learns."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from pyojeong.model.network import MOMENTUM, MobileNetV3Small
from pyojeong.training.batches import Source, read_ahead, steps
from pyojeong.training.loop import EVALUATION_BATCH

_CALIBRATION_STEPS = 16


@torch.no_grad()
def calibrate_batchnorm(network: MobileNetV3Small, source: Source, device: torch.device) -> None:
    """Set the BatchNorm statistics of a randomly initialized backbone from (up to 1024) images of ``source``.

    They start as mean 0 and variance 1, with which frozen layers would pass on almost no signal.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.train()
    for norm in norms:
        norm.reset_running_stats()
    for count, pixels in enumerate(_calibration_images(source, device), 1):
        for norm in norms:
            norm.momentum = 1 / count  # the plain mean over all steps
        network(pixels)
    for norm in norms:
        norm.momentum = MOMENTUM
    network.eval()


@torch.no_grad()
def restore_batchnorm(network: MobileNetV3Small, source: Source, device: torch.device) -> None:
    """Give a network whose BatchNorms were folded away statistics of (up to 1024) images of ``source``.

    What the network computes in evaluation mode stays the same. Without statistics of its own, its first training step
    would rescale every channel.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].double()
        sums[norm].append(torch.stack([values.mean((0, 2, 3)), values.square().mean((0, 2, 3))]))

    hooks = [norm.register_forward_hook(note) for norm in norms]
    network.eval()
    for pixels in _calibration_images(source, device):
        network(pixels)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        mean, square = torch.stack(sums[norm]).mean(0)
        variance = (square - mean.square()).clamp(min=0)
        gain = norm.weight / (norm.get_buffer("running_var") + norm.eps).sqrt()
        norm.bias.add_(gain * (mean - norm.get_buffer("running_mean")))
        norm.weight.copy_(gain * (variance + norm.eps).sqrt())
        norm.get_buffer("running_mean").copy_(mean)
        norm.get_buffer("running_var").copy_(variance)


def _calibration_images(source: Source, device: torch.device) -> Iterator[Tensor]:
    plan = steps(np.random.default_rng(0).permutation(len(source.labels)), EVALUATION_BATCH)[:_CALIBRATION_STEPS]
    return (source.prepare(raw.to(device)) for raw in read_ahead(source, plan))
