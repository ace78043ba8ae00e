"""Loads the initial weights of a network: ImageNet's, the shipped model's, those of a local file, or random ones."""

import hashlib
import json
import logging
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import onnx
from torch import Tensor

from pyojeong.core.errors import InputError
from pyojeong.core.files import cache_folder, write_bytes
from pyojeong.core.progress import bar
from pyojeong.model.checkpoint import load_torch, load_weights
from pyojeong.model.network import MobileNetV3Small
from pyojeong.model.onnx_weights import load_onnx

IMAGENET_URL = "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth"
"""torchvision's MobileNet_V3_Small_Weights.IMAGENET1K_V1; the name ends with the first digits of its SHA-256."""

SHIPPED = Path(__file__).parents[1] / "pretrained" / "basic7_mnv3s_160_8bit.onnx"
"""The package's own model; ``weights`` calls it ``shipped``."""

_REMEDY = "or give --weights a local file (.npz, .safetensors, .pth, .onnx), 'shipped' or 'random'"

_TIMEOUT = 30
_CHUNK = 1 << 16

log = logging.getLogger(__name__)


def load_initial_weights(network: MobileNetV3Small, weights: str, classes: Sequence[str] = ()) -> None:
    """Load initial weights into ``network``; into its last layer only where the file says that it has the same classes.

    Args:
        network: changed in place.
        classes: names of the network's classes, in output order.
        weights: ``imagenet`` (downloaded once, then cached), ``shipped``, ``random``, or a local ``.npz``,
            ``.safetensors``, ``.pth`` or ``.pt`` file with torchvision's key names, or an exported ``.onnx``.

    Raises:
        InputError: the download failed, the file is not readable, or it belongs to another network.
    """
    if weights == "random":
        log.warning(
            "the backbone starts from random weights: finetuning needs many times the images and epochs, "
            "and a probe is meaningless; give --weights imagenet or a file if you can"
        )
        return
    path = imagenet_file() if weights == "imagenet" else _local(weights)
    state = load_onnx(path) if _is_folded(path) else load_weights(path)
    _load(network, state, path, last_layer=has_last_layer(weights, classes))


def has_last_layer(weights: str, classes: Sequence[str]) -> bool:
    """Return whether initial weights include a last layer for ``classes``, given in output order."""
    own = bool(classes) and weights not in ("random", "imagenet")
    return own and _classes(_local(weights)) == tuple(classes)


def lacks_statistics(weights: str) -> bool:
    """Return whether networks with these initial weights have BatchNorms without statistics of images.

    ``training.batchnorm.restore_batchnorm`` measures them before training.
    """
    return weights == "random" or _is_folded(_local(weights))


def fingerprint(weights: str) -> str:
    """Return an identifier of the initial weights: the SHA-256 of a local file, otherwise the name.

    Raises:
        InputError: the local file cannot be read.
    """
    if weights in ("random", "imagenet"):
        return weights
    try:
        return hashlib.sha256(_local(weights).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{weights}: weights not readable ({error.strerror}); give another file, 'imagenet' or 'random'"
        ) from None


def _local(weights: str) -> Path:
    return SHIPPED if weights == "shipped" else Path(weights)


def _is_folded(path: Path) -> bool:
    return path.suffix == ".onnx"


def imagenet_file(url: str = IMAGENET_URL) -> Path:
    """Return the path of torchvision's ImageNet weights in the user's cache, after downloading them if necessary.

    Raises:
        InputError: the download failed, or its SHA-256 does not begin with the digits in the file name.
    """
    name = url.rsplit("/", 1)[-1]
    path = cache_folder() / name
    if path.is_file() and _matches_name(path.read_bytes(), name):
        return path
    data = _download(url)
    if not _matches_name(data, name):
        raise InputError(f"{url}: the download is damaged (its SHA-256 does not match its name); try again, {_REMEDY}")
    write_bytes(path, data)
    return path


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:  # noqa: S310 - a constant address
            total = int(response.headers.get("Content-Length") or 0) or None
            chunks = []
            with bar(f"Downloading {url}", total) as advance:
                while chunk := response.read(_CHUNK):
                    chunks.append(chunk)
                    advance(len(chunk))
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); check the connection, {_REMEDY}") from None
    return b"".join(chunks)


def _matches_name(data: bytes, name: str) -> bool:
    return hashlib.sha256(data).hexdigest().startswith(name.rsplit("-", 1)[-1].removesuffix(".pth"))


def _classes(path: Path) -> tuple[str, ...]:
    """Return the classes that a file of ours names, in output order; other files name none."""
    if path.suffix == ".onnx":
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        return tuple(json.loads(metadata["classes"]))
    return tuple(load_torch(path).get("classes", ())) if path.suffix in (".pth", ".pt") else ()


def _load(network: MobileNetV3Small, state: dict[str, Tensor], path: Path, *, last_layer: bool) -> None:
    current = network.state_dict()
    kept = () if last_layer else ("classifier.3.weight", "classifier.3.bias")
    for name, value in current.items():
        if name in kept:
            continue
        if name not in state:
            raise InputError(
                f"{path}: no tensor {name}; weights of MobileNetV3-Small with torchvision's names are needed"
            )
        if state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)} instead of {tuple(value.shape)}"
            raise InputError(f"{path}: {name} has shape {shapes}; weights of MobileNetV3-Small are needed")
        if not state[name].isfinite().all():
            raise InputError(f"{path}: {name} is damaged, some values are not finite; get the file again")
    network.load_state_dict({name: value if name in kept else state[name] for name, value in current.items()})
