from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pyojeong.model.network import FEATURES, MobileNetV3Small
from pyojeong.training.batches import FeatureSource, Source, targets
from pyojeong.training.loop import (
    Lesson,
    Result,
    _Average,
    _Loop,
    learn,
    predict,
    rate_factor,
    set_stage,
)
from pyojeong.training.recipe import Recipe


class Images:
    """Tiny random images; small, because only who learns is asked here."""

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(count)
        self.labels = generator.integers(0, 3, count)
        self.sets = np.zeros(count, np.int64)
        self._pixels = torch.from_numpy(generator.normal(size=(count, 3, 32, 32))).float()

    def read(self, rows: np.ndarray) -> Tensor:
        return self._pixels[torch.from_numpy(rows)]

    def prepare(self, raw: Tensor, seeds: object = None, share: object = None) -> Tensor:
        return raw


def lesson_of(source: Source) -> Lesson:
    return Lesson(targets(source.labels, 3, None, 0.0), np.full(3, 1 / 3), np.ones(1))


def learned(fabric: Fabric, network: MobileNetV3Small, recipe: Recipe, train: Source, val: Source, at: Path) -> Result:
    return learn(fabric, network, recipe, (train, val), lesson_of(train), at / "last.pt", "run", "a run")


@pytest.fixture
def network() -> MobileNetV3Small:
    torch.manual_seed(0)
    return MobileNetV3Small(3)


@pytest.fixture
def fabric() -> Fabric:
    return Fabric(accelerator="cpu", devices=1)


def changed_blocks(before: dict[str, Tensor], network: MobileNetV3Small) -> set[str]:
    after = network.state_dict()
    return {".".join(name.split(".")[:2]) for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize(
    ("head_until", "top_until", "expected"),
    [
        (1.0, 1.0, {"classifier.0", "classifier.3"}),
        (0.0, 1.0, {"classifier.0", "classifier.3", "features.11", "features.12"}),
        (0.0, 0.0, {"classifier.0", "classifier.3", *(f"features.{block}" for block in range(13))}),
    ],
)
def test_only_the_stage_learns_and_nothing_else_drifts(
    network: MobileNetV3Small,
    fabric: Fabric,
    tmp_path: Path,
    head_until: float,
    top_until: float,
    expected: set[str],
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = Recipe.of("finetune", {"epochs": 1, "batch": 8, "head_until": head_until, "top_until": top_until})
    learned(fabric, network, recipe, Images(16), Images(8), tmp_path)

    assert changed_blocks(before, network) == expected


def test_a_stage_sets_batchnorm_to_learn_or_to_rest(network: MobileNetV3Small) -> None:
    set_stage(network, "all")
    set_stage(network, "top")

    assert not network.features[10].training
    assert network.features[11].training
    assert network.features[12].training
    assert not any(parameter.requires_grad for parameter in network.features[:11].parameters())
    assert all(parameter.requires_grad for parameter in network.classifier.parameters())


def test_the_backbone_and_the_head_have_their_own_rates(network: MobileNetV3Small, fabric: Fabric) -> None:
    options = {"lr_head": 0.0, "lr_backbone": 1e-3, "head_until": 0.0, "top_until": 0.0, "epochs": 1, "batch": 16}
    loop = _Loop(fabric, network, Recipe.of("finetune", options), Images(16), lesson_of(Images(16)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loop.epoch(0, lambda *_: None)

    assert {name.split(".")[0] for name in changed_blocks(before, network)} == {"features"}


def test_the_scale_of_the_loss_is_kept_for_the_next_start(
    network: MobileNetV3Small, fabric: Fabric, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = _Loop(fabric, network, Recipe.of("finetune", {}), Images(4), lesson_of(Images(4)))
    precision = fabric.strategy.precision
    restored: list[object] = []
    monkeypatch.setattr(precision, "state_dict", lambda: {"scale": 512.0})
    monkeypatch.setattr(precision, "load_state_dict", restored.append)
    loop.restore(loop.state())

    assert restored == [{"scale": 512.0}]


def test_cosine_falls_from_the_peak_to_zero(network: MobileNetV3Small, fabric: Fabric) -> None:
    loop = _Loop(fabric, network, Recipe.of("finetune", {"schedule": "cosine"}), Images(4), lesson_of(Images(4)))
    rates = []
    for progress in (0.0, 0.5, 1.0):
        loop._set_rates(progress)
        rates.append([group["lr"] for group in loop.optimizer.param_groups])

    assert rates[0] == pytest.approx([5e-4, 1e-4])
    assert rates[1] == pytest.approx([2.5e-4, 5e-5])
    assert rates[2] == pytest.approx([0, 0])


def test_label_smoothing_changes_the_loss_that_is_learned_only(fabric: Fabric, tmp_path: Path) -> None:
    histories = []
    for smoothing in (0.0, 0.5):
        torch.manual_seed(0)
        network = MobileNetV3Small(3)
        network.load_state_dict({"classifier.3.bias": torch.tensor([2.0, 0.0, -2.0])}, strict=False)
        options = {"epochs": 1, "batch": 8, "lr_head": 0.0, "label_smoothing": smoothing}
        (tmp_path / "last.pt").unlink(missing_ok=True)
        result = learned(fabric, network, Recipe.of("probe", options), Images(16), Images(8), tmp_path)
        histories.append(result.history[0])

    assert histories[0]["val_loss"] == histories[1]["val_loss"]
    assert histories[0]["train_loss"] != pytest.approx(histories[1]["train_loss"], rel=1e-3)


def test_the_average_warms_up_and_follows() -> None:
    module = torch.nn.BatchNorm1d(1)
    average = _Average(module, decay=0.5)

    def follow(weight: float, batches: int) -> tuple[float, int]:
        state = {"weight": torch.tensor([weight]), "num_batches_tracked": torch.tensor(batches)}
        module.load_state_dict(state, strict=False)
        average.update(module)
        averaged = average.module.state_dict()
        return averaged["weight"].item(), int(averaged["num_batches_tracked"].item())

    # (1 + 1) / (10 + 1) of the old weight, 1, is kept in the first step.
    assert follow(3.0, 7) == pytest.approx((1 * 2 / 11 + 3 * 9 / 11, 7))
    for _ in range(100):
        weight, _ = follow(3.0, 8)
    assert weight == pytest.approx(3.0)
    assert follow(5.0, 9) == pytest.approx((4.0, 9))


def test_averaged_weights_are_the_ones_judged_and_kept(
    network: MobileNetV3Small, fabric: Fabric, tmp_path: Path
) -> None:
    recipe = Recipe.of("finetune", {"epochs": 1, "batch": 4, "ema": 0.9, "head_until": 1.0, "top_until": 1.0})
    val = Images(8)
    result = learned(fabric, network, recipe, Images(16), val, tmp_path)

    assert not torch.equal(result.best_state["classifier.3.weight"], network.state_dict()["classifier.3.weight"])
    network.load_state_dict(result.best_state)
    logits = predict(network, val, torch.device("cpu"))
    assert result.history[0]["val_accuracy"] == float((logits.argmax(1) == val.labels).mean())


def test_the_best_epoch_is_kept(network: MobileNetV3Small, fabric: Fabric, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    features = torch.from_numpy(generator.normal(size=(64, FEATURES))).float()
    source = FeatureSource(features, (features[:, 0] > 0).long().numpy(), np.zeros(64, np.int64))
    recipe = Recipe.of("finetune", {"epochs": 8, "batch": 16, "lr_head": 3e-2, "head_until": 1.0, "top_until": 1.0})
    network.forward = network.classifier.forward  # type: ignore[method-assign]
    result = learned(fabric, network, recipe, source, source, tmp_path)
    scores = [epoch["val_macro_f1"] for epoch in result.history]

    assert result.best_macro_f1 == max(scores)
    assert result.best_epoch == scores.index(max(scores)) + 1
    network.load_state_dict(result.best_state)
    logits = predict(network, source, torch.device("cpu"))
    assert float((logits.argmax(1) == source.labels).mean()) == result.history[result.best_epoch - 1]["val_accuracy"]


def test_learning_rates_rise_during_the_warmup_and_then_fall() -> None:
    recipe = Recipe.of("finetune", {"schedule": "cosine", "warmup": 0.2})
    factors = [rate_factor(recipe, progress / 100) for progress in range(101)]
    assert factors[0] == pytest.approx(0.04)
    assert factors[:21] == sorted(factors[:21])
    assert [factors[10], factors[20]] == pytest.approx([0.5, 1.0])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert [factors[60], factors[100]] == pytest.approx([0.5, 0.0])
    constant = Recipe.of("finetune", {"warmup": 0.2})
    assert [rate_factor(constant, progress) for progress in (0.1, 0.2, 1.0)] == pytest.approx([0.5, 1.0, 1.0])
    plain = Recipe.of("finetune", {"schedule": "cosine"})
    assert [rate_factor(plain, progress) for progress in (0.0, 0.5)] == pytest.approx([1.0, 0.5])
