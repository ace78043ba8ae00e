"""Files of tensors: our own checkpoints and weights from elsewhere, both without pickled code."""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import require_file, whole_file
from pyojeong.core.geometry import ALIGNMENTS, BOX_KINDS, SIZE, Framing
from pyojeong.core.labels import scheme_of
from pyojeong.model.network import MEAN, STD, MobileNetV3Small

_FRAMING = tuple(each.name for each in fields(Framing))


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network with its labels and preprocessing.

    Attributes:
        state_dict: weights of ``MobileNetV3Small``, float32 on the CPU.
        classes: class names in output order.
        scheme: name of the label scheme.
        class_tables: the scheme's classes with their words and colors, see ``labels.Scheme.tables``.
        recipe: the training recipe's values.
        framing: of the crops that the network was trained on.
        temperature: divisor of the logits, fitted on the validation set.
        synthetic: whether it was trained on synthetic faces; it then says nothing about real ones.
        size: side of the input in pixels.
        mean: per channel, subtracted from pixels in 0..1.
        std: per channel, divides the difference.
        version: of this package.
    """

    state_dict: dict[str, Tensor]
    classes: tuple[str, ...]
    scheme: str
    recipe: dict[str, Any]
    framing: Framing
    temperature: float
    class_tables: list[dict[str, Any]] = field(default_factory=list)
    synthetic: bool = False
    size: int = SIZE
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    version: str = __version__

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; InputError when it is missing, damaged or not written by ``save``."""
        # Older files have square crops, boxes only, and one of the package's own schemes.
        values: dict[str, Any] = {"aspect": 1.0, "aligned_by": "box", "class_tables": [], **load_torch(path)}
        names = [each.name for each in fields(cls) if each.name != "framing"]
        if missing := [name for name in (*names, *_FRAMING) if name not in values]:
            raise InputError(f"{path}: not a pyojeong checkpoint (no {', '.join(missing)}); train one")
        framing = Framing(**{name: values[name] for name in _FRAMING})
        checkpoint = cls(framing=framing, **{name: values[name] for name in names})
        if part := checkpoint._unusable():
            raise InputError(f"{path}: its {part} cannot be used; train it again")
        return checkpoint

    def _unusable(self) -> str | None:
        """Name the first part that cannot come from our training; None where all parts can."""
        for name, value in {**asdict(self.framing), "temperature": self.temperature}.items():
            if name not in ("box_kind", "aligned_by") and not (isinstance(value, float | int) and math.isfinite(value)):
                return name
        if not self.temperature > 0:
            return "temperature"
        if self.framing.box_kind not in BOX_KINDS:
            return "box_kind"
        if self.framing.aligned_by not in ALIGNMENTS:
            return "aligned_by"
        try:
            if self.class_tables and scheme_of(self.scheme, self.class_tables).classes != self.classes:
                return "class_tables"
        except InputError:
            return "class_tables"
        try:
            self.network()
        except (RuntimeError, AttributeError, TypeError):
            return "weights"
        finite = all(value.isfinite().all() for value in self.state_dict.values())
        return None if finite else "weights (some are not finite)"

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all; ``torch.load(path, weights_only=True)`` reads it."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "framing"}
        save_torch(values | asdict(self.framing), path)

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
    require_file(path)
    try:
        # torch does not verify the checksums, so a flipped bit in a weight would go unnoticed.
        _verify_checksums(path)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # the type depends on where the file is damaged
        raise InputError(
            f"{path}: not readable as a file of tensors; it is damaged or contains code, which is not run: "
            "save only its state_dict"
        ) from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: contains a {type(values).__name__}; a dictionary of tensors is needed")
    return values


def _verify_checksums(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(broken)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Read named tensors from ``.npz``, ``.safetensors``, ``.pth`` or ``.pt`` (plain or a checkpoint of ours).

    Raises InputError when the file is missing, damaged, of another kind, or holds anything but tensors.
    """
    require_file(path, "give a file of weights, 'imagenet' or 'random'")
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
            raise InputError(f"{path}: contains more than tensors; save the network's state_dict")
        return state
    raise InputError(f"{path}: not a file of weights; give a .npz, .safetensors, .pth or .pt file")


def _load_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    except OSError as error:
        raise InputError(f"{path}: not readable as .npz ({error})") from None
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        # numpy's own message recommends loading pickles.
        raise InputError(f"{path}: not an .npz file of numbers; create it again, or give another file") from None
