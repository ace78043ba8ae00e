"""Reads the weights of ``MobileNetV3Small`` back out of an exported graph, to start another training from them.

An export folds each BatchNorm into the convolution before it and stores most weights in 4, 8 or 16 bits. Here they are
expanded again, and each BatchNorm passes its input on and adds the bias. Before such a network is trained,
``training.batchnorm.restore_batchnorm`` has to measure what the folded statistics were.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from pyojeong.core.errors import InputError
from pyojeong.model.network import MobileNetV3Small

Array = NDArray[np.float32]

_EXPANDING = ("Cast", "DequantizeLinear")
_QUIET = 3  # onnxruntime's level of errors; it would warn of each tensor that the expanding nodes do not need


def load_onnx(path: Path) -> dict[str, Tensor]:
    """Return the weights under torchvision's names, with BatchNorms that only add a bias.

    Raises InputError where the file is not a graph that ``pyojeong export`` wrote.
    """
    try:
        model = onnx.load(path)
        layers = _layers(model.graph, _expanded(model))
        return _state(layers)
    except Exception as error:  # protobuf's and onnxruntime's exceptions share no base class
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path}: not a model that pyojeong exported ({reason}); give another file") from None


def _expanded(model: onnx.ModelProto) -> dict[str, Array]:
    """Return all weights in float32 by the name that the graph's layers know them by."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type in _EXPANDING and constants.issuperset(node.input)]
    names = [node.output[0] for node in nodes]
    plain = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    if not names:
        return plain
    part = onnx.ModelProto()
    part.CopyFrom(model)
    for field in (part.graph.node, part.graph.input, part.graph.output):
        del field[:]
    part.graph.node.extend(nodes)
    part.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _QUIET
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return plain | dict(zip(names, session.run(None, {}), strict=True))


def _layers(graph: onnx.GraphProto, values: dict[str, Array]) -> list[tuple[Array, Array]]:
    """Return weights and bias of each convolution and dense layer, in the order of the network."""
    layers: list[tuple[Array, Array | None]] = []
    for node in graph.node:
        gathers = node.op_type == "Gather" and values.get(node.input[0], np.empty(0)).ndim == 2
        if node.op_type in ("Conv", "Gemm") and node.input[1] in values:
            bias = values[node.input[2]].ravel() if len(node.input) > 2 else None
            layers.append((values[node.input[1]], bias))
        elif gathers:
            # See ``export.wasm``: a depthwise filter whose last column is zeros; its bias is expanded or added later.
            layers.append((values[node.input[0]][:, :-1], None))
        elif node.op_type in ("Expand", "Add") and layers and layers[-1][1] is None:
            constants = [values[name] for name in node.input if name in values]
            biases = [value.ravel() for value in constants if value.size == len(layers[-1][0])]
            layers[-1] = (layers[-1][0], biases[0] if biases else None)
    # The exporter leaves out a bias of zeros.
    return [(weights, np.zeros(len(weights), np.float32) if bias is None else bias) for weights, bias in layers]


def _state(layers: list[tuple[Array, Array]]) -> dict[str, Tensor]:
    network = MobileNetV3Small(len(layers[-1][1]))
    modules = dict(network.named_modules())
    own = [(name, module) for name, module in modules.items() if isinstance(module, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for (name, module), (weights, bias) in zip(own, layers, strict=True):
            module.weight.copy_(torch.tensor(weights).view_as(module.weight))
            if module.bias is not None:
                module.bias.copy_(torch.tensor(bias))
                continue
            norm = modules[f"{name.removesuffix('0')}1"]
            assert isinstance(norm, nn.BatchNorm2d)
            norm.bias.copy_(torch.tensor(bias))
            norm.get_buffer("running_var").fill_(1 - norm.eps)
    return dict(network.state_dict())
