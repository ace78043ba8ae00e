"""The browser's engine computes the package's graphs, and refuses those that differ from them in what they mean."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pyojeong.analyzer import MODEL
from pyojeong.detection import graph as blazeface
from pyojeong.faceapi.nets import graph_path
from tests.browser.conftest import write_model
from tests.browser.test_tiny_face_detector import write_old_graph

REPOSITORY = Path(__file__).resolve().parents[2]
OPEN = """
import { readFile } from 'node:fs/promises';
const { loadBackend } = await import(process.argv[1]);
const backend = await loadBackend();
const answers = {};
for (const [file, kind, size] of JSON.parse(await readFile('questions.json'))) {
  const bytes = new Uint8Array(await readFile(file));
  try {
    if (kind === 'faces') await backend.openFaces(bytes, file);
    else await backend[kind === 'cells' ? 'openCells' : 'openExpression'](bytes, size, file);
    answers[file] = ['accepted', ''];
  } catch (error) {
    answers[file] = [error.code, error.message];
  }
}
console.log(JSON.stringify(answers));
"""

Change = Callable[[onnx.GraphProto], None]
FACE, CELLS, FACES = ("face", MODEL, 160), ("cells", graph_path("tiny_face_detector"), 416), ("faces", None, 128)


def nodes(graph: onnx.GraphProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == operator]


def setting(operator: str, at: int = 0, **attributes: Any) -> Change:
    """Set attributes of a node."""

    def change(graph: onnx.GraphProto) -> None:
        node = nodes(graph, operator)[at]
        kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
        del node.attribute[:]
        node.attribute.extend(kept)
        node.attribute.extend(
            helper.make_attribute(name, value) for name, value in attributes.items() if value is not None
        )

    return change


def feeding(operator: str, place: int, value: Any, at: int = 0) -> Change:
    """Give a node another constant as an input."""

    def change(graph: onnx.GraphProto) -> None:
        node = nodes(graph, operator)[at]
        node.input.extend([""] * (place + 1 - len(node.input)))
        node.input[place] = "other"
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), "other"))

    return change


def inserting(before: str, operator: str, *constants: Any, at: int = 0, **attributes: Any) -> Change:
    """Put a node before the first input of another."""

    def change(graph: onnx.GraphProto) -> None:
        node = nodes(graph, before)[at]
        names = [f"other{number}" for number in range(len(constants))]
        graph.initializer.extend(map(numpy_helper.from_array, map(np.asarray, constants), names))
        added = helper.make_node(operator, [node.input[0], *names], ["more"], **attributes)
        graph.node.insert(list(graph.node).index(node), added)
        node.input[0] = "more"

    return change


def ending(operator: str, *constants: Any, **attributes: Any) -> Change:
    """Put a node after the last one."""

    def change(graph: onnx.GraphProto) -> None:
        last = graph.node[-1]
        names = [f"other{number}" for number in range(len(constants))]
        graph.initializer.extend(map(numpy_helper.from_array, map(np.asarray, constants), names))
        graph.node.append(helper.make_node(operator, ["inner", *names], [last.output[0]], **attributes))
        last.output[0] = "inner"

    return change


def swapping(operator: str, at: int = 0) -> Change:
    """Exchange the operands of a node."""

    def change(graph: onnx.GraphProto) -> None:
        node = nodes(graph, operator)[at]
        node.input[:] = reversed(node.input)

    return change


def removing(operator: str) -> Change:
    """Take out a node."""

    def change(graph: onnx.GraphProto) -> None:
        (gone,) = nodes(graph, operator)
        for node in graph.node:
            node.input[:] = [gone.input[0] if name == gone.output[0] else name for name in node.input]
        graph.node.remove(gone)

    return change


def renaming(operator: str, new: str, **attributes: Any) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        node = nodes(graph, operator)[0]
        node.op_type = new
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())

    return change


def foreign(graph: onnx.GraphProto) -> None:
    nodes(graph, "Relu")[0].domain = "com.example"


def reading_logits(graph: onnx.GraphProto) -> None:
    """Make an output of what is divided by the temperature."""
    name = nodes(graph, "Div")[0].input[0]
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))


def reading_before_the_gate(graph: onnx.GraphProto) -> None:
    """Read once more what a gate has multiplied in its own memory."""
    gate = nodes(graph, "Mul")[1]
    graph.node.append(helper.make_node("ReduceMean", [gate.input[0], nodes(graph, "ReduceMean")[0].input[1]], ["late"]))


def dynamic_bias(graph: onnx.GraphProto) -> None:
    node = nodes(graph, "Gemm")[1]
    node.input[2] = node.input[0]


def second_input(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("more", TensorProto.UINT8, None))


def taking(kind: int) -> Change:
    """Let the graph take a picture of another type."""

    def change(graph: onnx.GraphProto) -> None:
        graph.input[-1].type.tensor_type.elem_type = kind

    return change


DEPTHWISE = 1  # number of the first depthwise convolution

# The graph, words of the message, and what is changed.
CHANGES: dict[str, tuple[Any, str, Change]] = {
    "softmax axis": (FACE, "Softmax", setting("Softmax", axis=0)),
    "second softmax": (FACE, "Softmax", ending("Softmax", axis=1)),
    "after softmax": (FACE, "Div", ending("Div", np.float32(2))),
    "activation after softmax": (FACE, "Relu", ending("Relu")),
    "no softmax": (FACE, "softmax", removing("Softmax")),
    "alpha": (FACE, "Gemm", setting("Gemm", 1, alpha=3.0)),
    "beta": (FACE, "Gemm", setting("Gemm", 1, beta=5.0)),
    "transA": (FACE, "Gemm", setting("Gemm", transA=1)),
    "transB": (FACE, "Gemm", setting("Gemm", transB=0)),
    "bias that is computed": (FACE, "Gemm", dynamic_bias),
    "one bias": (FACE, "Gemm", feeding("Gemm", 2, np.ones(1, np.float32))),
    "temperatures": (FACE, "Div", feeding("Div", 1, np.arange(1, 8, dtype=np.float32))),
    "temperature of more axes": (FACE, "Div", feeding("Div", 1, np.full((1, 1, 1, 1), 2, np.float32))),
    "inverse logits": (FACE, "Div", swapping("Div")),
    "logits read twice": (FACE, "Div", reading_logits),
    "dilation down": (FACE, "Conv", setting("Conv", DEPTHWISE, dilations=[2, 1])),
    "dilation across": (FACE, "Conv", setting("Conv", DEPTHWISE, dilations=[1, 2])),
    "stride across": (FACE, "Conv", setting("Conv", DEPTHWISE, strides=[2, 1])),
    "pads across": (FACE, "Conv", setting("Conv", DEPTHWISE, pads=[1, 0, 1, 2])),
    "pads below zero": (FACE, "Conv", setting("Conv", DEPTHWISE, pads=[-1, -1, 1, 1])),
    "padding by name": (FACE, "Conv", setting("Conv", DEPTHWISE, pads=None, auto_pad="SAME_UPPER")),
    "kernel of another side": (FACE, "Conv", setting("Conv", DEPTHWISE, kernel_shape=[3, 1])),
    "columns before rows": (FACE, "Transpose", setting("Transpose", perm=[0, 3, 2, 1])),
    "transposed inside": (FACE, "Transpose", inserting("ReduceMean", "Transpose", perm=[0, 1, 3, 2])),
    "blue first": (FACE, "Slice", inserting("Resize", "Slice", [2], [-9], [1], [-1])),
    "other colors": (FACE, "Slice", feeding("Slice", 1, [1])),
    "rows for colors": (FACE, "Slice", feeding("Slice", 3, [2])),
    "every other color": (FACE, "Slice", feeding("Slice", 4, [2])),
    "whole numbers": (FACE, "Cast", setting("Cast", -1, to=TensorProto.INT32)),
    "half precision": (FACE, "Cast", setting("Cast", -1, to=TensorProto.FLOAT16)),
    "coordinates": (FACE, "Resize", setting("Resize", coordinate_transformation_mode="align_corners")),
    "nearest": (FACE, "Resize", setting("Resize", mode="nearest", antialias=0)),
    "cubic": (FACE, "Resize", setting("Resize", mode="cubic")),
    "no antialias": (FACE, "Resize", setting("Resize", antialias=0)),
    "aspect kept": (FACE, "Resize", setting("Resize", keep_aspect_ratio_policy="not_larger")),
    "scales": (FACE, "Resize", feeding("Resize", 2, np.ones(4, np.float32))),
    "another size": (FACE, "Resize", feeding("Concat", 1, [3, 96, 96])),
    "no resize": (FACE, "another size", removing("Resize")),
    "picture's sides": (FACE, "Resize", setting("Shape", end=2)),
    "gain along rows": (FACE, "Mul", feeding("Mul", 1, np.ones((1, 1, 3, 1), np.float32))),
    "gain along columns": (FACE, "Mul", feeding("Mul", 1, np.ones(3, np.float32))),
    "mean of columns": (FACE, "ReduceMean", feeding("ReduceMean", 1, [3])),
    "mean of channels": (FACE, "ReduceMean", feeding("ReduceMean", 1, [1, 2])),
    "mean without axes": (FACE, "Conv", setting("ReduceMean", keepdims=0)),
    "gate's slope": (FACE, "HardSigmoid", setting("HardSigmoid", alpha=0.2)),
    "gate's default slope": (FACE, "HardSigmoid", setting("HardSigmoid", alpha=None)),
    "gate's offset": (FACE, "HardSigmoid", setting("HardSigmoid", beta=0.4)),
    "after the gate": (FACE, "ReduceMean", reading_before_the_gate),
    "other operator": (FACE, "Elu", renaming("Relu", "Elu")),
    "other domain": (FACE, "com.example.Relu", foreign),
    "weights' zero": (FACE, "DequantizeLinear", feeding("DequantizeLinear", 2, np.int8(3))),
    "weights' axis": (FACE, "DequantizeLinear", setting("DequantizeLinear", axis=1)),
    "weights' type": (FACE, "Cast", setting("Cast", to=TensorProto.FLOAT16)),
    "second input": (FACE, "another input", second_input),
    "picture of floats": (FACE, "Resize", taking(TensorProto.FLOAT)),
    "picture of integers": (CELLS, "another input", taking(TensorProto.INT32)),
    "scaled bytes": (CELLS, "Sub", taking(TensorProto.UINT8)),
    "flattened": (FACE, "Flatten", inserting("Gemm", "Flatten", axis=0)),
    "divisor over picture": (CELLS, "Div", swapping("Div")),
    "mean minus picture": (CELLS, "Sub", swapping("Sub")),
    "pooling of three": (CELLS, "MaxPool", setting("MaxPool", kernel_shape=[3, 3])),
    "pooling's pads": (CELLS, "MaxPool", setting("MaxPool", auto_pad="NOTSET", pads=[1, 1, 1, 1])),
    "pooling's dilations": (CELLS, "MaxPool", setting("MaxPool", dilations=[2, 2])),
    "pooling's rounding": (CELLS, "MaxPool", setting("MaxPool", auto_pad="NOTSET", ceil_mode=1)),
    "pooling before": (CELLS, "MaxPool", setting("MaxPool", auto_pad="SAME_LOWER")),
    "pooling's strides": (CELLS, "MaxPool", setting("MaxPool", strides=[2, 1])),
    "rows repeated": (CELLS, "Gather", setting("Gather", -1, axis=3, more=1)),
    "columns repeated": (CELLS, "Gather", feeding("Gather", 1, np.zeros(52, np.int64), at=2)),
    "padded": (CELLS, "Pad", feeding("Pad", 1, [0, 0, 0, 0, 0, 0, 2, 2])),
    "cells by channel": (CELLS, "Transpose", setting("Transpose", 1, perm=[0, 3, 2, 1])),
    "cells of planes": (CELLS, "cells", removing("Identity")),
    "cells rearranged": (CELLS, "Reshape", inserting("Identity", "Reshape", [0, 5, 5, -1])),
    "pad value": (FACES, "Pad", feeding("Pad", 2, np.float32(1))),
    "pad mode": (FACES, "Pad", setting("Pad", mode="edge")),
    "pad in front": (FACES, "Pad", feeding("Pad", 1, [0, 4, 0, 0, 0, 0, 0, 0])),
    "pad below": (FACES, "Pad", feeding("Pad", 1, [0, 0, 0, 0, 0, 4, 1, 0])),
    "joined elsewhere": (FACES, "Concat", setting("Concat", axis=2)),
    "reshaped": (FACES, "Reshape", feeding("Reshape", 1, [0, 1, -1])),
    "reshaped otherwise": (FACES, "Concat", feeding("Reshape", 1, [0, -1, 2])),
    "boxes by channel": (FACES, "Transpose", setting("Transpose", 1, perm=[0, 3, 1, 2])),
}


def opened(folder: Path, questions: list[tuple[str, str, int]]) -> dict[str, list[str]]:
    """Return for each file what the engine says of it: `accepted` or the code of an error, and the message."""
    (folder / "questions.json").write_text(json.dumps(questions))
    script = (REPOSITORY / "web/engine-networks.js").as_uri()
    command = ["node", "--input-type=module", "-e", OPEN, script]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=True)
    answers: dict[str, list[str]] = json.loads(ran.stdout)
    return answers


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("plan")
    questions = []
    for name, ((kind, path, size), _, change) in CHANGES.items():
        model = onnx.load(path or blazeface.graph_path())
        change(model.graph)
        onnx.save(model, folder / name)
        questions.append((name, kind, size))
    return opened(folder, questions)


@pytest.mark.parametrize("name", CHANGES)
def test_a_graph_of_another_meaning_is_refused(name: str, answers: dict[str, list[str]]) -> None:
    code, message = answers[name]
    assert code == "model_unsupported", message
    assert CHANGES[name][1] in message


def test_the_package_s_own_graphs_are_computed(tmp_path: Path) -> None:
    shutil.copy(blazeface.graph_path(), tmp_path / "faces")
    shutil.copy(MODEL, tmp_path / "face")
    shutil.copy(graph_path("tiny_face_detector"), tmp_path / "cells")
    write_old_graph(tmp_path / "cells", tmp_path / "old")
    for classes in (1, 2, 23):
        write_model(tmp_path / f"{classes}", outputs=classes)
    questions = [("faces", "faces", 128), ("face", "face", 160), ("old", "cells", 416)]
    questions += [(f"{classes}", "face", 16) for classes in (1, 2, 23)]
    found = opened(tmp_path, questions)
    assert [code for code, _ in found.values()] == ["accepted"] * len(questions), found
    for size in (128, 224, 608):
        assert opened(tmp_path, [("cells", "cells", size)])["cells"] == ["accepted", ""]


def test_exported_networks_are_computed(tmp_path: Path, exported: Path) -> None:
    names = ("k7_mnv3s_160.onnx", "k7_mnv3s_160_8bit.onnx")
    for name in names:
        shutil.copy(exported / name, tmp_path)
    found = opened(tmp_path, [(name, "face", 160) for name in names])
    assert list(found.values()) == [["accepted", ""]] * 2
