from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pyojeong.model.network import FEATURES, MobileNetV3Small, normalize
from pyojeong.model.teacher import FaceRecognitionNet, teacher
from pyojeong.training.batches import steps
from pyojeong.training.inference_cache import Backbone, _Writer, answers
from tests.networks import drawn_patches, telling_network, write_face_mobilenet

CPU = torch.device("cpu")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 16, 21])
def test_the_graph_gives_what_the_network_pools(count: int, threads: int) -> None:
    patches = drawn_patches(21)
    network = telling_network(patches).network()
    pixels = torch.from_numpy(np.stack(patches[-count:]))
    with torch.inference_mode():
        expected = network.pooled(normalize(pixels.permute(0, 3, 1, 2).float() / 255))
    plan = steps(np.arange(count), 8)
    found = torch.cat([*Backbone(network, threads).features(lambda rows: pixels[torch.from_numpy(rows)], plan)])

    assert found.shape == (count, FEATURES)
    assert expected.abs().mean() > 0.01
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = MobileNetV3Small(3).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Backbone(network, threads=1)

    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_module_that_has_no_onnx_is_named() -> None:
    with pytest.raises(TypeError, match="no ONNX for GELU"):
        _Writer().module(nn.GELU(), "image")


@pytest.mark.parametrize("kind", ["dlib", "vggface2", "own"])
def test_answers_are_the_network_s(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    torch.manual_seed(0)
    faces = str(write_face_mobilenet(tmp_path / "faces.safetensors"))
    patches = drawn_patches(5)
    network = telling_network(patches).network() if kind == "own" else teacher(kind, 7, faces)
    network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    if isinstance(network, FaceRecognitionNet):
        network.fold()
    given = normalize(torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255)
    pixels = given.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(pixels)
    found = answers(network, CPU)

    assert found is not network
    assert expected.std(0).min() > 1e-4
    assert (found(pixels) - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))
    assert torch.equal(found(pixels[:2]), found(pixels)[:2])


def test_where_torch_multiplies_bfloat16_the_network_answers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    network = MobileNetV3Small(7).eval()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert answers(network, CPU) is network
