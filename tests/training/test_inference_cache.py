from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pyojeong.model.network import FEATURES, MobileNetV3Small, normalize
from pyojeong.model.teacher import FaceRecognitionNet, load_teacher
from pyojeong.training.batches import steps
from pyojeong.training.inference_cache import Backbone, _ModuleWriter, inference_function
from tests.networks import drawn_patches, telling_network, write_face_mobilenet

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 16, 21])
def test_the_graph_gives_the_pooled_features(count: int, threads: int) -> None:
    patches = drawn_patches(21)
    network = telling_network(patches).network()
    pixels = torch.from_numpy(np.stack(patches[-count:]))
    with torch.inference_mode():
        expected = network.pooled(normalize(pixels.permute(0, 3, 1, 2).float() / 255))
    plan = steps(np.arange(count), 8)
    features = torch.cat([*Backbone(network, threads).features(lambda rows: pixels[torch.from_numpy(rows)], plan)])

    assert features.shape == (count, FEATURES)
    assert expected.abs().mean() > 0.01
    assert (features - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


def test_the_network_is_not_changed() -> None:
    torch.manual_seed(0)
    network = MobileNetV3Small(3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Backbone(network, threads=1)

    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(TypeError, match="no ONNX operator is known for the module GELU"):
        _ModuleWriter().module(nn.GELU(), "image")


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("dlib", "vggface2")]


@pytest.mark.parametrize("kind", [*SLOW, "own"])
def test_logits_equal_the_network_s(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    torch.manual_seed(0)
    faces = str(write_face_mobilenet(tmp_path / "faces.safetensors"))
    patches = drawn_patches(5)
    network = telling_network(patches).network() if kind == "own" else load_teacher(kind, 7, faces)
    network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    if isinstance(network, FaceRecognitionNet):
        network.fold()
    normalized = normalize(torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255)
    pixels = normalized.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(pixels)
    logits = inference_function(network, CPU)

    assert logits is not network
    assert expected.std(0).min() > 1e-4
    assert (logits(pixels) - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    assert torch.equal(logits(pixels[:2]), logits(pixels)[:2])


def test_with_bfloat16_the_network_itself_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    network = MobileNetV3Small(7).eval()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert inference_function(network, CPU) is network
