"""Where a network starts from: ImageNet's weights, a local file, or chance."""

import hashlib
import logging
import urllib.request
from pathlib import Path

from torch import Tensor

from pyojeong.core.errors import InputError
from pyojeong.core.files import cache_folder, write_bytes
from pyojeong.core.progress import bar
from pyojeong.model.checkpoint import load_weights
from pyojeong.model.network import MobileNetV3Small

IMAGENET_URL = "https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth"
"""torchvision's MobileNet_V3_Small_Weights.IMAGENET1K_V1; the name ends with the first digits of its SHA-256."""

_TIMEOUT = 30
_CHUNK = 1 << 16

log = logging.getLogger(__name__)


def start(network: MobileNetV3Small, weights: str) -> None:
    """Load initial weights into ``network``; its last layer stays as drawn, for its classes are new.

    Args:
        network: changed in place.
        weights: ``imagenet`` (downloaded once, then cached), ``random``, or a local ``.npz``, ``.safetensors``,
            ``.pth`` or ``.pt`` under torchvision's key names.

    Raises:
        InputError: the download failed, the file is not readable, or it belongs to another network.
    """
    if weights == "random":
        log.warning(
            "the backbone starts from random weights: it needs many times the images and epochs, "
            "and a probe of it says nothing; give --weights imagenet or a file where you can"
        )
        return
    path = imagenet() if weights == "imagenet" else Path(weights)
    _load(network, load_weights(path), path)


def fingerprint(weights: str) -> str:
    """Return what identifies the initial weights: their file's SHA-256, or the name where there is no local file.

    Raises InputError when a local file is not there.
    """
    if weights in ("random", "imagenet"):
        return weights
    try:
        return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(
            f"{weights}: weights not readable ({error.strerror}); give a file, 'imagenet' or 'random'"
        ) from None


def imagenet(url: str = IMAGENET_URL) -> Path:
    """Return torchvision's ImageNet file from the user's cache, downloading it when it is not there whole.

    Raises InputError when it cannot be had or its SHA-256 does not begin as its name says.
    """
    name = url.rsplit("/", 1)[-1]
    path = cache_folder() / name
    if path.is_file() and _is_whole(path.read_bytes(), name):
        return path
    data = _download(url)
    if not _is_whole(data, name):
        raise InputError(f"{url}: the download is damaged (its SHA-256 does not fit its name); try again, {_REMEDY}")
    write_bytes(path, data)
    return path


_REMEDY = "or give --weights a local file (.npz, .safetensors, .pth) or 'random'"


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - the address is ours
            total = int(answer.headers.get("Content-Length") or 0) or None
            chunks = []
            with bar(f"Downloading {url}", total) as advance:
                while chunk := answer.read(_CHUNK):
                    chunks.append(chunk)
                    advance(len(chunk))
    except (OSError, ValueError) as error:
        raise InputError(f"{url}: cannot be downloaded ({error}); connect to the network, {_REMEDY}") from None
    return b"".join(chunks)


def _is_whole(data: bytes, name: str) -> bool:
    return hashlib.sha256(data).hexdigest().startswith(name.rsplit("-", 1)[-1].removesuffix(".pth"))


def _load(network: MobileNetV3Small, state: dict[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    last = ("classifier.3.weight", "classifier.3.bias")
    for name, value in own.items():
        if name in last:
            continue
        if name not in state:
            raise InputError(f"{path}: no tensor {name}; MobileNetV3-Small under torchvision's names is needed")
        if state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)} instead of {tuple(value.shape)}"
            raise InputError(f"{path}: {name} has shape {shapes}; MobileNetV3-Small is needed")
        if not state[name].isfinite().all():
            raise InputError(f"{path}: {name} is damaged, not all of it are numbers; get the file again")
    network.load_state_dict({name: own[name] if name in last else state[name] for name in own})
