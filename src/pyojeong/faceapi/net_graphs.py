"""Builds the ONNX graphs of TinyFaceDetector and FaceExpressionNet from face-api's weights.

Both graphs take sampled pixels as float32 [N, H, W, 3] in 0..255 and normalize them in the library's order of
operations. This module needs ``onnx``, which is optional, so ``nets`` imports it only to build a graph.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyojeong.core.onnx_graph import GraphWriter
from pyojeong.faceapi.weights import Weights

DETECTOR_MEAN = (117.001, 114.697, 97.404)
EXPRESSION_MEAN = (122.782, 117.001, 104.298)
"""What face-api.js subtracts from red, green and blue (0..255) before each net."""

# Old enough for every onnxruntime and onnxruntime-web since 2022.
_OPSET = 17
_IR_VERSION = 8


def detector_graph(weights: Weights, metadata: dict[str, str]) -> bytes:
    """Return TinyFaceDetector: pixels [N, H, W, 3] in, cells [N, S/32, S/32, 25] out: 5 anchors x (tx ty tw th to).

    S, the longer of H and W, is a multiple of 32. The shorter side is S, or an even number that omits most of the black
    padding. The first layer does not pad, so all its rows (or columns) in the black area are equal, and four black ones
    of the input stand for the rest (see ``detector.without_padding``). Most of the equal rows in the results of the
    next two layers are omitted too. The cells equal those of the S x S input to the last bit.

    ``divisor`` is a second input. It defaults to the 255 of @vladmandic/face-api; face-api.js 0.22.2 divides by 256.
    """
    writer = _NetWriter(weights)
    divisor = writer.constant(writer.input("divisor", []), 255.0)
    x = writer.normalize(DETECTOR_MEAN, divisor)
    x = writer.node("LeakyRelu", writer.conv(x, "conv0"), alpha=0.1)
    for number in range(1, 6):
        x = writer.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
        if number == 1:
            x, omitted_rows = writer.pad_to_square(x)
        if number == 3:
            x = writer.restore_rows(x, omitted_rows)
        x = writer.node("LeakyRelu", writer.separable(x, f"conv{number}", pads=[1, 1, 1, 1]), alpha=0.1)
    x = writer.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    cells = writer.node("Transpose", writer.conv(x, "conv8"), perm=[0, 2, 3, 1])
    writer.output(writer.node("Identity", cells, output="cells"), ["N", "rows", "columns", 25])
    return writer.serialize("tiny_face_detector", opset=_OPSET, ir_version=_IR_VERSION, metadata=metadata)


def expression_graph(weights: Weights, metadata: dict[str, str]) -> bytes:
    """Return FaceExpressionNet: pixels [N, 112, 112, 3] in, probabilities [N, 7] out, ordered as ``labels.FACEAPI``."""
    writer = _NetWriter(weights)
    x = writer.normalize(EXPRESSION_MEAN, writer.constant("divisor", 255.0))
    for number in range(4):
        x = writer.dense_block(x, f"dense{number}", full_first=number == 0)
    features = writer.node("Flatten", writer.node("GlobalAveragePool", x))
    dense, bias = (writer.constant(name, weights[name]) for name in ("fc/weights", "fc/bias"))
    softmax = writer.node("Softmax", writer.node("Gemm", features, dense, bias), axis=1)
    writer.output(writer.node("Identity", softmax, output="probabilities"), ["N", 7])
    return writer.serialize("face_expression", opset=_OPSET, ir_version=_IR_VERSION, metadata=metadata)


class _NetWriter(GraphWriter):
    """Writes the layers of face-api's nets; maps are [N, C, H, W]."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weights = weights

    def normalize(self, mean: Sequence[float], divisor: str) -> str:
        pixels = self.input("pixels", ["N", "H", "W", 3])
        planes = self.node("Transpose", pixels, perm=[0, 3, 1, 2])
        # Subtracting along the last axis of NHWC would take onnxruntime as long as the largest convolution.
        centered = self.node("Sub", planes, self.constant("mean", np.reshape(mean, (3, 1, 1))))
        return self.node("Div", centered, divisor)

    def pad_to_square(self, x: str) -> tuple[str, str]:
        """Repeat the last row or the last column until height and width are equal, except for some omitted rows.

        Returns the map, and the number of rows that ``restore_rows`` has to add when the map is a quarter as high.
        """
        sides = self.node("Shape", x, start=2)
        gaps = self.node("Sub", self.node("ReduceMax", sides, keepdims=1), sides)
        # Three rows of the quarter-size map depend on where the frame ends. Columns cannot be repeated cheaply.
        spare = self.node("Sub", self.node("Div", gaps, self.constant("four", 4)), self.constant("three", 3))
        omitted = self.node(
            "Mul", self.node("Max", spare, self.constant("none", 0)), self.constant("rows_only", [1, 0])
        )
        added = self.node("Sub", gaps, self.node("Mul", omitted, self.constant("four", 4)))
        pads = self.node("Concat", self.constant("elsewhere", [0] * 6), added, axis=0)
        square = self.node("Pad", x, pads, mode="edge")
        return square, self.node("Gather", omitted, self.constant("none", 0))

    def restore_rows(self, x: str, count: str) -> str:
        """Repeat the last row but one ``count`` times; the last row differs, because zeros follow it."""
        height = self.node("Gather", self.node("Shape", x), self.constant("two", 2))
        full_height = self.node("Add", height, count)
        rows = self.node("Range", self.constant("none", 0), full_height, self.constant("one", 1))
        repeated = self.node("Min", rows, self.node("Sub", height, self.constant("two", 2)))
        return self.node("Gather", x, self.node("Max", repeated, self.node("Sub", rows, count)), axis=2)

    def conv(self, x: str, name: str, **attributes: Any) -> str:
        """Add a full convolution with bias."""
        filters = self.constant(f"{name}/filters", self.weights[f"{name}/filters"].transpose(3, 2, 0, 1))
        return self.node("Conv", x, filters, self._bias(name), **attributes)

    def separable(self, x: str, name: str, **attributes: Any) -> str:
        """Add a depthwise convolution without bias, then a pointwise one with bias."""
        depthwise = self.weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1)
        pointwise = self.weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1)
        depthwise_name = self.constant(f"{name}/depthwise", depthwise)
        filtered = self.node("Conv", x, depthwise_name, group=len(depthwise), **attributes)
        return self.node("Conv", filtered, self.constant(f"{name}/pointwise", pointwise), self._bias(name))

    def dense_block(self, x: str, name: str, *, full_first: bool) -> str:
        """Add face-api's DenseBlock4: four convolutions, each of the sum of the outputs before it."""
        first = self.conv if full_first else self.separable
        out0 = self.node("Relu", first(x, f"{name}/conv0", strides=[2, 2], auto_pad="SAME_UPPER"))
        out1 = self.separable(out0, f"{name}/conv1", pads=[1, 1, 1, 1])
        out2 = self.separable(self._relu_of_sum(out0, out1), f"{name}/conv2", pads=[1, 1, 1, 1])
        sum12 = self.node("Add", out1, out2)
        out3 = self.separable(self._relu_of_sum(out0, sum12), f"{name}/conv3", pads=[1, 1, 1, 1])
        # In the library's order, for its rounding.
        return self._relu_of_sum(out0, self.node("Add", out1, self.node("Add", out2, out3)))

    def _relu_of_sum(self, first: str, second: str) -> str:
        return self.node("Relu", self.node("Add", first, second))

    def _bias(self, name: str) -> str:
        return self.constant(f"{name}/bias", self.weights[f"{name}/bias"])
