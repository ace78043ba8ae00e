"""Weights in 8 bits: a quarter of the bytes to download, expanded to float32 when the model is loaded.

Only weights are quantised, so the arithmetic at run time stays that of float32. onnxruntime expands them once
where the session option ``session.disable_quant_qdq`` is ``1``, as the browser module sets it; elsewhere at each run.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEVELS = 127
"""Largest magnitude of a quantised weight: int8, symmetric around 0."""


def eight_bit_name(name: str) -> str:
    """Return the file name of the 8-bit variant of ``name``: ``k7.onnx`` -> ``k7_8bit.onnx``."""
    return name.removesuffix(".onnx") + "_8bit.onnx"


def eight_bit(model: bytes) -> bytes:
    """Return ``model`` with the weights of every convolution and dense layer as int8, one scale per output channel.

    Each weight moves by at most half a step, a 254th of its channel's largest magnitude. Biases and all else stay
    float32; inputs, outputs and metadata are those of ``model``.
    """
    graph_model = onnx.load_from_string(model)
    graph = graph_model.graph
    axes = {
        node.input[1]: 1 if node.op_type == "Gemm" and not _transposed(node) else 0
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    }
    kept: list[onnx.TensorProto] = []
    nodes: list[onnx.NodeProto] = []
    for tensor in graph.initializer:
        if tensor.name not in axes:
            kept.append(tensor)
            continue
        axis = axes[tensor.name]
        levels, scale = _quantise(numpy_helper.to_array(tensor), axis)
        # Names are bytes too: the exporter's long ones would add half a percent.
        names = [f"q{len(nodes)}", f"s{len(nodes)}"]
        kept += [numpy_helper.from_array(levels, names[0]), numpy_helper.from_array(scale, names[1])]
        nodes.append(helper.make_node("DequantizeLinear", names, [tensor.name], axis=axis))
    nodes += graph.node
    for node in nodes:
        node.name = ""
    for field, values in ((graph.initializer, kept), (graph.node, nodes)):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(graph_model, full_check=True)
    return bytes(graph_model.SerializeToString())


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _quantise(weights: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    others = tuple(number for number in range(weights.ndim) if number != axis)
    largest = np.abs(weights).max(others)
    # A channel of zeros needs some scale; any will do.
    scale = np.where(largest > 0, largest / LEVELS, 1).astype(np.float32)
    shape = [-1 if number == axis else 1 for number in range(weights.ndim)]
    return np.rint(weights / scale.reshape(shape)).astype(np.int8), scale
