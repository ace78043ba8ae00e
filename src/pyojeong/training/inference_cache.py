"""Networks that no longer learn as onnxruntime sessions: on a CPU faster than the same forward pass in torch.

A backbone's graph is written down module by module, because torch's exporter takes as long as thousands of images.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from pyojeong.core.geometry import SIZE
from pyojeong.core.metrics import Ints
from pyojeong.export.onnx_file import OPSET, fold_batchnorm, graph_of
from pyojeong.model.network import FEATURES, MEAN, STD, Block, Excitation, MobileNetV3Small, Network
from pyojeong.model.teacher import multiplies_bfloat16

BATCH = 16
"""Images at a time and thread; more no longer fit the caches."""

_IR_VERSION = 9


class Backbone:
    """What ``network.pooled`` gives, on the CPU.

    Args:
        network: as it is now; what it learns later is not seen.
        threads: that work side by side, each on images of its own: sharing every convolution instead costs more
            processor time. What an image gives does not depend on their number.
    """

    def __init__(self, network: MobileNetV3Small, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph(network), options, providers=["CPUExecutionProvider"])
        self._threads = threads

    def features(self, read: Callable[[Ints], Tensor], plan: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield float32 [n, 576] for the n images of every step of ``plan``, at best ``BATCH`` at a time.

        Args:
            read: gives the images of some rows, uint8 [n, H, W, 3]; called from all threads.
            plan: rows of each step.
        """

        def run(rows: Ints) -> Tensor:
            return torch.from_numpy(self._session.run(None, {"image": read(rows).numpy()})[0])

        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(run, plan)


def answers(network: Network, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return what gives a trained network's logits float32 [N, K] for normalized pixels float32 [N, 3, 160, 160].

    That is the network itself on a GPU and on processors that multiply bfloat16, else an onnxruntime session on as many
    threads as torch has now.
    """
    if device.type != "cpu" or multiplies_bfloat16(device):
        return network
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Between two batches the threads would keep awake, and from the network that learns, the processor.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = graph_of(network, SIZE).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logits(pixels: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"pixels": pixels.contiguous().numpy()})[0])

    return logits


def graph(network: MobileNetV3Small) -> bytes:
    """Return the ONNX graph of ``network.pooled`` with normalization, from ``image`` uint8 [N, H, W, 3]."""
    writer = _Writer()
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    planes = writer.node("Transpose", "image", perm=[0, 3, 1, 2])
    levels = writer.node("Cast", planes, to=TensorProto.FLOAT)
    scaled = writer.node("Mul", levels, writer.constant(1 / (255 * std)))
    pixels = writer.node("Add", scaled, writer.constant(-mean / std))
    last = writer.module(fold_batchnorm(network).features, pixels)
    writer.node("Flatten", writer.node("GlobalAveragePool", last), out="features")
    model = helper.make_model(
        helper.make_graph(
            writer.nodes,
            "backbone",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", 3])],
            [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", FEATURES])],
            writer.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )
    return bytes(model.SerializeToString())


class _Writer:
    """Collects nodes and constants; every method returns the name of what it has added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        out = out or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [*inputs], [out], **attributes))
        return out

    def constant(self, values: NDArray[np.floating[Any]]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def module(self, module: nn.Module, x: str) -> str:
        match module:
            case nn.Sequential():
                for child in module:
                    x = self.module(child, x)
                return x
            case nn.Conv2d():
                return self._convolution(module, x)
            case nn.Hardswish():
                return self.node("HardSwish", x)
            case nn.ReLU():
                return self.node("Relu", x)
            case nn.Identity():
                return x
            case Block():
                result = self.module(module.block, x)
                return self.node("Add", result, x) if module.residual else result
            case Excitation():
                squeezed = self.module(module.fc1, self.node("GlobalAveragePool", x))
                gate = self.module(module.fc2, self.node("Relu", squeezed))
                return self.node("Mul", x, self.node("HardSigmoid", gate, alpha=1 / 6, beta=0.5))
        raise TypeError(f"no ONNX for {type(module).__name__}")

    def _convolution(self, module: nn.Conv2d, x: str) -> str:
        values = [parameter.detach().numpy() for parameter in (module.weight, module.bias) if parameter is not None]
        padding = [int(side) for side in module.padding] * 2
        inputs = [x, *(self.constant(value) for value in values)]
        return self.node("Conv", *inputs, strides=list(module.stride), pads=padding, group=module.groups)
