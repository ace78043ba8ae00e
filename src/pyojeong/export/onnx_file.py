"""Exports a checkpoint as one ONNX file that maps face patches to calibrated probabilities.

The graph takes ``image`` uint8 [N, H, W, C], C = 3 or 4 (alpha is ignored), and returns ``probabilities`` float32
[N, K]. Resizing to 160 x 160, normalization, network, temperature and softmax are part of it, so Python and a browser
cannot differ in them. Its metadata are ``classes`` (JSON list), ``scheme``, ``size``, ``temperature``, ``version``,
``synthetic`` (``true`` when trained on synthetic faces) and the framing of the crops that the network was trained on:
``margin``, ``offset`` and ``aspect`` (see ``geometry.patch_region``) relative to a ``box_kind`` of
``geometry.BOX_KINDS``, and ``aligned_by``, one of ``geometry.ALIGNMENTS``. Where the scheme has them, ``faceapi`` and
``colors`` are JSON objects: class -> face-api.js's word, or ``#rrggbb``.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pyojeong import __version__
from pyojeong.core.errors import InputError
from pyojeong.core.files import json_value, write_bytes, write_json
from pyojeong.core.images import Pixels
from pyojeong.core.onnx_graph import GraphWriter
from pyojeong.core.workspace import model_name
from pyojeong.export.eight_bit import eight_bit_name, quantize_weights
from pyojeong.model.checkpoint import Checkpoint
from pyojeong.model.network import MobileNetV3Small, normalize

OPSET = 18
"""The first with antialiased Resize."""

IR_VERSION = 9

TOLERANCE = 1e-4
"""Largest allowed difference in probability between the graph and the checkpoint."""

_NOISE_IMAGES = 8


def export_onnx(checkpoint: str | Path, out_dir: str | Path | None = None, name: str | None = None) -> Path:
    """Write an ONNX model, its 8-bit variant and ``classes.json``, and return the path of the model.

    The graph is compared with the checkpoint before anything is written. Models of one folder share ``classes.json``.

    Args:
        checkpoint: a ``best.pt`` of a training run.
        out_dir: folder to write to, created if missing; the checkpoint's own by default.
        name: file name of the model; the 8-bit variant is named after it. None names it after the label scheme.

    Raises:
        InputError: the checkpoint cannot be read, ``name`` is not a plain file name that ends in ``.onnx``, or the
            folder holds another model of other classes.
        RuntimeError: a probability differs by more than ``TOLERANCE``; nothing is written.
    """
    if name is not None and (Path(name).name != name or Path(name).suffix != ".onnx"):
        raise InputError(f"{name!r} is not a file name for a model; give one like k7.onnx, without folders")
    checkpoint = Path(checkpoint)
    trained = Checkpoint.load(checkpoint)
    folder = checkpoint.parent if out_dir is None else Path(out_dir)
    name = model_name(trained.scheme) if name is None else name
    _refuse_other_classes(folder, name, trained.classes)
    model = build(trained)
    difference = largest_difference(model, trained)
    # Written so that NaN fails too.
    if not difference <= TOLERANCE:
        raise RuntimeError(f"the ONNX graph differs from {checkpoint} by {difference:.2g} in probability; not written")
    write_bytes(folder / name, model)
    write_bytes(folder / eight_bit_name(name), quantize_weights(model))
    write_json(folder / "classes.json", {"classes": list(trained.classes)})
    return folder / name


def _refuse_other_classes(folder: Path, name: str, classes: Sequence[str]) -> None:
    """Raise InputError where writing ``classes.json`` would take it from another model in ``folder``."""
    others = sorted({path.name for path in folder.glob("*.onnx")} - {name, eight_bit_name(name)})
    try:
        there = json_value(folder / "classes.json", "classes")
    except InputError:  # a damaged file is replaced
        return
    if others and there not in (None, list(classes)):
        raise InputError(
            f"{folder / 'classes.json'}: belongs to {', '.join(others)}, and this model has other classes; give "
            "another --out, or remove the other models"
        )


def build(trained: Checkpoint) -> bytes:
    """Return the complete graph of a checkpoint as a serialized ONNX model."""
    network = network_graph(fold_batchnorm(trained.network()), trained.size)
    writer = GraphWriter()
    _add_preprocessing(writer, trained)
    writer.append(network.graph)
    temperature = writer.constant("temperature", float(trained.temperature))
    writer.node("Div", "logits", temperature, output="calibrated")
    writer.node("Softmax", "calibrated", output="probabilities", axis=1)
    writer.output("probabilities", ["N", len(trained.classes)])
    return writer.serialize("pyojeong", opset=OPSET, ir_version=IR_VERSION, metadata=_metadata(trained))


def largest_difference(model: bytes, trained: Checkpoint) -> float:
    """Return the largest difference in probability between a graph and its checkpoint on noise of every coarseness.

    The images are tried with and without an alpha channel, which must not matter. NaN if any probability is NaN.
    """
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rgb = _noise(trained.size)
    alpha = np.full((*rgb.shape[:3], 1), 128, np.uint8)
    images = (rgb, np.concatenate([rgb, alpha], -1))
    outputs = np.stack([np.asarray(session.run(None, {"image": image})[0]) for image in images])
    return float(np.abs(outputs - probabilities(trained, rgb)).max())


@torch.inference_mode()
def probabilities(trained: Checkpoint, patches: Pixels) -> NDArray[np.float32]:
    """Return the checkpoint's calibrated probabilities, float32 [N, K], for uint8 [N, 160, 160, 3]."""
    pixels = torch.tensor(patches).permute(0, 3, 1, 2).float() / 255
    logits = trained.network()(normalize(pixels))
    result: NDArray[np.float32] = (logits / trained.temperature).softmax(1).numpy()
    return result


def fold_batchnorm(network: MobileNetV3Small) -> MobileNetV3Small:
    """Return a copy in evaluation mode, with each BatchNorm folded into the convolution before it."""
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        first, second = module[0], module[1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            module[0], module[1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return network


def network_graph(network: nn.Module, size: int) -> onnx.ModelProto:
    """Return the graph of a network in evaluation mode: ``pixels`` float32 [N, 3, size, size] in, ``logits`` out."""
    with _silence_exporter():
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
        # The exporter writes source paths of this machine into every node.
        del node.metadata_props[:]
        node.doc_string = ""
    return model


@contextmanager
def _silence_exporter() -> Iterator[None]:
    # The exporter warns that torchvision is missing; it is not needed.
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _add_preprocessing(writer: GraphWriter, trained: Checkpoint) -> None:
    """Add the nodes from ``image`` to the network's input ``pixels``."""
    writer.input("image", ["N", "H", "W", "C"], TensorProto.UINT8)
    # Planes first: dropping alpha from pixels and resizing three interleaved channels takes wasm twice as long.
    writer.node("Transpose", "image", output="all_planes", perm=[0, 3, 1, 2])
    bounds = [writer.constant(bound, value) for bound, value in (("zero", [0]), ("three", [3]), ("one", [1]))]
    writer.node("Slice", "all_planes", *bounds, output="rgb")
    writer.node("Shape", "rgb", output="count", start=0, end=1)
    patch = writer.constant("patch", [3, trained.size, trained.size])
    writer.node("Concat", "count", patch, output="sizes", axis=0)
    # Resize works on bytes, as Pillow does, and equals it except for rare differences of one level.
    # Pillow excludes what lies outside the image in the same way.
    resize = {"mode": "linear", "antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
    writer.node("Resize", "rgb", "", "", "sizes", output="planes", **resize)
    writer.node("Cast", "planes", output="levels", to=TensorProto.FLOAT)
    mean, std = (np.array(values, np.float64).reshape(1, 3, 1, 1) for values in (trained.mean, trained.std))
    writer.node("Mul", "levels", writer.constant("gain", 1 / (255 * std)), output="scaled")
    writer.node("Add", "scaled", writer.constant("offset", -mean / std), output="pixels")


def _metadata(trained: Checkpoint) -> dict[str, str]:
    by_class = {
        key: {table["name"]: table[source] for table in trained.class_tables if source in table}
        for key, source in (("faceapi", "faceapi"), ("colors", "color"))
    }
    return {
        **{key: json.dumps(values, ensure_ascii=False) for key, values in by_class.items() if values},
        "classes": json.dumps(list(trained.classes), ensure_ascii=False),
        "scheme": trained.scheme,
        "margin": repr(trained.framing.margin),
        "offset": repr(trained.framing.offset),
        "aspect": repr(trained.framing.aspect),
        "box_kind": trained.framing.box_kind,
        "aligned_by": trained.framing.aligned_by,
        "size": str(trained.size),
        "temperature": repr(trained.temperature),
        "version": __version__,
        "synthetic": str(trained.synthetic).lower(),
    }


def _noise(size: int) -> Pixels:
    """Return images uint8 [_NOISE_IMAGES, size, size, 3], from a single color to noise by pixel."""
    generator = np.random.default_rng(0)
    images = []
    for power in range(_NOISE_IMAGES):
        cells = generator.integers(0, 256, (2**power, 2**power, 3), dtype=np.uint8)
        indices = np.arange(size) * len(cells) // size
        images.append(cells[indices][:, indices])
    return np.stack(images)
