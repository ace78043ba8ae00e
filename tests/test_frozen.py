import numpy as np
import pytest
import torch
from torch import nn

from pyojeong.batches import normalise, steps
from pyojeong.frozen import Backbone, _Writer
from pyojeong.network import FEATURES, MobileNetV3Small
from tests.networks import drawn_patches, telling_network


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [1, 16, 21])
def test_the_graph_gives_what_the_network_pools(count: int, threads: int) -> None:
    patches = drawn_patches(21)
    network = telling_network(patches).network()
    pixels = torch.from_numpy(np.stack(patches[-count:]))
    with torch.inference_mode():
        expected = network.pooled(normalise(pixels.permute(0, 3, 1, 2).float() / 255))
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
