"""The graph against the reference runtime of its weights."""

import struct
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from pyojeong.core.errors import InputError
from pyojeong.core.images import Pixels, decode
from pyojeong.core.npm import find_package
from pyojeong.detection import graph
from pyojeong.detection.network import SIDE, Network, View
from pyojeong.detection.tflite import onnx_graph
from tests.archives import london
from tests.faceapi.faces import scenes

WEIGHTS = "face_detection_short_range.tflite"


@cache
def reference() -> Interpreter:
    interpreter = Interpreter(str(find_package(graph.PACKAGE) / WEIGHTS), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


@cache
def network() -> Network:
    return Network(threads=1)


def reference_finds(pixels: Pixels) -> np.ndarray:
    """Score, box and landmarks of all 896 anchors [896, 1 + 16], in pixels of a view of 128 x 128.

    The anchors are written down as MediaPipe's SsdAnchorsCalculator makes them, in shares of the image.
    """
    interpreter = reference()
    (image,) = interpreter.get_input_details()
    interpreter.set_tensor(image["index"], (pixels[None].astype(np.float32) - 127.5) / 127.5)
    interpreter.invoke()
    outputs = {part["shape"][-1]: interpreter.get_tensor(part["index"])[0] for part in interpreter.get_output_details()}
    anchors = [
        ((column + 0.5) / cells, (row + 0.5) / cells)
        for cells, count in ((16, 2), (8, 6))
        for row in range(cells)
        for column in range(cells)
        for _ in range(count)
    ]
    shares = outputs[16].astype(np.float64).reshape(896, 8, 2) / SIDE
    shares[:, [0, *range(2, 8)]] += np.array(anchors)[:, None]
    center, side = shares[:, 0], shares[:, 1]
    points = np.concatenate([np.stack([center - side / 2, center + side / 2], 1), shares[:, 2:]], 1) * SIDE
    scores = 1 / (1 + np.exp(-outputs[1].astype(np.float64).clip(-100, 100)))
    return np.concatenate([scores, points.reshape(896, 16)], 1)


def compare(pixels: Pixels, least: float) -> int:
    """Compare what scores above ``least`` in a view of a picture; returns how many finds there are."""
    view = View.of(pixels, SIDE)
    expected = reference_finds(view.pixels)
    expected = expected[expected[:, 0] > least]
    (finds,) = network().finds([View(view.pixels, (1.0, 1.0), (0.0, 0.0))], least)

    assert len(finds) == len(expected)
    for find, row in zip(finds, expected, strict=True):
        found = [find.score, *find.box, *np.ravel(find.landmarks)]
        side = max(row[3] - row[1], row[4] - row[2])
        assert found[0] == pytest.approx(row[0], abs=1e-3)
        assert found[1:] == pytest.approx(row[1:], abs=1e-3 * side)
    return len(finds)


def drawn() -> Iterator[Pixels]:
    for _, data, _ in scenes():
        yield decode(data)


def noise() -> Iterator[Pixels]:
    dice = np.random.default_rng(0)
    for size in ((128, 128), (300, 200), (64, 500)):
        yield dice.integers(0, 256, (*size, 3), dtype=np.uint8)
        coarse = Image.fromarray(dice.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        yield np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("pictures", "least", "fewest"), [(drawn, 0.1, 100), (noise, 1e-6, 20)])
def test_finds_equal_the_reference_runtime_s(
    pictures: Callable[[], Iterator[Pixels]], least: float, fewest: int
) -> None:
    assert sum(compare(pixels, least) for pixels in pictures()) > fewest


def test_finds_on_photographs_equal_the_reference_runtime_s(shared: Path) -> None:
    assert sum(compare(pixels, 0.1) for pixels in london(shared)) > 72


def test_pictures_in_a_batch_and_transparency_change_nothing() -> None:
    views = [View.of(pixels, SIDE) for pixels in [*drawn()][:3]]
    together = network().finds(views, 0.1)
    with_alpha = [
        View(np.dstack([view.pixels, np.full((SIDE, SIDE), 9, np.uint8)]), view.scale, view.origin) for view in views
    ]
    for view, finds, same in zip(views, together, network().finds(with_alpha, 0.1), strict=True):
        (alone,) = network().finds([view], 0.1)
        assert finds
        assert finds == same
        for one, other in zip(finds, alone, strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-3)
            assert one.score == pytest.approx(other.score, abs=1e-5)


def test_the_graph_says_where_its_weights_come_from_and_keeps_them_small(tmp_path: Path) -> None:
    written, notice = graph.write_graph(tmp_path)
    model = onnx.load(written)
    facts = {entry.key: entry.value for entry in model.metadata_props}

    onnx.checker.check_model(model, full_check=True)
    assert facts == {"weights": f"{graph.PACKAGE} {graph.VERSION} (Apache-2.0)", "format": str(graph.FORMAT)}
    assert written.stat().st_size < 220_000
    assert "Apache License" in notice.read_text()
    assert notice.read_bytes() == graph.LICENSE.read_bytes()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the npm package, which is the one that is found; nothing is packed, and the cache is empty."""
    folder = tmp_path / "face_detection"
    folder.mkdir()
    for name in ("package.json", WEIGHTS):
        (folder / name).write_bytes((find_package(graph.PACKAGE) / name).read_bytes())
    monkeypatch.setattr(graph, "find_package", lambda _: folder)
    monkeypatch.setattr(graph, "PACKED", tmp_path / "packed.onnx")
    monkeypatch.setattr(graph, "cache_folder", lambda: tmp_path / "cache")
    return folder


def test_the_packed_graph_comes_first_and_another_is_built_once(package: Path) -> None:
    built = graph.graph_path()
    assert built.parent.name == "cache"
    first = built.read_bytes()
    (package / WEIGHTS).unlink()
    assert graph.graph_path().read_bytes() == first
    graph.PACKED.write_bytes(b"packed")
    assert graph.graph_path() == graph.PACKED


def test_missing_weights_are_named(package: Path) -> None:
    (package / WEIGHTS).unlink()
    with pytest.raises(InputError, match=rf"face_detection/{WEIGHTS}: no such file; run `npm ci` again"):
        graph.graph_path()


@pytest.mark.parametrize("damage", [slice(0), slice(3), slice(40), slice(5000), slice(-5000), slice(100, None)])
def test_damaged_weights_are_named(damage: slice, package: Path) -> None:
    file = package / WEIGHTS
    file.write_bytes(file.read_bytes()[damage])
    with pytest.raises(InputError, match=rf"{WEIGHTS}: not the weights of BlazeFace .*run `npm ci` again"):
        graph.graph_path()
    assert not any((package.parent / "cache").glob("*.onnx"))


def test_an_offset_beyond_the_end_of_the_file_is_damage(package: Path) -> None:
    data = bytearray((package / WEIGHTS).read_bytes())
    struct.pack_into("<I", data, 0, len(data) + 100)
    with pytest.raises(ValueError, match="damaged"):
        onnx_graph(bytes(data), {})


def test_another_network_is_refused(package: Path) -> None:
    full_range = find_package(graph.PACKAGE) / "face_detection_full_range.tflite"
    (package / WEIGHTS).write_bytes(full_range.read_bytes())
    # Its operators are not those of the short-range network.
    with pytest.raises(InputError, match=r"an operator \w+, which BlazeFace does not have|damaged"):
        graph.graph_path()


def test_another_version_of_the_package_is_not_packed(package: Path, tmp_path: Path) -> None:
    (package / "package.json").write_text('{"version": "0.0.1"}')
    with pytest.raises(InputError, match=rf"0\.0\.1 is installed, {graph.VERSION} is pinned"):
        graph.write_graph(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    monkeypatch.setattr("sys.argv", ["graph", "--out", str(tmp_path)])
    graph.main()
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "blazeface.onnx"),
        str(tmp_path / "LICENSE-blazeface"),
    ]
