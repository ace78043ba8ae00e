"""Files of tensors: our own checkpoint with everything needed to use it, and foreign weights. No pickled code."""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import whole_file
from pyojeong.core.geometry import BOX_KINDS, SIZE
from pyojeong.model.network import MEAN, STD, MobileNetV3Small


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with its labels and preprocessing.

    Attributes:
        state_dict: weights of ``MobileNetV3Small``, float32 on the CPU.
        classes: class names in output order.
        scheme: name of the label scheme.
        recipe: the training recipe's values.
        margin: crop margin the network was trained with, see ``geometry.MARGIN``.
        temperature: divisor of the logits, fitted on the validation set.
        synthetic: whether it was trained on synthetic faces, and so knows nothing about real ones.
        offset: of the crop from the box, see ``geometry.patch_region``.
        aspect: of the crop, see the same.
        box: the kind of box that margin and offset refer to, of ``geometry.BOX_KINDS``.
        size: side of the input in pixels.
        mean: per channel, subtracted from pixels in 0..1.
        std: per channel, what the difference is divided by.
        version: of this package.
    """

    state_dict: dict[str, Tensor]
    classes: tuple[str, ...]
    scheme: str
    recipe: dict[str, Any]
    margin: float
    temperature: float
    synthetic: bool = False
    offset: float = 0.0
    aspect: float = 1.0
    box: str = "annotator"
    size: int = SIZE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    version: str = __version__

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; InputError when it is missing, damaged or none of ours."""
        # Before crops had an aspect, all were square.
        values = {"aspect": 1.0} | load_torch(path)
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise InputError(f"{path}: no checkpoint of pyojeong (without {', '.join(missing)}); train one")
        found = cls(**{field.name: values[field.name] for field in fields(cls)})
        if wrong := found._wrong():
            raise InputError(f"{path}: its {wrong} cannot be used; train it again")
        return found

    def _wrong(self) -> str | None:
        """Name the first part that no training of ours can have written."""
        numbers = {"margin": self.margin, "offset": self.offset, "aspect": self.aspect, "temperature": self.temperature}
        for name, value in numbers.items():
            if not isinstance(value, float | int) or not math.isfinite(value):
                return name
        if not self.temperature > 0:
            return "temperature"
        if self.box not in BOX_KINDS:
            return "box"
        try:
            self.network()
        except (RuntimeError, AttributeError, TypeError):
            return "weights"
        finite = all(value.isfinite().all() for value in self.state_dict.values())
        return None if finite else "weights (not all are numbers)"

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all; ``torch.load(path, weights_only=True)`` reads it."""
        save_torch({field.name: getattr(self, field.name) for field in fields(self)}, path)

    def network(self) -> MobileNetV3Small:
        """Return the network in evaluation mode, on the CPU."""
        network = MobileNetV3Small(len(self.classes))
        network.load_state_dict(self.state_dict)
        return network.eval()


def save_torch(values: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values with torch, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(dict(values), buffer)
    with whole_file(path) as file:
        file.write(buffer.getbuffer())


def load_torch(path: Path) -> dict[str, Any]:
    """Read a dictionary of tensors and plain values onto the CPU; InputError for anything else."""
    try:
        # torch itself does not compare the checksums, and one flipped bit of a weight would go unnoticed.
        _check_sums(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception:  # what a damaged file raises depends on where the damage is
        raise InputError(
            f"{path}: not readable as a file of tensors; it is damaged, or it holds code, "
            "which is refused: save its state_dict alone"
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, a dictionary of tensors is needed")
    return values


def _check_sums(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(broken)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors from ``.npz``, ``.safetensors``, ``.pth`` or ``.pt`` (plain or a checkpoint of ours).

    Raises InputError when the file is missing, damaged, of another kind, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file of weights, 'imagenet' or 'random'")
    if path.suffix == ".npz":
        return _load_npz(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not readable as safetensors ({error})") from None
    if path.suffix in (".pth", ".pt"):
        values = load_torch(path)
        state: dict[str, Tensor] = values.get("state_dict", values)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise InputError(f"{path}: holds more than tensors; save the network's state_dict")
        return state
    raise InputError(f"{path}: weights come as .npz, .safetensors, .pth or .pt")


def _load_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except OSError as error:
        raise InputError(f"{path}: not readable as .npz ({error})") from None
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        # numpy's own words advise to load pickles.
        raise InputError(f"{path}: no .npz file of numbers; make it anew, or give another") from None
