from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from pyojeong.classifier import Classifier
from pyojeong.core.images import Pixels
from pyojeong.export.eight_bit import BLOCK, FLOAT16_BELOW, FOUR_BITS_FROM, eight_bit_name, quantize_weights
from tests.networks import drawn_patches

LARGEST = 1_600_000
FACES = 105


@pytest.fixture(scope="module")
def patches() -> list[Pixels]:
    return drawn_patches(FACES)


@pytest.fixture(scope="module")
def models(exported: Path) -> tuple[Path, Path]:
    return exported / "k7_mnv3s_160.onnx", exported / "k7_mnv3s_160_8bit.onnx"


def test_one_export_writes_both_models(models: tuple[Path, Path]) -> None:
    full, small = models
    assert small.name == eight_bit_name(full.name)
    assert small.stat().st_size <= LARGEST < full.stat().st_size / 3
    metadata = [onnx.load(path).metadata_props for path in models]
    assert metadata[0] == metadata[1]


def test_probabilities_stay_close_on_synthetic_faces(models: tuple[Path, Path], patches: list[Pixels]) -> None:
    full, small = (Classifier(path).predict_patches(patches) for path in models)
    # The check is meaningful only if predictions differ between faces.
    assert len(set(full.argmax(1))) > 3
    assert full.std(0).min() > 0.02
    # Random weights amplify rounding more than trained ones do, and predict less confidently.
    assert (full.argmax(1) == small.argmax(1)).mean() >= 0.9
    assert 0 < np.abs(full - small).mean() < 0.02


def weight_names(model: onnx.ModelProto) -> list[str]:
    """Weights of convolutions, dense layers, and those from which matrices are gathered."""
    weights = {node.output[0] for node in model.graph.node if node.op_type in ("Cast", "DequantizeLinear")}
    weights |= {tensor.name for tensor in model.graph.initializer}
    places = {"Conv": 1, "Gemm": 1, "Gather": 0}
    names = [node.input[places[node.op_type]] for node in model.graph.node if node.op_type in places]
    return [name for name in names if name in weights]


def weights_of(model: onnx.ModelProto) -> list[np.ndarray[Any, Any]]:
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return [np.array(values[name]) for name in weight_names(model)]


def expanded(model: onnx.ModelProto) -> list[np.ndarray[Any, Any]]:
    """The weights of the 8-bit file, expanded by onnx's own reference implementation."""
    names = weight_names(model)
    sources = {node.output[0]: node for node in model.graph.node if node.op_type in ("Cast", "DequantizeLinear")}
    outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
    graph = onnx.helper.make_graph([sources[name] for name in names], "weights", [], outputs, model.graph.initializer)
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return [np.asarray(value) for value in ReferenceEvaluator(part).run(None, {})]


def test_every_weight_is_within_half_a_step(models: tuple[Path, Path]) -> None:
    full, small = weights_of(onnx.load(models[0])), expanded(onnx.load(models[1]))
    assert len(full) == len(small) == 54
    coarse = 0
    for weights, restored in zip(full, small, strict=True):
        error = np.abs(weights - restored)
        if weights.size < FLOAT16_BELOW or weights.shape[1] == 1:
            assert error.max() <= np.abs(weights).max() * 2**-11
        elif weights.size < FOUR_BITS_FROM:
            largest = np.abs(weights).max(tuple(range(1, weights.ndim)), keepdims=True)
            assert (error <= largest / 127 * 0.501).all()
        else:
            blocks = np.abs(weights).reshape(len(weights), -1, BLOCK)
            step = np.repeat(blocks.max(2) / 7, BLOCK, axis=1)
            assert (error <= step * 0.501).all()
            coarse += 1
    assert coarse == 1


def test_weights_expanded_at_load_give_the_same_probabilities(models: tuple[Path, Path], patches: list[Pixels]) -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(models[1], options, providers=["CPUExecutionProvider"])
    image = np.stack(patches[:8])
    (probabilities,) = session.run(None, {"image": image})
    assert np.abs(np.asarray(probabilities) - Classifier(models[1]).predict_patches(patches[:8])).max() < 1e-5


def test_a_channel_of_zeros_stays_zero(models: tuple[Path, Path]) -> None:
    full, shapes = onnx.load(models[0]), ((1024, 576), (576, 96, 1, 1))
    for tensor in full.graph.initializer:
        if tuple(tensor.dims) in shapes:
            weights = numpy_helper.to_array(tensor).copy()
            weights[2] = 0
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    small = {
        weights.shape: weights
        for weights in expanded(onnx.load_from_string(quantize_weights(full.SerializeToString())))
    }
    for shape in shapes:
        assert not small[shape][2].any()
        assert small[shape][1].any()
