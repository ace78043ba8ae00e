import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.npm import find_package
from pyojeong.faceapi import net_graphs, nets
from pyojeong.faceapi.detector import without_padding
from pyojeong.faceapi.weights import PACKAGE, read_weights


def run(graph: bytes, feeds: dict[str, Any]) -> Any:
    return onnxruntime.InferenceSession(graph).run(None, feeds)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path / "pyojeong"


def test_a_graph_is_built_once_and_named_by_version_and_format(cache, monkeypatch):
    path = nets.graph_path("face_expression")
    assert path == cache / f"face_expression-1.7.15-f{nets.FORMAT}.onnx"
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(nets, "build", lambda *_: pytest.fail("built again"))
    assert nets.graph_path("face_expression").stat().st_mtime_ns == before


def test_a_new_format_gets_a_new_graph(cache, monkeypatch):
    old = nets.graph_path("face_expression")
    monkeypatch.setattr(nets, "FORMAT", nets.FORMAT + 1)
    assert nets.graph_path("face_expression") != old


def test_graphs_in_a_wheel_need_neither_cache_nor_node_modules(cache, tmp_path, monkeypatch):
    files = nets.write_graphs(tmp_path / "graphs")
    monkeypatch.setattr(nets, "GRAPHS", tmp_path / "graphs")
    monkeypatch.setattr(nets, "find_package", lambda: pytest.fail("looked for node_modules"))
    assert [nets.graph_path(model) for model in nets.MODELS] == files[:2]
    assert not cache.exists()


def test_a_graph_that_exists_needs_no_onnx(cache):
    path = nets.graph_path("face_expression")
    code = """
import sys
sys.modules["onnx"] = None  # makes every import of it fail
import pyojeong.analyzer
from pyojeong.faceapi.nets import graph_path
print(graph_path("face_expression"))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert Path(output.strip()) == path


def test_the_command_writes_graphs_and_license(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "pyojeong.faceapi.nets", "--out", str(tmp_path / "out")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    written = sorted((tmp_path / "out").iterdir())
    assert sorted(map(Path, lines)) == written
    assert "MIT License" in (tmp_path / "out" / nets.LICENSE).read_text()
    model = onnx.load(tmp_path / "out" / f"tiny_face_detector-1.7.15-f{nets.FORMAT}.onnx")
    assert {each.key: each.value for each in model.metadata_props}["weights"] == "@vladmandic/face-api 1.7.15 (MIT)"


def test_another_version_of_the_package_is_not_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(nets, "package_version", lambda _: "2.0.0")
    with pytest.raises(InputError, match=r"2\.0\.0 is installed, 1\.7\.15 is pinned"):
        nets.write_graphs(tmp_path)


@pytest.mark.parametrize("size", [160, 416, 608])
def test_the_detector_has_one_cell_per_32_pixels_and_a_divisor(size):
    graph = nets.build("tiny_face_detector", find_package(PACKAGE))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    usual, other = (run(graph, {"pixels": pixels, **more})[0] for more in ({}, {"divisor": np.array(256, np.float32)}))
    assert usual.shape == (2, size // 32, size // 32, 25)
    assert np.abs(usual - other).max() > 0
    # Dividing by 256 is dividing the centered pixels by 255 after shrinking them by 255/256.
    mean = np.array(net_graphs.DETECTOR_MEAN, np.float32)
    shrunk = run(graph, {"pixels": (pixels - mean) * np.float32(255 / 256) + mean})[0]
    assert np.abs(shrunk - other).max() < 1e-3


@pytest.mark.parametrize("divisor", [255, 256])
@pytest.mark.parametrize(("width", "height"), [(640, 480), (479, 640), (1280, 720), (1000, 1), (7, 416), (300, 299)])
def test_cells_do_not_depend_on_the_omitted_padding(width, height, divisor):
    graph = nets.build("tiny_face_detector", find_package(PACKAGE))
    columns, rows = (math.ceil(length * 224 / max(width, height)) for length in (width, height))
    pixels = np.zeros((224, 224, 3), np.float32)
    pixels[:rows, :columns] = np.random.default_rng(2).uniform(0, 255, (rows, columns, 3))
    reduced = without_padding(pixels, width, height)
    assert reduced.size < pixels.size or min(rows, columns) > 218
    feeds = ({"pixels": frame[None], "divisor": np.array(divisor, np.float32)} for frame in (pixels, reduced))
    expected, cells = (run(graph, feed)[0] for feed in feeds)
    assert np.array_equal(cells, expected)


def test_the_expression_net_s_first_layer_is_the_manifest_s_convolution():
    """Computes one layer by hand, which shows a transposed layout or padding on the wrong side."""
    model = onnx.load_from_string(nets.build("face_expression", find_package(PACKAGE)))
    first = next(node for node in model.graph.node if node.op_type == "Relu")
    model.graph.output.append(onnx.helper.make_tensor_value_info(first.output[0], onnx.TensorProto.FLOAT, None))
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 112, 112, 3)).astype(np.float32)
    probabilities, layer = run(model.SerializeToString(), {"pixels": pixels})
    assert probabilities.shape == (1, 7)
    assert probabilities.sum() == pytest.approx(1, abs=1e-6)
    tensors = read_weights("face_expression_model")
    x = (pixels[0] - np.array(net_graphs.EXPRESSION_MEAN)) / 255
    for row, column in ((0, 0), (20, 33), (55, 55)):
        window = np.zeros((3, 3, 3))
        inside = x[row * 2 : row * 2 + 3, column * 2 : column * 2 + 3]
        window[: inside.shape[0], : inside.shape[1]] = inside
        by_hand = np.einsum("hwc,hwco->o", window, tensors["dense0/conv0/filters"]) + tensors["dense0/conv0/bias"]
        assert layer[0, :, row, column] == pytest.approx(np.maximum(by_hand, 0), abs=1e-4)
