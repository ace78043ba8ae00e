"""Writes ONNX graphs node by node.

``onnx`` is an optional dependency, so modules that must work without it import this one inside a function.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, checker, helper, numpy_helper


class GraphWriter:
    """Collects nodes and constants of one graph; its methods return the name of the value that they add.

    Attributes:
        nodes: in the order of their computation.
        constants: by name, in the order of their first use.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[str | int], dtype: int = TensorProto.FLOAT) -> str:
        """Declare an input; strings in ``shape`` name sizes that vary."""
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def output(self, name: str, shape: Sequence[str | int]) -> str:
        """Declare the existing float32 value ``name`` as an output."""
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def constant(self, name: str, value: ArrayLike) -> str:
        """Add or replace a constant; Python integers become int64, Python floats and float64 become float32."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        elif array.dtype.kind == "i" and not isinstance(value, np.ndarray):
            # NumPy 1 makes them int32 on Windows.
            array = array.astype(np.int64)
        self.constants[name] = array
        return name

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; ``attributes`` are those of the ONNX operator."""
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def append(self, graph: onnx.GraphProto) -> None:
        """Add the nodes and constants of another graph; the two must not use a name for different values."""
        self.nodes += graph.node
        self.constants |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def tensors(self) -> list[onnx.TensorProto]:
        """Return the constants in ONNX's own form."""
        return [numpy_helper.from_array(value, name) for name, value in self.constants.items()]

    def serialize(self, name: str, *, opset: int, ir_version: int, metadata: Mapping[str, str] | None = None) -> bytes:
        """Return the graph as a checked ONNX model."""
        graph = helper.make_graph(self.nodes, name, self._inputs, self._outputs, self.tensors())
        model: onnx.ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version, producer_name="pyojeong"
        )
        helper.set_model_props(model, dict(metadata or {}))
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def replace_contents(
    graph: onnx.GraphProto, nodes: Iterable[onnx.NodeProto], constants: Iterable[onnx.TensorProto]
) -> None:
    """Replace all nodes and constants of ``graph``; its inputs and outputs stay."""
    # Copied first, as they may be the graph's own.
    for field, items in ((graph.node, [*nodes]), (graph.initializer, [*constants])):
        del field[:]
        field.extend(items)
