"""The teachers: larger networks that have learned faces, of which MobileNetV3-Small learns expressions.

Each is a network for telling people or their ages apart, up to its pooled features; a new last layer names
expressions.
"""

import hashlib
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad, relu

from pyojeong.core.errors import InputError
from pyojeong.faceapi.weights import read_weights
from pyojeong.model.checkpoint import load_weights
from pyojeong.model.network import MEAN, STD, Network

States = list[dict[str, Tensor]]

SIZES = {"dlib": 140, "vggface2": 128}
"""Side in pixels at which each looks at faces. Below 135 dlib's last map is a single point, from there on 2 x 2."""

_REMEDIES = {
    "dlib": "run `npm ci` in the project folder again",
    "vggface2": "run scripts/vggface2.py and set teacher_weights to its file",
}

_MODEL = "face_recognition_model"

# channels of each map, and the stride from it to the next (Howard et al., "MobileNets", 2017, table 1)
_MOBILE = (
    (32, 1),
    (64, 2),
    (128, 1),
    (128, 2),
    (256, 1),
    (256, 2),
    *((512, 1) for _ in range(5)),
    (512, 2),
    (1024, 1),
    (1024, 1),
)


class Teacher(Network):
    """Normalized RGB in, logits out, as ``MobileNetV3Small``; ``features`` are what the face network knows.

    Args:
        layers: the face network, from pixels to the maps whose means are the features.
        width: how many maps.
        classes: number of outputs.
    """

    def __init__(self, layers: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float [N, classes] for normalized ``pixels`` float [N, 3, H, W].

        On processors that multiply bfloat16 it is computed in that.
        """
        with _fast(pixels.device):
            logits: Tensor = self.classifier(self.features(pixels).mean((2, 3)))
        return logits.float()

    def load_faces(self, states: States) -> None:
        """Load the state of each convolution into ``features``; RuntimeError or ValueError where they do not fit."""
        modules = [*self.features.modules()]
        scaled = [layer for layer in modules if isinstance(layer, _Scaled)]
        plain = [layer for layer in modules if isinstance(layer, nn.Conv2d)]
        for layer, state in zip(scaled or plain, states, strict=True):
            layer.load_state_dict(state)


class FaceRecognitionNet(Teacher):
    """face-api.js's FaceRecognitionNet, dlib's residual network (D. E. King, 2017).

    It is ``dlib_face_recognition_resnet_model_v1``, learned on about three million faces, public domain. The weights
    come with the npm package that brings the baseline.
    """

    def __init__(self, classes: int) -> None:
        layers = [
            # face-api.js subtracts dlib's means and divides by 256.
            _Pixels((122.782, 117.001, 104.298), 256.0, SIZES["dlib"]),
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
            _Reduction(256, 256),
        ]
        super().__init__(layers, 256, classes)

    def fold(self) -> None:
        """Put factors and summands into the convolutions: faster answers, but weights that no longer learn as well."""
        for layer in self.features.modules():
            if isinstance(layer, _Scaled):
                layer.fold()


class FaceMobileNet(Teacher):
    """MobileNet (Howard et al., 2017) that A. Savchenko trained on VGGFace2 for identity, age and gender.

    "Efficient facial representations for age, gender and identity recognition in organizing photo albums using
    multi-output CNN" (2019). ``scripts/vggface2.py`` gets the weights out of an npm package.
    """

    def __init__(self, classes: int) -> None:
        # Keras' preparation for its first networks: the means of ImageNet's pixels, no divisor.
        pixels = _Pixels((123.68, 116.779, 103.939), 1.0, SIZES["vggface2"])
        layers: list[nn.Module] = [pixels, *_convolved(3, 32, 3, stride=2)]
        for (channels, stride), (out, _) in pairwise(_MOBILE):
            layers += [
                *_convolved(channels, channels, 3, stride=stride, groups=channels),
                *_convolved(channels, out, 1),
            ]
        super().__init__(layers, _MOBILE[-1][0], classes)


def teacher(kind: str, classes: int, weights: str) -> Teacher:
    """Return a teacher that knows faces and has yet to learn expressions.

    Args:
        kind: one of ``recipe.FACE_NETWORKS``.
        classes: number of outputs.
        weights: the file of ``vggface2``'s weights; without effect on ``dlib``, which finds its own.

    Raises:
        InputError: the weights are not there, damaged, or not this network's.
    """
    network: Teacher = FaceRecognitionNet(classes) if kind == "dlib" else FaceMobileNet(classes)
    try:
        network.load_faces(_states(kind, weights))
    except (RuntimeError, ValueError):
        raise InputError(f"the weights of the teacher {kind} are another network's; {_REMEDIES[kind]}") from None
    return network


def fingerprint(kind: str, weights: str) -> str:
    """Return the SHA-256 of the weights that ``teacher`` loads and of its size; InputError as there."""
    digest = hashlib.sha256(str(SIZES[kind]).encode())
    for state in _states(kind, weights):
        for value in state.values():
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _states(kind: str, weights: str) -> States:
    try:
        states = _dlib_states() if kind == "dlib" else _mobile_states(Path(weights))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"the weights of the teacher {kind} are damaged; {_REMEDIES[kind]}") from None
    if not all(value.isfinite().all() for state in states for value in state.values()):
        raise InputError(f"the weights of the teacher {kind} are damaged, not all are numbers; {_REMEDIES[kind]}")
    return states


def _dlib_states() -> States:
    weights = read_weights(_MODEL)
    names = [name.removesuffix("/conv/filters") for name in weights if name.endswith("/conv/filters")]
    arrays = [
        {
            "conv.weight": weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1).copy(),
            "conv.bias": weights[f"{name}/conv/bias"],
            "scale": weights[f"{name}/scale/weights"].reshape(-1, 1, 1),
            "shift": weights[f"{name}/scale/biases"].reshape(-1, 1, 1),
        }
        for name in names
    ]
    return [{name: torch.from_numpy(value) for name, value in layer.items()} for layer in arrays]


def _mobile_states(path: Path) -> States:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_REMEDIES['vggface2']}")
    state = load_weights(path)
    return [{name: state[f"{number}.{name}"] for name in ("weight", "bias")} for number in range(len(state) // 2)]


def multiplies_bfloat16(device: torch.device) -> bool:
    """Return whether it is a processor that has instructions for bfloat16."""
    capable = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def _fast(device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if multiplies_bfloat16(device) else nullcontext()


def _convolved(channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    # TensorFlow's "same" puts the odd row and column of zeros last.
    padding: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    convolution = nn.Conv2d(channels, out, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups)
    return [*padding, convolution, nn.ReLU6()]


class _Pixels(nn.Module):
    """From ImageNet's normalization to the face network's, at its size."""

    def __init__(self, means: tuple[float, float, float], divisor: float, size: int) -> None:
        super().__init__()
        self.size = size
        mean, std, own = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD, means))
        self.register_buffer("scale", 255 * std / divisor, persistent=False)
        self.register_buffer("shift", (255 * mean - own) / divisor, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        small = interpolate(pixels, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return small * self.get_buffer("scale") + self.get_buffer("shift")


class _Scaled(nn.Module):
    """A convolution and a factor and summand for each channel, which once were BatchNorm's."""

    def __init__(self, channels: int, out: int, kernel: int = 3, *, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding)
        self.scale = nn.Parameter(torch.ones(out, 1, 1))
        self.shift = nn.Parameter(torch.zeros(out, 1, 1))
        self.folded = False

    def forward(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.conv(pixels)
        return result if self.folded else result * self.scale.to(result.dtype) + self.shift.to(result.dtype)

    @torch.no_grad()
    def fold(self) -> None:
        bias = self.get_parameter("conv.bias")
        self.conv.weight.mul_(self.scale[:, None])
        bias.copy_(bias * self.scale.flatten() + self.shift.flatten())
        self.folded = True


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
        # Autocast averages in float32, and every layer behind would follow it.
        passed = avg_pool2d(pixels, 2).to(result.dtype)
        missing = (passed.shape[2] - result.shape[2], passed.shape[3] - result.shape[3])
        result = pad(result, (0, missing[1], 0, missing[0]))
        return relu(result + pad(passed, (0, 0, 0, 0, 0, result.shape[1] - passed.shape[1])))
