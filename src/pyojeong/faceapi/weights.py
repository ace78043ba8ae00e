"""Reads the official face-api weights from the npm package that the project installs."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json
from pyojeong.core.npm import find_package

PACKAGE = "@vladmandic/face-api"
"""The npm package with the weights (MIT); face-api.js 0.22.2 has the same bytes."""

Weights = dict[str, npt.NDArray[np.float32]]


def read_weights(model: str, package: Path | None = None) -> Weights:
    """Read the tensors of one model, such as ``tiny_face_detector_model``.

    Quantized bytes become ``float32(q * scale + min)``, computed in double precision as tfjs does.

    Args:
        model: name of the model in the package.
        package: folder of the npm package, by default the installed one.

    Returns:
        Tensor name -> float32 array in tfjs layout: convolutions [kh, kw, in, out], depthwise [kh, kw, c, 1],
        dense [in, out].

    Raises:
        InputError: the package, the manifest or a shard is missing, or the shards do not match the manifest.
    """
    folder = (package or find_package(PACKAGE)) / "model"
    manifest = folder / f"{model}-weights_manifest.json"
    tensors: Weights = {}
    for group in read_json(manifest):
        data = b"".join(_read_shard(folder / name) for name in group["paths"])
        offset = 0
        for entry in group["weights"]:
            count, quantization = math.prod(entry["shape"]), entry.get("quantization")
            end = offset + count * (1 if quantization else 4)
            if end > len(data):
                raise InputError(f"{manifest}: the weights end inside {entry['name']}; run `npm ci` again")
            tensors[entry["name"]] = _dequantize(data[offset:end], quantization).reshape(entry["shape"])
            offset = end
        if offset != len(data):
            raise InputError(f"{manifest}: {len(data) - offset} bytes are left over; run `npm ci` again")
    return tensors


def _read_shard(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `npm ci` again") from None


def _dequantize(data: bytes, quantization: dict[str, float] | None) -> npt.NDArray[np.float32]:
    if quantization is None:
        return np.frombuffer(data, "<f4").astype(np.float32)
    levels = np.frombuffer(data, np.uint8).astype(np.float64)
    return (levels * quantization["scale"] + quantization["min"]).astype(np.float32)
