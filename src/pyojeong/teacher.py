"""The teacher: a larger network that has learned faces, of which MobileNetV3-Small learns expressions.

It is face-api.js's FaceRecognitionNet, dlib's residual network for telling people apart (D. E. King,
``dlib_face_recognition_resnet_model_v1``, 2017, learned on about three million faces, public domain), up to its pooled
features; a new last layer names expressions. The weights come with the npm package that brings the baseline.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad, relu

from pyojeong.faceapi.weights import read_weights
from pyojeong.network import MEAN, STD, Network

SIZE = 128
"""Side in pixels at which faces are looked at: there an aligned face is about as large as in dlib's own crops."""

_MODEL = "face_recognition_model"
_MEAN = (122.782, 117.001, 104.298)
_DIVISOR = 256.0
_WIDTH = 256


class Teacher(Network):
    """Normalised RGB in, logits out, as ``MobileNetV3Small``; ``features`` are what the face network knows.

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _Pixels(),
            _Scaled(3, 32, 7, stride=2, padding=0),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            *(_Residual(32) for _ in range(3)),
            _Reduction(32, 64),
            *(_Residual(64) for _ in range(3)),
            _Reduction(64, 128),
            *(_Residual(128) for _ in range(2)),
            _Reduction(128, 256),
            *(_Residual(256) for _ in range(2)),
            _Reduction(256, _WIDTH),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_WIDTH, classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float [N, classes] for normalised ``pixels`` float [N, 3, H, W]."""
        logits: Tensor = self.classifier(self.features(pixels).mean((2, 3)))
        return logits

    def load_faces(self, package: Path | None = None) -> None:
        """Load the official weights into ``features``; InputError where the npm package lacks."""
        weights = read_weights(_MODEL, package)
        layers = [layer for layer in self.features.modules() if isinstance(layer, _Scaled)]
        names = [name.removesuffix("/conv/filters") for name in weights if name.endswith("/conv/filters")]
        for layer, name in zip(layers, names, strict=True):
            state = {
                "conv.weight": weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1).copy(),
                "conv.bias": weights[f"{name}/conv/bias"],
                "scale": weights[f"{name}/scale/weights"].reshape(-1, 1, 1),
                "shift": weights[f"{name}/scale/biases"].reshape(-1, 1, 1),
            }
            layer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})


class _Pixels(nn.Module):
    """From ImageNet's normalisation to face-api's, at the size that the face network is used to."""

    def __init__(self) -> None:
        super().__init__()
        mean, std, own = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD, _MEAN))
        self.register_buffer("scale", 255 * std / _DIVISOR, persistent=False)
        self.register_buffer("shift", (255 * mean - own) / _DIVISOR, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        small = interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        return small * self.get_buffer("scale") + self.get_buffer("shift")


class _Scaled(nn.Module):
    """A convolution and a factor and summand for each channel, which once were BatchNorm's."""

    def __init__(self, channels: int, out: int, kernel: int = 3, *, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding)
        self.scale = nn.Parameter(torch.ones(out, 1, 1))
        self.shift = nn.Parameter(torch.zeros(out, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.conv(pixels)
        return result * self.scale + self.shift


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Scaled(channels, channels)
        self.second = _Scaled(channels, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(pixels))) + pixels)


class _Reduction(nn.Module):
    """Half the height and width; what passes by the convolutions is averaged, and zero in channels that are new."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = _Scaled(channels, out, stride=2, padding=0)
        self.second = _Scaled(out, out)

    def forward(self, pixels: Tensor) -> Tensor:
        result = self.second(relu(self.first(pixels)))
        passed = avg_pool2d(pixels, 2)
        missing = (passed.shape[2] - result.shape[2], passed.shape[3] - result.shape[3])
        result = pad(result, (0, missing[1], 0, missing[0]))
        return relu(result + pad(passed, (0, 0, 0, 0, 0, result.shape[1] - passed.shape[1])))
