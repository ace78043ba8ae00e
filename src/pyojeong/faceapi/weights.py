"""The official face-api weights, read from the npm package that the project installs."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyojeong.core.errors import InputError
from pyojeong.core.files import read_json

PACKAGE = "@vladmandic/face-api"
"""The npm package with the weights (MIT); those of face-api.js 0.22.2 are the same bytes."""

Weights = dict[str, npt.NDArray[np.float32]]


def find_package(name: str = PACKAGE) -> Path:
    """Return the folder of the npm package ``name``.

    ``node_modules`` is looked for in every folder from this source file upwards, then from the current folder
    upwards, as Node itself would. Raises InputError with the remedy when it is in none of them.
    """
    for folder in _folders():
        package = folder / "node_modules" / name
        if (package / "package.json").is_file():
            return package
    raise InputError(
        f"the npm package {name} is not installed: no node_modules/{name} above {Path.cwd()}; "
        "run `npm ci` in the project folder"
    )


def package_version(package: Path) -> str:
    """Return the version that the package's own package.json states."""
    return str(read_json(package / "package.json")["version"])


def read_weights(model: str, package: Path | None = None) -> Weights:
    """Read the tensors of one model of the package, such as ``tiny_face_detector_model``.

    Quantized bytes become ``float32(q * scale + min)``, computed in double precision as tfjs does.

    Returns:
        Tensor name -> float32 array in tfjs layout: convolutions [kh, kw, in, out], depthwise [kh, kw, c, 1],
        dense [in, out].

    Raises:
        InputError: the package or the manifest is missing, or the shards do not hold what the manifest lists.
    """
    folder = (package or find_package()) / "model"
    manifest = folder / f"{model}-weights_manifest.json"
    tensors: Weights = {}
    for group in read_json(manifest):
        data = b"".join(_shard(folder / name) for name in group["paths"])
        offset = 0
        for entry in group["weights"]:
            count, quantization = math.prod(entry["shape"]), entry.get("quantization")
            part = data[offset : offset + count * (1 if quantization else 4)]
            offset += count * (1 if quantization else 4)
            if offset > len(data):
                raise InputError(f"{manifest}: the weights end inside {entry['name']}; run `npm ci` again")
            tensors[entry["name"]] = _tensor(part, quantization).reshape(entry["shape"])
        if offset != len(data):
            raise InputError(f"{manifest}: {len(data) - offset} bytes are left over; run `npm ci` again")
    return tensors


def _folders() -> Iterator[Path]:
    yield from Path(__file__).resolve().parents
    yield from (Path.cwd(), *Path.cwd().parents)


def _shard(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run `npm ci` again") from None


def _tensor(data: bytes, quantization: dict[str, float] | None) -> npt.NDArray[np.float32]:
    if quantization is None:
        return np.frombuffer(data, "<f4").astype(np.float32)
    levels = np.frombuffer(data, np.uint8).astype(np.float64)
    return (levels * quantization["scale"] + quantization["min"]).astype(np.float32)
