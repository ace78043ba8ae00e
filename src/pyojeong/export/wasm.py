"""Rewrites a network in operators that onnxruntime computes fast on one thread of WebAssembly, with equal arithmetic.

onnxruntime's general depthwise convolution copies every window of every channel before it multiplies, and the copies
take longer than the products. On small maps a convolution can instead be one product with a matrix that holds the
filter at every position and zeros elsewhere: more products, no copies. These matrices are gathered from the filters
when the model is loaded, so a file holds each filter once. A 1 x 1 convolution of a single position becomes a dense
layer, which is six times as fast.

Microseconds on onnxruntime-web 1.30.0, one thread of an AMD EPYC: depthwise 5 x 5, 576 channels of 5 x 5: 600 as
convolution, 100 as matrix; 240 channels of 10 x 10: 500 and 270; dense 576 -> 144: 125 and 22.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from pyojeong.core.onnx_graph import GraphWriter, replace_contents

MAX_SIDE_WHOLE = 6
"""Longest side of a map that is multiplied as a whole; its matrix has side**4 entries per channel."""

MAX_SIDE_BY_ROW = 12
"""Longest side of a map that is multiplied row by row; on larger maps onnxruntime's convolution is as fast."""

SMALL_KERNEL = 3
"""Kernels up to this side are fast enough as convolutions."""

GROUP_MULTIPLE = 4
"""Outputs per group must be a multiple: onnxruntime-web's WebGPU (1.30.0) computes four at a time as of one group."""


def optimize_for_wasm(model: onnx.ModelProto) -> None:
    """Rewrite a network of square maps in place: gates as dense layers, small depthwise convolutions as products.

    Inputs and outputs stay the same. Filters that matrices are gathered from become [C, taps + 1], the first input of a
    Gather, with zeros in the last column.
    """
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    rewriter = _Rewriter(inferred)
    for node in model.graph.node:
        rewriter.rewrite(node)
    rewriter.drop_unused_constants()
    replace_contents(model.graph, rewriter.nodes, rewriter.tensors())
    del model.graph.value_info[:]


class _Rewriter(GraphWriter):
    """Takes the nodes of a graph in order and writes each one, or others that compute the same."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        super().__init__()
        self.shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
        self.constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        # Names of values [N, C] that were [N, C, 1, 1].
        self.flat: set[str] = set()

    def rewrite(self, node: onnx.NodeProto) -> None:
        if node.op_type == "ReduceMean" and self.shapes.get(node.output[0], [])[2:] == [1, 1]:
            self._mean(node)
        elif self.flat.intersection(node.input):
            self._after_mean(node)
        elif node.op_type == "Conv" and self._is_slow(node):
            self._depthwise(node)
        else:
            self.nodes.append(node)

    def drop_unused_constants(self) -> None:
        used = {name for node in self.nodes for name in node.input}
        self.constants = {name: value for name, value in self.constants.items() if name in used}

    def _shape_constant(self, *shape: int) -> str:
        return self.constant("shape_" + "_".join(map(str, shape)), shape)

    def _reshape(self, x: str, shape: tuple[int, ...], output: str) -> str:
        return self.node("Reshape", x, self._shape_constant(*shape), output=output)

    def _mean(self, node: onnx.NodeProto) -> None:
        self.flat.add(self.node("ReduceMean", *node.input, output=node.output[0], keepdims=0))

    def _after_mean(self, node: onnx.NodeProto) -> None:
        """Write a layer of a gate as [N, C], up to the node where the gate meets a map again."""
        if node.op_type == "Conv":
            weights = self.constants[node.input[1]]
            self.constants[node.input[1]] = weights.reshape(weights.shape[:2])
            self.flat.add(self.node("Gemm", *node.input, output=node.output[0], transB=1))
        elif node.op_type in ("Relu", "HardSigmoid"):
            self.nodes.append(node)
            self.flat.add(node.output[0])
        else:
            axes = self.constant("axes_of_a_map", [2, 3])
            for flat in self.flat.intersection(node.input):
                raised = self.node("Unsqueeze", flat, axes, output=f"{flat}_raised")
                node.input[:] = [raised if name == flat else name for name in node.input]
            self.nodes.append(node)

    def _is_slow(self, node: onnx.NodeProto) -> bool:
        channels, _, height, width = self.constants[node.input[1]].shape
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        shape = self.shapes[node.input[0]][1:]
        return (
            attributes["group"] == channels
            and SMALL_KERNEL < height == width
            and shape == [channels, shape[1], shape[1]]
            and 0 < shape[1] <= MAX_SIDE_BY_ROW
            and attributes["pads"] == [height // 2] * 4
            and attributes["strides"] == attributes["dilations"] == [1, 1]
        )

    def _depthwise(self, node: onnx.NodeProto) -> None:
        weights = self.constants[node.input[1]]
        channels, kernel, side = len(weights), weights.shape[-1], self.shapes[node.input[0]][-1]
        filters = self.constant(node.input[1], np.pad(weights.reshape(channels, -1), ((0, 0), (0, 1))))
        if side <= MAX_SIDE_WHOLE:
            self._multiply_whole(node, filters, channels, kernel, side)
        else:
            self._convolve_by_row(node, filters, channels, kernel, side)

    def _multiply_whole(self, node: onnx.NodeProto, filters: str, channels: int, kernel: int, side: int) -> None:
        """Multiply each map, as one row, with a matrix from all its positions to all of the result."""
        name, area = node.output[0], side * side
        index = self.constant(f"whole_{kernel}_{side}", whole_taps(kernel, side))
        matrices = self.node("Gather", filters, index, output=f"{name}_matrices", axis=1)
        row = self._reshape(node.input[0], (0, channels, 1, area), f"{name}_row")
        product = self.node("MatMul", row, matrices, output=f"{name}_product")
        has_bias = len(node.input) > 2
        unbiased = self._reshape(product, (0, channels, side, side), f"{name}_plain" if has_bias else name)
        if has_bias:
            bias = self.constant(f"{node.input[2]}_by_channel", self.constants[node.input[2]].reshape(-1, 1, 1))
            self.node("Add", unbiased, bias, output=name)

    def _convolve_by_row(self, node: onnx.NodeProto, filters: str, channels: int, kernel: int, side: int) -> None:
        """Convolve with kernels as wide as the map, one per column of the result, so that onnxruntime copies nothing.

        The zero rows above and below are added beforehand, while the rows lie end to end: onnxruntime would fuse a
        padding of the map itself into the convolution again.
        """
        name, edge, unused = node.output[0], kernel // 2, -side % GROUP_MULTIPLE
        taps = np.pad(row_taps(kernel, side), ((0, unused), (0, 0), (0, 0)), constant_values=kernel**2)
        index = self.constant(f"rows_{kernel}_{side}", taps)
        gathered = self.node("Gather", filters, index, output=f"{name}_gathered", axis=1)
        matrices = self._reshape(gathered, (channels * (side + unused), 1, kernel, side), f"{name}_matrices")
        pads = self.constant(f"pads_{edge * side}", [0, 0, edge * side] * 2)
        flat = self._reshape(node.input[0], (0, channels, side * side), f"{name}_flat")
        padded = self.node("Pad", flat, pads, output=f"{name}_longer")
        higher = self._reshape(padded, (0, channels, side + 2 * edge, side), f"{name}_higher")
        bias = [self._bias_by_column(node.input[2], channels, side + unused)] if len(node.input) > 2 else []
        columns = self.node("Conv", higher, matrices, *bias, output=f"{name}_columns", group=channels)
        transposed = self._reshape(columns, (0, channels, side + unused, side), f"{name}_turned")
        if unused:
            bounds = [self.constant(f"bound_{value}", [value]) for value in (0, side, 2)]
            transposed = self.node("Slice", transposed, *bounds, output=f"{name}_needed")
        self.node("Transpose", transposed, output=name, perm=[0, 1, 3, 2])

    def _bias_by_column(self, bias: str, channels: int, columns: int) -> str:
        """Repeat the bias of each channel for its columns; like the matrices, computed when the model is loaded."""
        upright = self.constant(f"{bias}_by_channel", self.constants[bias].reshape(-1, 1))
        wide = self.node("Expand", upright, self._shape_constant(channels, columns), output=f"{bias}_wide")
        return self._reshape(wide, (channels * columns,), f"{bias}_by_column")


def whole_taps(kernel: int, side: int) -> NDArray[np.int32]:
    """Return the tap that joins each position of the map to each of the result, [side**2, side**2].

    ``kernel**2`` means that no tap joins the two.
    """
    line = _line_taps(kernel, side)
    down, across = line[:, None, :, None], line[None, :, None, :]
    taps = np.where((down < kernel) & (across < kernel), down * kernel + across, kernel**2)
    return taps.reshape(side**2, side**2).astype(np.int32)


def row_taps(kernel: int, side: int) -> NDArray[np.int32]:
    """Return the tap that joins a column of the map to one of the result, [side (result), kernel, side (map)].

    The middle axis is the row of the kernel. ``kernel**2`` means that no tap joins the two.
    """
    across = _line_taps(kernel, side).T[:, None, :]
    return np.where(across < kernel, np.arange(kernel)[:, None] * kernel + across, kernel**2).astype(np.int32)


def _line_taps(kernel: int, side: int) -> NDArray[np.int64]:
    """Return the taps of one dimension, [position, result]; ``kernel`` means none."""
    tap = np.arange(side)[:, None] - np.arange(side) + kernel // 2
    return np.where((tap >= 0) & (tap < kernel), tap, kernel)


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    """Return a value's sizes, with 0 for those that vary."""
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
