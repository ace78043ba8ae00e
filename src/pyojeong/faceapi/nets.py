"""Finds the ONNX graphs of TinyFaceDetector and FaceExpressionNet, or builds them from the official weights.

``python -m pyojeong.faceapi.nets --out DIR`` writes both graphs and face-api's license, to be packed into a wheel.
"""

import argparse
import shutil
from pathlib import Path

from pyojeong.core.errors import InputError
from pyojeong.core.files import cache_folder, write_bytes
from pyojeong.core.npm import find_package, package_version
from pyojeong.faceapi.weights import PACKAGE, read_weights

FORMAT = 4
"""Version of the built graphs. Increase it whenever they change, so that no old one is read from a cache."""

VERSION = "1.7.15"
"""The pinned version of the npm package; a wheel may contain the graphs of this version."""

MODELS = ("tiny_face_detector", "face_expression")
GRAPHS = Path(__file__).parent / "graphs"
"""Folder of the graphs inside a wheel; a checkout does not have it."""

LICENSE = "LICENSE-face-api"


def graph_path(model: str) -> Path:
    """Return the path of the ONNX file of ``model``, one of ``MODELS``.

    A graph from the wheel comes first. Otherwise the graph is built once and kept in the user's cache folder, under a
    name with the package version and the format.

    Raises:
        InputError: neither the wheel nor an installed npm package has the graph's weights.
    """
    packed = GRAPHS / _file_name(model, VERSION)
    if packed.is_file():
        return packed
    package = find_package(PACKAGE)
    cached = cache_folder() / _file_name(model, package_version(package))
    if not cached.is_file():
        write_bytes(cached, build(model, package))
    return cached


def write_graphs(out: Path) -> list[Path]:
    """Write both graphs and the license of their weights to ``out`` and return their paths."""
    package = find_package(PACKAGE)
    version = package_version(package)
    if version != VERSION:
        raise InputError(f"{package}: version {version} is installed, {VERSION} is pinned; run `npm ci`")
    files = []
    for model in MODELS:
        files.append(out / _file_name(model, version))
        write_bytes(files[-1], build(model, package))
    shutil.copyfile(package / "LICENSE", out / LICENSE)
    return [*files, out / LICENSE]


def build(model: str, package: Path) -> bytes:
    """Return the serialized graph of ``model``, built from the weights in ``package``; needs ``onnx``."""
    from pyojeong.faceapi.net_graphs import detector_graph, expression_graph

    write = detector_graph if model == "tiny_face_detector" else expression_graph
    metadata = {"weights": f"{PACKAGE} {package_version(package)} (MIT)", "format": str(FORMAT)}
    return write(read_weights(f"{model}_model", package), metadata)


def _file_name(model: str, version: str) -> str:
    return f"{model}-{version}-f{FORMAT}.onnx"


def main() -> None:
    """Write the graphs for a wheel."""
    parser = argparse.ArgumentParser(description="Write face-api's two nets as ONNX graphs, with their license.")
    parser.add_argument("--out", type=Path, default=GRAPHS, help="folder to write to (default: into the package)")
    for file in write_graphs(parser.parse_args().out):
        print(file)


if __name__ == "__main__":
    main()
