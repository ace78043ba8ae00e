"""Weights in about 8 bits: a quarter of the bytes to download, expanded to float32 when the model is loaded.

Only weights are quantized, so the arithmetic at run time stays that of float32. onnxruntime expands them once
where the session option ``session.disable_quant_qdq`` is ``1``, as the browser module sets it; elsewhere at each run.

The large matrices bear coarse steps and hold most of the bytes; the many small filters, depthwise ones above all,
do not and hold few. So a tensor's size decides: 4, 8 or 16 bits. Plain 8 bits throughout changed 3 % of the labels
of a network that was trained on RAF-DB (n = 3,068), this mixture 0.4 %, in fewer bytes.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
"""The first with 4-bit integers and scales by block."""

FEW = 1 << 14
"""Tensors with fewer weights keep 16 bits (float16)."""

MANY = 1 << 18
"""Dense layers with at least as many weights get 4 bits, with one scale for ``BLOCK`` weights of a row."""

BLOCK = 64


def eight_bit_name(name: str) -> str:
    """Return the file name of the small variant of ``name``: ``k7.onnx`` -> ``k7_8bit.onnx``."""
    return name.removesuffix(".onnx") + "_8bit.onnx"


def eight_bit(model: bytes) -> bytes:
    """Return ``model`` with the weights of its convolutions and dense layers in 4, 8 or 16 bits.

    Integers are symmetric around 0, with a scale for each output channel (8 bits) or block (4 bits); each weight moves
    by at most half a step. Biases and all else stay float32; inputs, outputs and metadata are those of
    ``model``.
    """
    whole = onnx.load_from_string(model)
    graph = whole.graph
    weights = {node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm")}
    # Filters from which matrices are gathered, see ``kernels``.
    weights |= {node.input[0] for node in graph.node if node.op_type == "Gather"}
    values: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.name not in weights:
            values.append(tensor)
            continue
        node, parts = _packed(tensor, f"q{len(nodes)}")
        nodes.append(node)
        values += parts
    nodes += graph.node
    _shorten(nodes, values, {value.name for value in (*graph.input, *graph.output)})
    for field, items in ((graph.initializer, values), (graph.node, nodes)):
        del field[:]
        field.extend(items)
    whole.opset_import[0].version = OPSET
    whole.ir_version = max(whole.ir_version, 10)
    onnx.checker.check_model(whole, full_check=True)
    return bytes(whole.SerializeToString())


def _packed(tensor: onnx.TensorProto, name: str) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return the node that expands a weight tensor at load, and what it reads."""
    weights = np.asarray(numpy_helper.to_array(tensor), np.float32)
    if weights.size < FEW:
        node = helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT)
        return node, [numpy_helper.from_array(weights.astype(np.float16), name)]
    if weights.size >= MANY and weights.ndim == 2 and weights.shape[1] % BLOCK == 0:
        levels, scale = _quantize(weights.reshape(len(weights), -1, BLOCK), 2, 7)
        # Two to a byte, the first in the low half, as onnx.proto defines it.
        halves = levels.ravel().astype(np.int8).view(np.uint8) & 15
        data = (halves[::2] | halves[1::2] << 4).tobytes()
        packed = helper.make_tensor(name, TensorProto.INT4, weights.shape, data, raw=True)
        node = helper.make_node("DequantizeLinear", [name, f"{name}s"], [tensor.name], axis=1, block_size=BLOCK)
    else:
        levels, scale = _quantize(weights, tuple(range(1, weights.ndim)), 127)
        packed = numpy_helper.from_array(levels.astype(np.int8), name)
        node = helper.make_node("DequantizeLinear", [name, f"{name}s"], [tensor.name], axis=0)
    return node, [packed, numpy_helper.from_array(scale, f"{name}s")]


def _quantize(
    weights: NDArray[np.float32], axes: int | tuple[int, ...], most: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return whole levels -most..most in the shape of ``weights``, and the step for each place along the other axes."""
    largest = np.abs(weights).max(axes, keepdims=True)
    # A channel of zeros needs some step; any will do.
    scale = np.where(largest > 0, largest / most, 1).astype(np.float32)
    return np.clip(np.rint(weights / scale), -most, most), np.squeeze(scale, axes)


def _shorten(nodes: list[onnx.NodeProto], values: list[onnx.TensorProto], kept: set[str]) -> None:
    """Give every inner value a short name: the exporter's would take one byte in a hundred."""
    short: dict[str, str] = {}
    for node in nodes:
        node.name = ""
        for field in (node.input, node.output):
            field[:] = [
                name if not name or name in kept else short.setdefault(name, f"v{len(short)}") for name in field
            ]
    for value in values:
        value.name = short[value.name]
