"""Runs networks whose weights are fixed in onnxruntime, which on a CPU is faster than their forward pass in torch.

The graph of a backbone is written module by module, because torch's exporter takes as long as thousands of images.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto
from torch import Tensor, nn

from pyojeong.core.geometry import SIZE
from pyojeong.core.metrics import Ints
from pyojeong.core.onnx_graph import GraphWriter
from pyojeong.export.onnx_file import IR_VERSION, OPSET, fold_batchnorm, network_graph
from pyojeong.model.network import FEATURES, MEAN, STD, Block, Excitation, MobileNetV3Small, Network
from pyojeong.model.teacher import has_bfloat16

BATCH = 16
"""Images per thread and call; more do not fit the processor's caches."""


class Backbone:
    """Computes the pooled features of a network on the CPU, as ``network.pooled`` does.

    Args:
        network: its current weights are copied.
        threads: number of threads, each with its own images: sharing every convolution takes more processor time. The
            features do not depend on the number.
    """

    def __init__(self, network: MobileNetV3Small, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            backbone_graph(network), options, providers=["CPUExecutionProvider"]
        )
        self._threads = threads

    def features(self, read: Callable[[Ints], Tensor], plan: Sequence[Ints]) -> Iterator[Tensor]:
        """Yield float32 [n, 576] for the n images of each step of ``plan``; steps of ``BATCH`` images are fastest.

        Args:
            read: returns the images of the given rows, uint8 [n, H, W, 3]; called from all threads.
            plan: rows of each step.
        """

        def run(rows: Ints) -> Tensor:
            return torch.from_numpy(self._session.run(None, {"image": read(rows).numpy()})[0])

        with ThreadPoolExecutor(self._threads) as pool:
            yield from pool.map(run, plan)


def inference_function(network: Network, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return a function from normalized pixels float32 [N, 3, 160, 160] to a trained network's logits float32 [N, K].

    It is the network itself on a GPU and on processors with bfloat16 instructions, otherwise an onnxruntime session
    with torch's current number of threads.
    """
    if device.type != "cpu" or has_bfloat16(device):
        return network
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Otherwise the threads would spin between batches and take processor time from the network that is trained.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    model = network_graph(network, SIZE).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logits(pixels: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"pixels": pixels.contiguous().numpy()})[0])

    return logits


def backbone_graph(network: MobileNetV3Small) -> bytes:
    """Return the ONNX graph from ``image`` uint8 [N, H, W, 3] to the features of ``network.pooled``."""
    writer = _ModuleWriter()
    mean, std = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    image = writer.input("image", ["N", "H", "W", 3], TensorProto.UINT8)
    planes = writer.node("Transpose", image, perm=[0, 3, 1, 2])
    levels = writer.node("Cast", planes, to=TensorProto.FLOAT)
    scaled = writer.node("Mul", levels, writer.constant("gain", 1 / (255 * std)))
    pixels = writer.node("Add", scaled, writer.constant("offset", -mean / std))
    maps = writer.module(fold_batchnorm(network).features, pixels)
    writer.node("Flatten", writer.node("GlobalAveragePool", maps), output="features")
    writer.output("features", ["N", FEATURES])
    return writer.serialize("backbone", opset=OPSET, ir_version=IR_VERSION)


class _ModuleWriter(GraphWriter):
    """Writes the nodes of torch modules."""

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
        raise TypeError(f"no ONNX operator is known for the module {type(module).__name__}")

    def _convolution(self, module: nn.Conv2d, x: str) -> str:
        parameters = [parameter.detach().numpy() for parameter in (module.weight, module.bias) if parameter is not None]
        constants = [self.constant(f"constant_{len(self.constants)}", parameter) for parameter in parameters]
        pads = [int(side) for side in module.padding] * 2
        return self.node("Conv", x, *constants, strides=list(module.stride), pads=pads, group=module.groups)
