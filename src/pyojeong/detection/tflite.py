"""Translates BlazeFace's TensorFlow Lite file into an ONNX graph, layer by layer.

Only the operators of that network are known. Its weights are stored as float16 and stay so in the graph. The packages
``onnx`` and ``tflite`` are optional, so ``graph`` imports this module only to build the graph.
"""

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray
from onnx import TensorProto

from pyojeong.core.onnx_graph import GraphWriter

_OPSET, _IR_VERSION = 17, 8
_OPERATORS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_OPTIONS: dict[str, Any] = {"CONV_2D": tflite.Conv2DOptions, "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions}
_DTYPES = {tflite.TensorType.FLOAT16: np.float16, tflite.TensorType.INT32: np.int32}


def onnx_graph(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the ONNX graph of a BlazeFace file.

    Input ``image`` uint8 [N, H, W, 3 or 4] (alpha is ignored); H and W are multiples of 16. Outputs ``scores``
    [N, A, 1], logits, and ``boxes`` [N, A, 16], in pixels relative to A anchors: center x and y, width, height, then x
    and y of six landmarks.

    Raises:
        ValueError: the file is damaged or has an operator that BlazeFace's file does not have.
    """
    if data[4:8] != b"TFL3":
        raise ValueError("no TensorFlow Lite file")
    model: Any = tflite.Model
    try:
        return _Translator(model.GetRootAs(data, 0)).serialize(metadata)
    except (struct.error, TypeError, LookupError, AttributeError) as error:  # what reading past the end comes to
        raise ValueError(f"damaged: {error}") from None


class _Translator(GraphWriter):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model, self._net = model, model.Subgraphs(0)
        self._weights: dict[int, NDArray[Any]] = {}
        self._names = {self._net.Inputs(0): self._pixels()}
        for index in range(self._net.OperatorsLength()):
            self._translate(self._net.Operators(index))
        for index in range(self._net.OutputsLength()):
            number = self._net.Outputs(index)
            channels = self._shape(number)[-1]
            name = "scores" if channels == 1 else "boxes"
            self.output(self.node("Identity", self._names[number], output=name), ["N", "anchors", channels])

    def serialize(self, metadata: Mapping[str, str]) -> bytes:  # type: ignore[override]
        return super().serialize("blazeface", opset=_OPSET, ir_version=_IR_VERSION, metadata=metadata)

    def _pixels(self) -> str:
        """Return the network's input, float32 [N, 3, H, W] in -1..1."""
        image = self.input("image", ["N", "H", "W", "C"], TensorProto.UINT8)
        planes = self.node("Transpose", image, perm=[0, 3, 1, 2])
        bounds = [self.constant(name, value) for name, value in (("first", [0]), ("end", [3]), ("channels", [1]))]
        levels = self.node("Cast", self.node("Slice", planes, *bounds), to=TensorProto.FLOAT)
        middle = self.constant("middle", 127.5)
        return self.node("Div", self.node("Sub", levels, middle), middle)

    def _translate(self, operator: Any) -> None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = [operator.Inputs(place) for place in range(operator.InputsLength())]
        out = operator.Outputs(0)
        if kind == "DEQUANTIZE":
            self._weights[out] = self._data(inputs[0])
        elif kind in _OPTIONS:
            self._names[out] = self._convolution(kind, operator, inputs)
        elif kind == "PAD":
            self._names[out] = self._added_channels(inputs)
        elif kind == "MAX_POOL_2D":
            self._names[out] = self.node("MaxPool", self._names[inputs[0]], kernel_shape=[2, 2], strides=[2, 2])
        elif kind == "RESHAPE":
            rows = self.node("Transpose", self._names[inputs[0]], perm=[0, 2, 3, 1])
            shape = self.constant(f"shape{out}", [0, -1, self._shape(out)[-1]])
            self._names[out] = self.node("Reshape", rows, shape)
        elif kind in ("RELU", "ADD"):
            self._names[out] = self.node(
                "Relu" if kind == "RELU" else "Add", *(self._names[number] for number in inputs)
            )
        elif kind == "CONCATENATION":
            self._names[out] = self.node("Concat", *(self._names[number] for number in inputs), axis=1)
        else:
            raise ValueError(f"an operator {kind}, which BlazeFace does not have")

    def _convolution(self, kind: str, operator: Any, inputs: list[int]) -> str:
        options = _OPTIONS[kind]()
        table = operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        stride = options.StrideH()
        # [out, h, w, in], or [1, h, w, channels] for one filter a channel.
        filters = self._weights[inputs[1]].transpose((0, 3, 1, 2) if kind == "CONV_2D" else (3, 0, 1, 2))
        # TensorFlow's SAME padding of an even side: what is left over comes last.
        padding = filters.shape[2] - stride
        before, after = padding // 2, padding - padding // 2
        return self.node(
            "Conv",
            self._names[inputs[0]],
            self._half(f"filters{inputs[1]}", filters),
            self._half(f"bias{inputs[2]}", self._weights[inputs[2]]),
            pads=[before, before, after, after],
            strides=[stride, stride],
            group=1 if kind == "CONV_2D" else len(filters),
        )

    def _added_channels(self, inputs: list[int]) -> str:
        count = int(self._data(inputs[1])[3, 1])
        pads = self.constant(f"pads{inputs[1]}", [0, 0, 0, 0, 0, count, 0, 0])
        return self.node("Pad", self._names[inputs[0]], pads)

    def _half(self, name: str, values: NDArray[Any]) -> str:
        return self.node("Cast", self.constant(name, np.ascontiguousarray(values)), to=TensorProto.FLOAT)

    def _shape(self, number: int) -> list[int]:
        return [int(side) for side in self._net.Tensors(number).ShapeAsNumpy()]

    def _data(self, number: int) -> NDArray[Any]:
        tensor = self._net.Tensors(number)
        values: NDArray[Any] = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        return values.view(_DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
