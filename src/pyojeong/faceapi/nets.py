"""TinyFaceDetector and FaceExpressionNet as ONNX graphs, built from the official weights.

Both graphs take sampled pixels as float32 NHWC in 0..255 and normalize them inside, in the order of operations of
the library. ``python -m pyojeong.faceapi.nets --out DIR`` writes them beside face-api's license, for a wheel.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyojeong.core.errors import InputError
from pyojeong.core.files import cache_folder, write_bytes
from pyojeong.faceapi.weights import PACKAGE, Weights, find_package, package_version, read_weights

if TYPE_CHECKING:
    import onnx

FORMAT = 4
"""Raised whenever the graphs built here change, so that nobody runs an old one from a cache."""

VERSION = "1.7.15"
"""The pinned version of the npm package; graphs of this version may come with the wheel."""

MODELS = ("tiny_face_detector", "face_expression")
GRAPHS = Path(__file__).parent / "graphs"
"""Where a wheel carries the graphs; a checkout has no such folder."""

LICENSE = "LICENSE-face-api"

DETECTOR_MEAN = (117.001, 114.697, 97.404)
EXPRESSION_MEAN = (122.782, 117.001, 104.298)
"""What face-api.js subtracts from red, green and blue (0..255) before each net."""


def graph_path(model: str) -> Path:
    """Return the ONNX file of ``model`` (one of ``MODELS``), built and cached at the first call.

    A graph that came with the wheel is used first. Otherwise the npm package must be installed (InputError says
    so), and the graph is kept in the user's cache folder under a name with package version and format.
    """
    packed = GRAPHS / _file_name(model, VERSION)
    if packed.is_file():
        return packed
    package = find_package()
    cached = cache_folder() / _file_name(model, package_version(package))
    if not cached.is_file():
        write_bytes(cached, build(model, package))
    return cached


def write_graphs(out: Path) -> list[Path]:
    """Write both graphs and the license of their weights to ``out``; return the files."""
    package = find_package()
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
    """Build the graph of ``model`` from the weights in ``package`` and return it serialized."""
    weights = read_weights(f"{model}_model", package)
    graph = _detector(weights) if model == "tiny_face_detector" else _expression(weights)
    return graph.serialize(model, {"weights": f"{PACKAGE} {package_version(package)} (MIT)", "format": str(FORMAT)})


class _Graph:
    """Collects nodes; every method adds one step and returns the name of its output."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def input(self, name: str, shape: Sequence[str | int]) -> str:
        from onnx import TensorProto, helper

        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[str | int]) -> None:
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(value, np.float32, order="C"), name))
        return name

    def integers(self, name: str, value: npt.ArrayLike) -> str:
        from onnx import numpy_helper

        if all(constant.name != name for constant in self.constants):
            self.constants.append(numpy_helper.from_array(np.array(value, np.int64), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def normalize(self, mean: Sequence[float], divisor: str) -> str:
        pixels = self.input("pixels", ["N", "H", "W", 3])
        planes = self.add("Transpose", pixels, perm=[0, 3, 1, 2])
        # Subtracting along the last axis of NHWC would take onnxruntime as long as the largest convolution.
        centered = self.add("Sub", planes, self.constant("mean", np.reshape(mean, (3, 1, 1))))
        return self.add("Div", centered, divisor)

    def pad_to_square(self, x: str) -> tuple[str, str]:
        """Repeat the last row, or the last column, of NCHW until height and width are equal, but for some rows.

        Returns the map and how many rows ``put_rows_back`` has to add when the map is a quarter as high.
        """
        sides = self.add("Shape", x, start=2)
        gaps = self.add("Sub", self.add("ReduceMax", sides, keepdims=1), sides)
        # Three of the small map's rows see where the frame ends. Columns stay: they cannot be repeated cheaply.
        spare = self.add("Sub", self.add("Div", gaps, self.integers("four", 4)), self.integers("three", 3))
        fewer = self.add("Mul", self.add("Max", spare, self.integers("none", 0)), self.integers("rows_only", [1, 0]))
        added = self.add("Sub", gaps, self.add("Mul", fewer, self.integers("four", 4)))
        square = self.add("Pad", x, self.add("Concat", self.integers("elsewhere", [0] * 6), added, axis=0), mode="edge")
        return square, self.add("Gather", fewer, self.integers("none", 0))

    def put_rows_back(self, x: str, count: str) -> str:
        """Repeat the last row but one of NCHW ``count`` times; the last is another, as what follows it is 0."""
        high = self.add("Gather", self.add("Shape", x), self.integers("two", 2))
        whole = self.add("Add", high, count)
        rows = self.add("Range", self.integers("none", 0), whole, self.integers("one", 1))
        repeated = self.add("Min", rows, self.add("Sub", high, self.integers("two", 2)))
        return self.add("Gather", x, self.add("Max", repeated, self.add("Sub", rows, count)), axis=2)

    def conv(self, x: str, name: str, **attributes: Any) -> str:
        """Add a full convolution with bias."""
        filters = self.constant(f"{name}/filters", self.weights[f"{name}/filters"].transpose(3, 2, 0, 1))
        return self.add("Conv", x, filters, self._bias(name), **attributes)

    def separable(self, x: str, name: str, **attributes: Any) -> str:
        """Add a depthwise convolution without bias, then a pointwise one with bias."""
        depthwise = self.weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)
        pointwise = self.weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        depthwise_name = self.constant(f"{name}/depthwise", depthwise)
        inner = self.add("Conv", x, depthwise_name, group=len(depthwise), **attributes)
        return self.add("Conv", inner, self.constant(f"{name}/pointwise", pointwise), self._bias(name))

    def serialize(self, name: str, metadata: dict[str, str]) -> bytes:
        from onnx import checker, helper

        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)
        # Opset 17 and IR 8 are old enough for every onnxruntime and onnxruntime-web since 2022.
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="pyojeong"
        )
        helper.set_model_props(model, metadata)
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _bias(self, name: str) -> str:
        return self.constant(f"{name}/bias", self.weights[f"{name}/bias"])


def _detector(weights: Weights) -> _Graph:
    """Input pixels [N, H, W, 3]; output cells [N, S/32, S/32, 25]: 5 anchors x (tx ty tw th to).

    S, the longer of H and W, is a multiple of 32; the shorter is S, or even and without most of the black padding.
    The first layer pads nothing, so all its rows (or columns) in the black are equal, and four black ones of the input
    stand for the rest (see ``detector.without_padding``). Of the equal rows of the next two layers' results most are
    left out as well. The cells are those of S x S to the last bit.
    ``divisor`` is a second input with the default 255 of @vladmandic/face-api; face-api.js 0.22.2 divides by 256.
    """
    graph = _Graph(weights)
    divisor = graph.constant(graph.input("divisor", []), 255.0)
    x = graph.normalize(DETECTOR_MEAN, divisor)
    x = graph.add("LeakyRelu", graph.conv(x, "conv0"), alpha=0.1)
    for number in range(1, 6):
        x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
        if number == 1:
            x, left_out = graph.pad_to_square(x)
        if number == 3:
            x = graph.put_rows_back(x, left_out)
        x = graph.add("LeakyRelu", graph.separable(x, f"conv{number}", pads=[1, 1, 1, 1]), alpha=0.1)
    x = graph.add("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    cells = graph.add("Transpose", graph.conv(x, "conv8"), perm=[0, 2, 3, 1])
    graph.output(cells, "cells", ["N", "rows", "columns", 25])
    return graph


def _expression(weights: Weights) -> _Graph:
    """Input pixels [N, 112, 112, 3]; output probabilities [N, 7] in the order of ``labels.FACEAPI``."""
    graph = _Graph(weights)
    x = graph.normalize(EXPRESSION_MEAN, graph.constant("divisor", 255.0))
    for number in range(4):
        x = _dense_block(graph, x, f"dense{number}", full_first=number == 0)
    features = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    dense, bias = graph.constant("fc/weights", weights["fc/weights"]), graph.constant("fc/bias", weights["fc/bias"])
    logits = graph.add("Gemm", features, dense, bias)
    graph.output(graph.add("Softmax", logits, axis=1), "probabilities", ["N", 7])
    return graph


def _dense_block(graph: _Graph, x: str, name: str, *, full_first: bool) -> str:
    """Four convolutions, each fed with the sum of the outputs before it (facts of DenseBlock4 in face-api)."""
    first = graph.conv if full_first else graph.separable
    one = graph.add("Relu", first(x, f"{name}/conv0", strides=[2, 2], auto_pad="SAME_UPPER"))
    two = graph.separable(one, f"{name}/conv1", pads=[1, 1, 1, 1])
    three = graph.separable(graph.add("Relu", graph.add("Add", one, two)), f"{name}/conv2", pads=[1, 1, 1, 1])
    sum23 = graph.add("Add", two, three)
    four = graph.separable(graph.add("Relu", graph.add("Add", one, sum23)), f"{name}/conv3", pads=[1, 1, 1, 1])
    sum234 = graph.add("Add", two, graph.add("Add", three, four))
    return graph.add("Relu", graph.add("Add", one, sum234))


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
