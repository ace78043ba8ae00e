"""The network in operators that onnxruntime computes fast on one thread of WebAssembly; the arithmetic stays the same.

Its general depthwise convolution copies every window of every channel before it multiplies, and that takes longer than
the products. Where maps are small, a convolution is one product with a matrix that holds the filter at every position,
amid zeros: more products, no copies. These matrices are gathered from the filters when the model is loaded, so that a
file holds each filter once. A 1 x 1 convolution of a single position is a dense layer, and runs six times as fast as
one.

Microseconds, onnxruntime-web 1.30.0, one thread of an AMD EPYC: depthwise 5 x 5 of 576 channels of 5 x 5: 600 as
convolution, 100 as matrix; of 240 channels of 10 x 10: 500 and 270; dense 576 -> 144: 125 and 22.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

WHOLE = 6
"""Longest side of a map that is multiplied as a whole; its matrix has side to the power of 4 entries for a channel."""

ROWS = 12
"""Longest side of a map that is multiplied row by row; above it onnxruntime's convolution is as fast."""

SMALL_KERNEL = 3
"""Kernels up to this side are fast enough as convolutions."""

QUAD = 4
"""Results of a group come in fours: onnxruntime-web's WebGPU (1.30.0) computes four at a time, as of one group."""


def optimize_for_wasm(model: onnx.ModelProto) -> None:
    """Rewrite a network of square maps in place: gates as dense layers, small depthwise convolutions as products.

    Inputs and outputs stay. A filter that a matrix is gathered from is the first input of a Gather, [C, taps + 1], and
    its last column is 0.
    """
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    rewriter = _Rewriter(inferred)
    for node in model.graph.node:
        rewriter.take(node)
    rewriter.write(model.graph)


class _Rewriter:
    """Takes the nodes of a graph in order, and keeps them or others that compute the same."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        self.values = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        # Values [N, C] that were [N, C, 1, 1].
        self.flat: set[str] = set()

    def take(self, node: onnx.NodeProto) -> None:
        if node.op_type == "ReduceMean" and self.shapes.get(node.output[0], [])[2:] == [1, 1]:
            self._mean(node)
        elif self.flat.intersection(node.input):
            self._after_mean(node)
        elif node.op_type == "Conv" and self._is_slow(node):
            self._depthwise(node)
        else:
            self.nodes.append(node)

    def write(self, graph: onnx.GraphProto) -> None:
        used = {name for node in self.nodes for name in node.input}
        values = [numpy_helper.from_array(value, name) for name, value in self.values.items() if name in used]
        for field, items in ((graph.node, self.nodes), (graph.initializer, values)):
            del field[:]
            field.extend(items)
        del graph.value_info[:]

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.values[name] = value
        return name

    def _shape_constant(self, *shape: int) -> str:
        return self._constant("shape_" + "_".join(map(str, shape)), np.array(shape))

    def _mean(self, node: onnx.NodeProto) -> None:
        self._add("ReduceMean", [*node.input], node.output[0], keepdims=0)
        self.flat.add(node.output[0])

    def _after_mean(self, node: onnx.NodeProto) -> None:
        """A gate's layers, until its values meet a map again."""
        if node.op_type == "Conv":
            weights = self.values[node.input[1]]
            self.values[node.input[1]] = weights.reshape(weights.shape[:2])
            self._add("Gemm", [*node.input], node.output[0], transB=1)
            self.flat.add(node.output[0])
        elif node.op_type in ("Relu", "HardSigmoid"):
            self.nodes.append(node)
            self.flat.add(node.output[0])
        else:
            axes = self._constant("axes_of_a_map", np.array([2, 3]))
            for name in self.flat.intersection(node.input):
                raised = self._add("Unsqueeze", [name, axes], f"{name}_raised")
                node.input[:] = [raised if one == name else one for one in node.input]
            self.nodes.append(node)

    def _is_slow(self, node: onnx.NodeProto) -> bool:
        channels, _, kernel, wide = self.values[node.input[1]].shape
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape = self.shapes[node.input[0]][1:]
        return (
            given["group"] == channels
            and SMALL_KERNEL < kernel == wide
            and shape == [channels, shape[1], shape[1]]
            and 0 < shape[1] <= ROWS
            and given["pads"] == [kernel // 2] * 4
            and given["strides"] == given["dilations"] == [1, 1]
        )

    def _depthwise(self, node: onnx.NodeProto) -> None:
        weights = self.values[node.input[1]]
        channels, kernel, side = len(weights), weights.shape[-1], self.shapes[node.input[0]][-1]
        taps = np.pad(weights.reshape(channels, -1), ((0, 0), (0, 1)))
        filters = self._constant(node.input[1], taps)
        if side <= WHOLE:
            self._as_whole(node, filters, channels, kernel, side)
        else:
            self._by_row(node, filters, channels, kernel, side)

    def _as_whole(self, node: onnx.NodeProto, filters: str, channels: int, kernel: int, side: int) -> None:
        """Multiply each map, as one row, with a matrix of all its positions times all of the result."""
        name, area = node.output[0], side * side
        index = self._constant(f"whole_{kernel}_{side}", whole_taps(kernel, side))
        matrices = self._add("Gather", [filters, index], f"{name}_matrices", axis=1)
        row = self._add("Reshape", [node.input[0], self._shape_constant(0, channels, 1, area)], f"{name}_row")
        product = self._add("MatMul", [row, matrices], f"{name}_product")
        biased = len(node.input) > 2
        shape = self._shape_constant(0, channels, side, side)
        plain = self._add("Reshape", [product, shape], f"{name}_plain" if biased else name)
        if biased:
            bias = self._constant(f"{node.input[2]}_by_channel", self.values[node.input[2]].reshape(-1, 1, 1))
            self._add("Add", [plain, bias], name)

    def _by_row(self, node: onnx.NodeProto, filters: str, channels: int, kernel: int, side: int) -> None:
        """Convolve with kernels as wide as the map, one for each column of the result: onnxruntime copies nothing then.

        The rows of black above and below are added beforehand, and to rows end to end: onnxruntime would put them
        back into the convolution otherwise.
        """
        name, edge, spare = node.output[0], kernel // 2, -side % QUAD
        taps = np.pad(row_taps(kernel, side), ((0, spare), (0, 0), (0, 0)), constant_values=kernel**2)
        index = self._constant(f"rows_{kernel}_{side}", taps)
        gathered = self._add("Gather", [filters, index], f"{name}_gathered", axis=1)
        shape = self._shape_constant(channels * (side + spare), 1, kernel, side)
        matrices = self._add("Reshape", [gathered, shape], f"{name}_matrices")
        pads = self._constant(f"pads_{edge * side}", np.array([0, 0, edge * side] * 2))
        flat = self._add("Reshape", [node.input[0], self._shape_constant(0, channels, side * side)], f"{name}_flat")
        longer = self._add("Pad", [flat, pads], f"{name}_longer")
        shape = self._shape_constant(0, channels, side + 2 * edge, side)
        higher = self._add("Reshape", [longer, shape], f"{name}_higher")
        inputs = [higher, matrices]
        if len(node.input) > 2:
            inputs.append(self._by_column(node.input[2], channels, side + spare))
        columns = self._add("Conv", inputs, f"{name}_columns", group=channels)
        shape = self._shape_constant(0, channels, side + spare, side)
        turned = self._add("Reshape", [columns, shape], f"{name}_turned")
        if spare:
            bounds = [self._constant(f"bound_{value}", np.array([value])) for value in (0, side, 2)]
            turned = self._add("Slice", [turned, *bounds], f"{name}_needed")
        self._add("Transpose", [turned], name, perm=[0, 1, 3, 2])

    def _by_column(self, bias: str, channels: int, columns: int) -> str:
        """The bias of each channel for each of its columns; as the matrices, made when the model is loaded."""
        upright = self._constant(f"{bias}_by_channel", self.values[bias].reshape(-1, 1))
        wide = self._add("Expand", [upright, self._shape_constant(channels, columns)], f"{bias}_wide")
        return self._add("Reshape", [wide, self._shape_constant(channels * columns)], f"{bias}_by_column")


def whole_taps(kernel: int, side: int) -> NDArray[np.int32]:
    """Return which tap joins a position of the map to one of the result, [side**2, side**2]; kernel**2 is none."""
    line = _line(kernel, side)
    down, across = line[:, None, :, None], line[None, :, None, :]
    taps = np.where((down < kernel) & (across < kernel), down * kernel + across, kernel**2)
    return taps.reshape(side**2, side**2).astype(np.int32)


def row_taps(kernel: int, side: int) -> NDArray[np.int32]:
    """Return which tap joins a column of the result, by row of the kernel, to a column of the map; as above."""
    across = _line(kernel, side).T[:, None, :]
    return np.where(across < kernel, np.arange(kernel)[:, None] * kernel + across, kernel**2).astype(np.int32)


def _line(kernel: int, side: int) -> NDArray[np.int64]:
    """The same in one dimension, [position, result]; ``kernel`` is none."""
    tap = np.arange(side)[:, None] - np.arange(side) + kernel // 2
    return np.where((tap >= 0) & (tap < kernel), tap, kernel)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Return a value's sizes; 0 where one is open."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
