"""Networks that nobody trained, but whose answers differ from face to face."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from pyojeong.core import geometry
from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small, normalize
from pyojeong.model.teacher import FaceMobileNet
from pyojeong.sample.drawing import draw_face


def drawn_patches(count: int, size: tuple[int, int] = (240, 320)) -> list[Pixels]:
    """Face patches of synthetic people, uint8 [160, 160, 3]."""
    faces = (draw_face(KOREAN[seed % 7], seed, size) for seed in range(count))
    return [geometry.face_crop(pixels, box) for pixels, box in faces]


def telling_network(patches: list[Pixels]) -> Checkpoint:
    """A random network with the statistics of ``patches`` and a head scaled until its answers part them."""
    torch.manual_seed(0)
    inputs = normalize(torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255)
    network = MobileNetV3Small(len(KOREAN))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        network.train()(inputs)
        head = network.classifier[3]
        logits = network.eval()(inputs)
        head.weight *= 2 / logits.std(0).mean()
        head.bias -= network(inputs).mean(0)
    state = {name: value.detach() for name, value in network.state_dict().items()}
    return Checkpoint(
        state_dict=state, classes=KOREAN, scheme="K7", recipe={}, framing=geometry.AIHUB_FRAMING, temperature=1.0
    )


def write_face_mobilenet(path: Path, seed: int = 0) -> Path:
    """Write weights of the teacher ``vggface2``, drawn at random, as its script writes them."""
    torch.manual_seed(seed)
    layers = [layer for layer in FaceMobileNet(1).features if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight)
    save_file(
        {
            f"{number}.{name}": value
            for number, layer in enumerate(layers)
            for name, value in layer.state_dict().items()
        },
        path,
    )
    return path
