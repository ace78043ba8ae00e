from typing import Any

import pytest

from pyojeong.errors import InputError
from pyojeong.recipe import Recipe


def test_the_defaults_are_the_published_recipes() -> None:
    finetune, probe = Recipe.of("finetune", {}), Recipe.of("probe", {})

    assert (finetune.epochs, finetune.batch, finetune.seed) == (30, 1024, 1337)
    assert (finetune.lr_head, finetune.lr_backbone) == (5e-4, 1e-4)
    assert (probe.epochs, probe.lr_head, probe.batch) == (5, 7e-4, 1024)
    assert finetune.augments
    assert not probe.augments


def test_options_replace_values_and_none_does_not() -> None:
    recipe = Recipe.of("probe", {"epochs": 3, "lr_head": None, "ema": 0, "weights": "random"})

    assert (recipe.epochs, recipe.lr_head, recipe.ema, recipe.weights) == (3, 7e-4, 0.0, "random")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.1}, "unknown training option lr; there are"),
        ({"epochs": 0}, "epochs is 0; it must be a whole number from 1"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
        ({"lr_head": "high"}, "lr_head is 'high'; it must be a number"),
        ({"lr_head": float("nan")}, "lr_head is nan"),
        ({"ema": 1}, "ema is 1"),
        ({"schedule": "step"}, "choose one of constant, cosine"),
        ({"batch": 1}, "batch is 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.of("finetune", options)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InputError, match="mode is 'distil'; choose one of probe, finetune"):
        Recipe.of("distil", {})


def test_a_probe_cannot_augment() -> None:
    with pytest.raises(InputError, match="computes its features once, so flip, grey cannot be used"):
        Recipe.of("probe", {"flip": 0.5, "grey": 0.1})


@pytest.mark.parametrize(("epochs", "head", "top"), [(1, 0, 0), (6, 0, 1), (10, 1, 2), (30, 3, 6), (50, 5, 10)])
def test_stages_of_a_finetune(epochs: int, head: int, top: int) -> None:
    recipe = Recipe.of("finetune", {"epochs": epochs})
    stages = [recipe.stage(epoch) for epoch in range(epochs)]

    assert stages == ["head"] * head + ["top"] * top + ["all"] * (epochs - head - top)


def test_a_probe_has_one_stage() -> None:
    assert {Recipe.of("probe", {}).stage(epoch) for epoch in range(5)} == {"head"}
