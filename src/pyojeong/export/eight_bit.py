"""Quantizes the weights of an exported model to about 8 bits, for a quarter of the download.

Only weights are quantized; they are expanded to float32, and all arithmetic stays float32. onnxruntime expands them
once, when it loads the model, if the session option ``session.disable_quant_qdq`` is ``1`` (the browser module sets
it), otherwise on every run.

A tensor's size decides between 4, 8 and 16 bits: the large matrices tolerate coarse steps and hold most of the bytes;
the many small filters, above all the depthwise ones, do not, and hold few. On validation faces of five data sets
(n = 3,054, a network trained on all of them) this mixture changes 0.4 % of the labels in 1.57 MB; with 64 weights to a
scale and 16 bits below 16,384 weights it changed 0.6 % in as many bytes. On RAF-DB's test set 8 bits throughout changed
3 % (n = 3,068, another network). All were measured outside the repository.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pyojeong.core.onnx_graph import replace_contents

OPSET = 21
"""The first with 4-bit integers and one scale per block."""

FLOAT16_BELOW = 1 << 13
"""Tensors with fewer weights keep 16 bits (float16); so do all depthwise filters."""

FOUR_BITS_FROM = 1 << 18
"""Dense layers with at least as many weights get 4 bits, with one scale per ``BLOCK`` weights of a row."""

BLOCK = 16


def eight_bit_name(name: str) -> str:
    """Return the file name of the 8-bit variant of ``name``: ``k7.onnx`` -> ``k7_8bit.onnx``."""
    return name.removesuffix(".onnx") + "_8bit.onnx"


def quantize_weights(model: bytes) -> bytes:
    """Return ``model`` with the weights of its convolutions and dense layers in 4, 8 or 16 bits.

    Integers are symmetric around 0, with one scale per output channel (8 bits) or block (4 bits); each weight moves by
    at most half a step. Biases stay float32; inputs, outputs and metadata do not change.
    """
    quantized = onnx.load_from_string(model)
    graph = quantized.graph
    weights = {node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm")}
    constants: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.name not in weights:
            constants.append(tensor)
            continue
        node, tensors = _quantize_tensor(tensor, f"q{len(nodes)}")
        nodes.append(node)
        constants += tensors
    nodes += graph.node
    _shorten_names(nodes, constants, {value.name for value in (*graph.input, *graph.output)})
    replace_contents(graph, nodes, constants)
    quantized.opset_import[0].version = OPSET
    quantized.ir_version = max(quantized.ir_version, 10)
    onnx.checker.check_model(quantized, full_check=True)
    return bytes(quantized.SerializeToString())


def _quantize_tensor(tensor: onnx.TensorProto, name: str) -> tuple[onnx.NodeProto, list[onnx.TensorProto]]:
    """Return the node that expands a weight tensor, and the constants that the node reads."""
    weights = np.asarray(numpy_helper.to_array(tensor), np.float32)
    is_depthwise = weights.ndim == 4 and weights.shape[1] == 1
    if is_depthwise or weights.size < FLOAT16_BELOW:
        node = helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT)
        return node, [numpy_helper.from_array(weights.astype(np.float16), name)]
    if weights.size >= FOUR_BITS_FROM and weights.ndim == 2 and weights.shape[1] % BLOCK == 0:
        levels, scale = _quantize(weights.reshape(len(weights), -1, BLOCK), 2, 7)
        # Two per byte, the first in the low half, as onnx.proto defines it.
        nibbles = levels.ravel().astype(np.int8).view(np.uint8) & 15
        data = (nibbles[::2] | nibbles[1::2] << 4).tobytes()
        packed = helper.make_tensor(name, TensorProto.INT4, weights.shape, data, raw=True)
        node = helper.make_node("DequantizeLinear", [name, f"{name}s"], [tensor.name], axis=1, block_size=BLOCK)
    else:
        levels, scale = _quantize(weights, tuple(range(1, weights.ndim)), 127)
        packed = numpy_helper.from_array(levels.astype(np.int8), name)
        node = helper.make_node("DequantizeLinear", [name, f"{name}s"], [tensor.name], axis=0)
    return node, [packed, numpy_helper.from_array(scale, f"{name}s")]


def _quantize(
    weights: NDArray[np.float32], axes: int | tuple[int, ...], max_level: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return integer levels -max_level..max_level in the shape of ``weights``, and one step without ``axes``."""
    largest = np.abs(weights).max(axes, keepdims=True)
    # A channel of zeros needs a step too; its value does not matter.
    scale = np.where(largest > 0, largest / max_level, 1).astype(np.float32)
    return np.clip(np.rint(weights / scale), -max_level, max_level), np.squeeze(scale, axes)


def _shorten_names(
    nodes: Iterable[onnx.NodeProto], constants: Iterable[onnx.TensorProto], public_names: set[str]
) -> None:
    """Give every inner value a short name: the exporter's names would take 1 % of the bytes."""
    # An empty name stands for an optional input that is missing.
    fixed = {"", *public_names}
    short: dict[str, str] = {}
    for node in nodes:
        node.name = ""
        for field in (node.input, node.output):
            field[:] = [name if name in fixed else short.setdefault(name, f"v{len(short)}") for name in field]
    for tensor in constants:
        tensor.name = short[tensor.name]
