import numpy as np
import pytest
import torch

from pyojeong.model.network import MobileNetV3Small
from pyojeong.training.batchnorm import calibrate_batchnorm, restore_batchnorm
from pyojeong.training.loop import predict
from tests.training.test_loop import Images


def test_settling_gives_a_random_backbone_the_statistics_of_its_images() -> None:
    torch.manual_seed(0)
    network, source = MobileNetV3Small(3), Images(200)
    weights = [parameter.clone() for parameter in network.parameters()]
    before = predict(network.features, source, torch.device("cpu")).std(0).mean()
    calibrate_batchnorm(network, source, torch.device("cpu"))
    after = predict(network.features, source, torch.device("cpu")).std(0).mean()

    assert after > 10 * before
    first = network.features[0]
    assert isinstance(first, torch.nn.Sequential)
    convolved = predict(first[0], source, torch.device("cpu"))
    mean = first.state_dict()["1.running_mean"].numpy()
    assert mean == pytest.approx(convolved.mean((0, 2, 3)), abs=1e-3)
    assert all(torch.equal(one, other) for one, other in zip(weights, network.parameters(), strict=True))
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    assert not network.training


def test_restored_batchnorms_compute_the_same_and_keep_it_in_training() -> None:
    torch.manual_seed(0)
    network, source = MobileNetV3Small(3), Images(200)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.bias)
        # As after folding: any variance, which says nothing about the images.
        norm.get_buffer("running_var").fill_(0.25)
    before = predict(network, source, torch.device("cpu"))
    restore_batchnorm(network, source, torch.device("cpu"))

    assert predict(network, source, torch.device("cpu")) == pytest.approx(before, rel=1e-3, abs=1e-5)
    first = network.features[0]
    assert isinstance(first, torch.nn.Sequential)
    convolved = predict(first[0], source, torch.device("cpu"))
    state = first.state_dict()
    assert state["1.running_mean"].numpy() == pytest.approx(convolved.mean((0, 2, 3)), abs=1e-4)
    assert state["1.running_var"].numpy() == pytest.approx(convolved.var((0, 2, 3)), rel=1e-2)
    # With the statistics of its own batch, a layer now gives nearly what it gives without.
    images = source.prepare(source.read(np.arange(200)))
    with torch.no_grad():
        assert torch.allclose(first.train()(images), first.eval()(images), atol=0.05)
