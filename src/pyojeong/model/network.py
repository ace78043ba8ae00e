"""MobileNetV3-Small (Howard et al., "Searching for MobileNetV3", 2019, table 2) with torchvision's key names.

Checkpoints of torchvision's ``mobilenet_v3_small`` load without renaming; torchvision itself is not needed.
"""

from torch import Tensor, nn

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's pixels per channel (red, green, blue), in 0..1."""

STD = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's pixels per channel (red, green, blue), in 0..1."""

MOMENTUM = 0.1
"""Weight of the latest batch in BatchNorm's statistics; torchvision's 0.01 suits far longer training."""

FEATURES = 576
"""Width of the pooled features between ``features`` and ``classifier``."""

HIDDEN = 1024
"""Width of the hidden layer of the head."""

# input channels, kernel, expanded channels, output channels, squeeze-and-excitation, hard swish, stride
_BLOCKS = (
    (16, 3, 16, 16, True, False, 2),
    (16, 3, 72, 24, False, False, 2),
    (24, 3, 88, 24, False, False, 1),
    (24, 5, 96, 40, True, True, 2),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 120, 48, True, True, 1),
    (48, 5, 144, 48, True, True, 1),
    (48, 5, 288, 96, True, True, 2),
    (96, 5, 576, 96, True, True, 1),
    (96, 5, 576, 96, True, True, 1),
)


class Network(nn.Module):
    """The interface that the training loop needs: ``features`` is the backbone, ``classifier`` the head."""

    features: nn.Sequential
    classifier: nn.Sequential


class MobileNetV3Small(Network):
    """Maps normalized RGB to logits.

    ``features`` (13 blocks) is the backbone, ``classifier`` (576 -> 1024 -> ``classes``) the head. Weights are
    initialized as in torchvision, from torch's global generator.

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _convolution(3, 16, 3, stride=2, activation=nn.Hardswish()),
            *(Block(*block) for block in _BLOCKS),
            _convolution(_BLOCKS[-1][3], FEATURES, 1, activation=nn.Hardswish()),
        )
        self.classifier = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(HIDDEN, classes)
        )
        self.apply(_initialize)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the input of the head, float [N, 576], for normalized ``pixels`` float [N, 3, H, W]."""
        features: Tensor = self.features(pixels)
        return features.mean((2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float [N, classes] for normalized ``pixels`` float [N, 3, H, W], usually 160 x 160."""
        logits: Tensor = self.classifier(self.pooled(pixels))
        return logits


class Excitation(nn.Module):
    """Squeeze and excitation: scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _divisible(channels // 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        squeezed = nn.functional.relu(self.fc1(pixels.mean((2, 3), keepdim=True)))
        return pixels * nn.functional.hardsigmoid(self.fc2(squeezed))


class Block(nn.Module):
    """Inverted residual: expand, convolve each channel, excite, project."""

    def __init__(
        self, channels: int, kernel: int, expanded: int, out: int, excite: bool, swish: bool, stride: int
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != channels:
            layers.append(_convolution(channels, expanded, 1, activation=activation()))
        layers.append(_convolution(expanded, expanded, kernel, stride=stride, groups=expanded, activation=activation()))
        if excite:
            layers.append(Excitation(expanded))
        layers.append(_convolution(expanded, out, 1))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and channels == out

    def forward(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.block(pixels)
        return result + pixels if self.residual else result


def normalize(pixels: Tensor) -> Tensor:
    """Subtract ImageNet's mean from float [N, 3, H, W] in 0..1 and divide by its standard deviation."""
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std


def _convolution(
    channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, activation: nn.Module | None = None
) -> nn.Sequential:
    layers = [
        nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=0.001, momentum=MOMENTUM),
    ]
    return nn.Sequential(*layers, *([activation] if activation else []))


def _divisible(width: int, divisor: int = 8) -> int:
    # The paper's rule: the nearest multiple, but at most a tenth below the width.
    nearest = max(divisor, (width + divisor // 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * width else nearest + divisor


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)
