from pathlib import Path

import numpy as np
import torch

from pyojeong.model.network import FEATURES, MobileNetV3Small


def test_as_many_parameters_as_torchvision() -> None:
    assert sum(parameter.numel() for parameter in MobileNetV3Small(1000).parameters()) == 2_542_856


def test_torchvision_weights_load_key_for_key(shared: Path) -> None:
    with np.load(shared / "weights/mobilenet_v3_small_imagenet.npz", allow_pickle=False) as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    network = MobileNetV3Small(1000)

    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state)  # strict: every name and shape fits


def test_key_names_and_batchnorm_constants() -> None:
    network = MobileNetV3Small(7)
    names = set(network.state_dict())

    assert {"features.0.0.weight", "features.4.block.2.fc1.weight", "features.12.1.running_mean"} <= names
    assert {"classifier.0.weight", "classifier.3.bias"} <= names
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 34
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.001, 0.1)}


def test_logits_are_the_head_of_the_pooled_features() -> None:
    torch.manual_seed(0)
    network = MobileNetV3Small(6).eval()
    pixels = torch.randn(2, 3, 160, 160)

    with torch.inference_mode():
        pooled = network.pooled(pixels)
        assert pooled.shape == (2, FEATURES)
        assert network.features(pixels).shape == (2, FEATURES, 5, 5)
        assert torch.equal(network(pixels), network.classifier(pooled))
        assert network(pixels).shape == (2, 6)
        assert not torch.equal(network(pixels)[0], network(pixels)[1])


def test_the_seed_decides_new_weights() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(MobileNetV3Small(7).state_dict()["classifier.3.weight"])

    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
