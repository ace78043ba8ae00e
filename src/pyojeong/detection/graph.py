"""Finds the detector's ONNX graph, or builds it from the official weights.

``python -m pyojeong.detection.graph --out DIR`` writes the graph and the license of its weights, to be packed into a
wheel or the npm package.
"""

import argparse
import shutil
from pathlib import Path

from pyojeong.core.errors import InputError
from pyojeong.core.files import cache_folder, write_bytes
from pyojeong.core.npm import find_package, package_version

PACKAGE = "@mediapipe/face_detection"
"""The npm package with BlazeFace's weights (Apache-2.0)."""

VERSION = "0.4.1657300184"
"""The pinned version of the npm package; a wheel contains the graph of this version."""

FORMAT = 1
"""Version of the built graph. Increase it whenever the graph changes, so that no old one is read from a cache."""

LICENSE = Path(__file__).with_name("LICENSE-blazeface")
PACKED = Path(__file__).with_name("blazeface.onnx")
"""The graph inside a wheel; a checkout does not have it."""

_WEIGHTS = "face_detection_short_range.tflite"


def graph_path() -> Path:
    """Return the path of the graph.

    A graph from the wheel comes first. Otherwise it is built once and kept in the user's cache folder, under a name
    with the package version and the format.

    Raises:
        InputError: neither the wheel nor an installed npm package has the weights, or they are damaged.
    """
    if PACKED.is_file():
        return PACKED
    package = find_package(PACKAGE)
    cached = cache_folder() / f"blazeface-{package_version(package)}-f{FORMAT}.onnx"
    if not cached.is_file():
        write_bytes(cached, build(package))
    return cached


def build(package: Path) -> bytes:
    """Return the serialized graph, built from the weights in ``package``; needs ``onnx`` and ``tflite``.

    Raises InputError where the weights are missing or damaged.
    """
    from pyojeong.detection.tflite import onnx_graph

    file = package / _WEIGHTS
    metadata = {"weights": f"{PACKAGE} {package_version(package)} (Apache-2.0)", "format": str(FORMAT)}
    try:
        return onnx_graph(file.read_bytes(), metadata)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file; run `npm ci` again") from None
    except ValueError as error:
        raise InputError(f"{file}: not the weights of BlazeFace ({error}); run `npm ci` again") from None


def write_graph(out: Path) -> list[Path]:
    """Write the graph and the license of its weights to ``out`` and return their paths."""
    package = find_package(PACKAGE)
    if (version := package_version(package)) != VERSION:
        raise InputError(f"{package}: version {version} is installed, {VERSION} is pinned; run `npm ci`")
    files = [out / PACKED.name, out / LICENSE.name]
    write_bytes(files[0], build(package))
    if files[1] != LICENSE:
        shutil.copyfile(LICENSE, files[1])
    return files


def main() -> None:
    """Write the graph for a wheel or the npm package."""
    parser = argparse.ArgumentParser(description="Write the face detector as an ONNX graph, with its license.")
    parser.add_argument(
        "--out", type=Path, default=PACKED.parent, help="folder to write to (default: into the package)"
    )
    for file in write_graph(parser.parse_args().out):
        print(file)


if __name__ == "__main__":
    main()
