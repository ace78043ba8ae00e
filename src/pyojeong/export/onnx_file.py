"""One ONNX file from a checkpoint: face patches in, calibrated probabilities out, checked before it appears.

The graph takes ``image`` uint8 [N, H, W, C], C = 3 or 4 (alpha is ignored), and returns ``probabilities`` float32
[N, K]. Resizing to 160 x 160, normalization, network, temperature and softmax are inside, so Python and a browser
cannot disagree about them. Its metadata carry ``classes`` (JSON list), ``scheme``, ``size``,
``temperature``, ``version``, ``synthetic`` (``true`` when trained on synthetic faces) and the crop that the network
wants: ``margin``, ``offset`` and ``aspect`` (see ``geometry.patch_region``) relative to a ``box`` of one of
``geometry.BOX_KINDS``.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import write_bytes, write_json
from pyojeong.core.images import Pixels
from pyojeong.export.eight_bit import eight_bit, eight_bit_name
from pyojeong.export.wasm import optimize_for_wasm
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small, normalize

OPSET = 18
"""The first with antialiased Resize."""

TOLERANCE = 1e-4
"""Largest difference of a probability between the file and the checkpoint."""

_IR_VERSION = 9
_CHECKED = 8


def export(checkpoint: Path, out_dir: Path, name: str = "k7_mnv3s_160.onnx") -> Path:
    """Write ``out_dir/name``, its 8-bit variant and ``classes.json`` from a checkpoint; return the first's path.

    Args:
        checkpoint: a ``best.pt``.
        out_dir: made where it is missing.
        name: of the ONNX file.

    Raises:
        InputError: the checkpoint cannot be read, or ``name`` is no plain name that ends in ``.onnx``.
        RuntimeError: a probability differs by more than 1e-4; nothing is written.
    """
    if Path(name).name != name or Path(name).suffix != ".onnx":
        raise InputError(f"{name!r} is no file name for a model; give one like k7.onnx, without folders")
    trained = Checkpoint.load(checkpoint)
    model = build(trained)
    difference = largest_difference(model, trained)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"the ONNX graph differs from {checkpoint} by {difference:.2g} in probability; not written")
    write_bytes(out_dir / name, model)
    write_bytes(out_dir / eight_bit_name(name), eight_bit(model))
    write_json(out_dir / "classes.json", {"classes": list(trained.classes)})
    return out_dir / name


def build(trained: Checkpoint) -> bytes:
    """Return the whole graph of a checkpoint as a serialized ONNX model."""
    core = graph_of(fold_batchnorm(trained.network()), trained.size)
    optimize_for_wasm(core)
    before, before_values = _before(trained)
    after, after_values = _after(trained)
    graph = helper.make_graph(
        [*before, *core.graph.node, *after],
        "pyojeong",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", "H", "W", "C"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(trained.classes)])],
        [*before_values, *core.graph.initializer, *after_values],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="pyojeong"
    )
    helper.set_model_props(model, _metadata(trained))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def largest_difference(model: bytes, trained: Checkpoint) -> float:
    """Return the largest difference in probability between a graph and its checkpoint, on noise of every coarseness.

    Some of the noise carries an alpha channel, which must not matter. NaN where an answer is no number.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rgb = _noise(trained.size)
    alpha = np.full((*rgb.shape[:3], 1), 128, np.uint8)
    images = (rgb, np.concatenate([rgb, alpha], -1))
    found = np.stack([np.asarray(session.run(None, {"image": image})[0]) for image in images])
    return float(np.abs(found - probabilities(trained, rgb)).max())


@torch.inference_mode()
def probabilities(trained: Checkpoint, patches: Pixels) -> NDArray[np.float32]:
    """Return the checkpoint's calibrated probabilities, float32 [N, K], for uint8 [N, 160, 160, 3]."""
    pixels = torch.tensor(patches).permute(0, 3, 1, 2).float() / 255
    logits = trained.network()(normalize(pixels))
    result: NDArray[np.float32] = (logits / trained.temperature).softmax(1).numpy()
    return result


def fold_batchnorm(network: MobileNetV3Small) -> MobileNetV3Small:
    """Return a copy of an evaluated network whose convolutions contain the BatchNorm that follows them."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        first, second = module[0], module[1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            module[0], module[1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network


def graph_of(network: nn.Module, size: int) -> onnx.ModelProto:
    """Return the graph of a network in evaluation mode: ``pixels`` float32 [N, 3, size, size] in, ``logits`` out."""
    with _quiet():
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = program.model_proto
    for node in model.graph.node:
        # The exporter notes the source lines of this machine in every node.
        del node.metadata_props[:]
        node.doc_string = ""
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    # The exporter warns about torchvision, which we do without.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _before(trained: Checkpoint) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    # Resize works on bytes, as Pillow does, and equals it to the last bit but for rare single levels.
    # exclude_outside is what Pillow does at the border.
    node = helper.make_node
    # Planes first: to take the alpha out of pixels, and to resize three interleaved channels, takes wasm twice as long.
    nodes = [
        node("Transpose", ["image"], ["all_planes"], perm=[0, 3, 1, 2]),
        node("Slice", ["all_planes", "zero", "three", "one"], ["rgb"]),
        node("Shape", ["rgb"], ["count"], start=0, end=1),
        node("Concat", ["count", "patch"], ["sizes"], axis=0),
        node(
            "Resize",
            ["rgb", "", "", "sizes"],
            ["planes"],
            mode="linear",
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
        ),
        node("Cast", ["planes"], ["levels"], to=TensorProto.FLOAT),
        node("Mul", ["levels", "gain"], ["scaled"]),
        node("Add", ["scaled", "offset"], ["pixels"]),
    ]
    mean, std = (np.array(values, np.float64).reshape(1, 3, 1, 1) for values in (trained.mean, trained.std))
    values = {
        "zero": np.array([0]),
        "three": np.array([3]),
        "one": np.array([1]),
        "patch": np.array([3, trained.size, trained.size]),
        "gain": (1 / (255 * std)).astype(np.float32),
        "offset": (-mean / std).astype(np.float32),
    }
    return nodes, [numpy_helper.from_array(value, name) for name, value in values.items()]


def _after(trained: Checkpoint) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    nodes = [
        helper.make_node("Div", ["logits", "temperature"], ["calibrated"]),
        helper.make_node("Softmax", ["calibrated"], ["probabilities"], axis=1),
    ]
    return nodes, [numpy_helper.from_array(np.array(trained.temperature, np.float32), "temperature")]


def _metadata(trained: Checkpoint) -> dict[str, str]:
    return {
        "classes": json.dumps(list(trained.classes), ensure_ascii=False),
        "scheme": trained.scheme,
        "margin": repr(trained.framing.margin),
        "offset": repr(trained.framing.offset),
        "aspect": repr(trained.framing.aspect),
        "box_kind": trained.framing.box_kind,
        "size": str(trained.size),
        "temperature": repr(trained.temperature),
        "version": __version__,
        "synthetic": str(trained.synthetic).lower(),
    }


def _noise(size: int) -> Pixels:
    # From flat to pixel by pixel: images of every coarseness.
    generator = np.random.default_rng(0)
    images = []
    for index in range(_CHECKED):
        cells = generator.integers(0, 256, (2**index, 2**index, 3), dtype=np.uint8)
        at = np.arange(size) * len(cells) // size
        images.append(cells[at][:, at])
    return np.stack(images)
