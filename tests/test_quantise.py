from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from pyojeong.export import build, export
from pyojeong.images import Pixels
from pyojeong.quantise import LEVELS, eight_bit, eight_bit_name
from pyojeong.runtime import Classifier
from tests.networks import drawn_patches, telling_network

pytestmark = pytest.mark.slow  # torch's exporter alone takes several seconds

LARGEST = 1_600_000
FACES = 105


@pytest.fixture(scope="module")
def patches() -> list[Pixels]:
    return drawn_patches(FACES)


@pytest.fixture(scope="module")
def models(patches: list[Pixels], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("export")
    telling_network(patches).save(folder / "best.pt")
    full = export(folder / "best.pt", folder, "k7.onnx")
    return full, folder / "k7_8bit.onnx"


def test_one_export_gives_both_and_the_small_one_is_small(models: tuple[Path, Path]) -> None:
    full, small = models
    assert small.name == eight_bit_name(full.name)
    assert small.stat().st_size <= LARGEST < full.stat().st_size / 3
    facts = [onnx.load(path).metadata_props for path in models]
    assert facts[0] == facts[1]


def test_answers_stay_close_on_drawn_faces(models: tuple[Path, Path], patches: list[Pixels]) -> None:
    full, small = (Classifier(path).predict_patches(patches) for path in models)
    # The check means something only where answers differ from face to face.
    assert len(set(full.argmax(1))) > 3
    assert full.std(0).min() > 0.02
    # Random weights pass rounding on more than trained ones do, and answer less surely.
    assert (full.argmax(1) == small.argmax(1)).mean() >= 0.9
    assert 0 < np.abs(full - small).mean() < 0.02


def values_of(model: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    return {tensor.name: np.array(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}


def quantised(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Levels and scales by the name of the weight that they stand for."""
    values = values_of(model)
    nodes = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    return {node.output[0]: (values[node.input[0]], values[node.input[1]]) for node in nodes}


def test_every_weight_is_within_half_a_step(models: tuple[Path, Path]) -> None:
    full, small = values_of(onnx.load(models[0])), quantised(onnx.load(models[1]))
    assert len(small) == 54
    for name, (levels, scale) in small.items():
        assert levels.dtype == np.int8
        step = scale.reshape(-1, *[1] * (levels.ndim - 1))
        assert (np.abs(np.asarray(levels * step) - np.asarray(full[name])) <= step * 0.5001).all()
        # Each channel uses its whole range.
        assert (np.abs(levels).reshape(len(levels), -1).max(1) == LEVELS).all()


def test_expanded_at_load_the_answers_are_the_same(models: tuple[Path, Path], patches: list[Pixels]) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(models[1], options, providers=["CPUExecutionProvider"])
    image = np.stack(patches[:8])
    (found,) = session.run(None, {"image": image})
    assert np.abs(np.asarray(found) - Classifier(models[1]).predict_patches(patches[:8])).max() < 1e-5


def test_a_channel_of_zeros_stays_zero(patches: list[Pixels]) -> None:
    trained = telling_network(patches[:4])
    trained.state_dict["classifier.3.weight"][2] = 0
    levels, _ = quantised(onnx.load_from_string(eight_bit(build(trained))))["classifier.3.weight"]
    assert not levels[2].any()
    assert levels[1].any()
