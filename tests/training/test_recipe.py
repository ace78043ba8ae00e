from typing import Any

import pytest

from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Framing
from pyojeong.training.recipe import _AUGMENTATION, Recipe, read_options


def test_the_defaults_are_the_published_recipes() -> None:
    finetune, probe = Recipe.of("finetune", {}), Recipe.of("probe", {})

    assert (finetune.epochs, finetune.batch, finetune.seed) == (30, 1024, 1337)
    assert (finetune.lr_head, finetune.lr_backbone) == (5e-4, 1e-4)
    assert (probe.epochs, probe.lr_head, probe.batch) == (5, 7e-4, 1024)
    assert finetune.framing == Framing(0.15, 0, 1, "annotator")
    assert finetune.augments
    assert not probe.augments


def test_options_replace_values_and_none_does_not() -> None:
    recipe = Recipe.of("probe", {"epochs": 3, "lr_head": None, "ema": 0, "weights": "random"})

    assert (recipe.epochs, recipe.lr_head, recipe.ema, recipe.weights) == (3, 7e-4, 0.0, "random")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0.1}, "unknown training option lr; the options are"),
        ({"epochs": 0}, "epochs is 0; it must be a whole number from 1"),
        ({"epochs": 2.5}, "epochs is 2.5"),
        ({"epochs": True}, "epochs is True"),
        ({"lr_head": "high"}, "lr_head is 'high'; it must be a number"),
        ({"lr_head": float("nan")}, "lr_head is nan"),
        ({"ema": 1}, "ema is 1"),
        ({"schedule": "step"}, "choose one of constant, cosine"),
        ({"batch": 1}, "batch is 1"),
        ({"stretch": 1.5}, "stretch is 1.5; it must be a number from 0 to 1"),
        ({"low_resolution": -0.1}, "low_resolution is -0.1"),
        ({"jpeg": "often"}, "jpeg is 'often'"),
        ({"balance": 2}, "balance is 2"),
        ({"balance": 1, "draws": 0.5}, "draws is 0.5; it must be a whole number"),
        ({"draws": 100}, "draws is for sampled images.*set balance as well"),
        ({"votes": 1.1}, "votes is 1.1"),
        ({"teachers": "dlib vgg 2"}, "teachers names 2, vgg; choose from dlib, vggface2, own, start"),
        ({"teachers": 2}, "teachers names 2; choose from"),
        ({"teachers": "own vggface2"}, "vggface2 needs teacher_weights, the file that scripts/vggface2.py writes"),
        ({"teacher_lr": 11}, "teacher_lr is 11"),
        ({"distil": -1}, "distil is -1"),
        ({"distil": 0, "teachers": "own"}, "distil is 0, so nothing is learned from the teachers; raise it, or leave"),
        ({"clip": -1}, "clip is -1"),
        ({"aspect": 0.4}, "aspect is 0.4; it must be a number from 0.5 to 2"),
        ({"set_weights": "rafdb:2"}, "set_weights is for sampled images.*set balance as well"),
        ({"set_weights": "rafdb:2 fer", "balance": 0.3}, "set_weights has 'fer'; it needs words like rafdb:2"),
        ({"set_weights": "rafdb:-1", "balance": 0.3}, "set_weights has 'rafdb:-1'"),
        ({"set_weights": "rafdb:inf", "balance": 0.3}, "set_weights has 'rafdb:inf'"),
        ({"set_weights": "rafdb:1e308 fer:1", "balance": 0.3}, "rafdb:1e308'; .* with a number from 0 to 1e9"),
        ({"set_weights": "rafdb:1 rafdb:1", "balance": 0.3}, "set_weights names the data set rafdb twice"),
        ({"set_votes": "rafdb:0.5 fer:0 rafdb:1"}, "set_votes names the data set rafdb twice; leave one of them out"),
        (
            {"set_votes": "fer:0.5", "set_weights": "fer:0", "balance": 0.3},
            "set_votes names the data set fer, but its weight in set_weights is 0.* leave it out of set_votes",
        ),
        (
            {"set_votes": "rafdb:1.5"},
            "set_votes has 'rafdb:1.5'; it needs words like rafdb:0.5, with a number from 0 to 1",
        ),
        ({"aspect": 2.1}, "aspect is 2.1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe.of("finetune", options)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InputError, match="mode is 'distil'; choose one of probe, finetune"):
        Recipe.of("distil", {})


def test_a_probe_cannot_augment() -> None:
    with pytest.raises(InputError, match="computes its features once, so flip, gray cannot be used"):
        Recipe.of("probe", {"flip": 0.5, "gray": 0.1})


@pytest.mark.parametrize("name", ["stretch", "low_resolution", "jpeg"])
def test_webcam_and_framing_changes_are_augmentation_and_off_by_default(name: str) -> None:
    still = dict.fromkeys(_AUGMENTATION, 0.0)

    assert getattr(Recipe.of("finetune", {}), name) == 0
    assert not Recipe.of("finetune", still).augments
    assert Recipe.of("finetune", {**still, name: 0.1}).augments
    with pytest.raises(InputError, match=f"so {name} cannot be used"):
        Recipe.of("probe", {name: 0.1})


def test_a_probe_may_balance_and_vote_but_has_no_teachers() -> None:
    recipe = Recipe.of("probe", {"balance": 0.5, "draws": 100, "votes": 0.5})

    assert (recipe.balance, recipe.draws, recipe.votes) == (0.5, 100, 0.5)
    with pytest.raises(InputError, match="a probe keeps only features; leave teachers out"):
        Recipe.of("probe", {"teachers": "own"})


@pytest.mark.parametrize(("epochs", "head", "top"), [(1, 0, 0), (6, 0, 1), (10, 1, 2), (30, 3, 6), (50, 5, 10)])
def test_stages_of_a_finetune(epochs: int, head: int, top: int) -> None:
    recipe = Recipe.of("finetune", {"epochs": epochs})
    stages = [recipe.stage(epoch) for epoch in range(epochs)]

    assert stages == ["head"] * head + ["top"] * top + ["all"] * (epochs - head - top)


def test_what_would_have_no_effect_is_refused() -> None:
    Recipe.of("probe", {"lr_head": 0.1}).require_effect(["lr_head"])
    Recipe.of("finetune", {"teachers": "own", "distil": 0.9}).require_effect(["teachers", "distil", "lr_backbone"])
    with pytest.raises(InputError, match="lr_backbone has no effect in a probe, whose backbone is frozen; leave"):
        Recipe.of("probe", {"lr_backbone": 0.1}).require_effect(["lr_head", "lr_backbone"])


@pytest.mark.parametrize(
    ("teachers", "name", "value", "message"),
    [
        ("", "distil", 0.9, "without teachers; leave it out"),
        ("start", "teacher_epochs", 3, "when start is the only teacher"),
        ("start start", "teacher_strength", 0.5, "when start is the only teacher"),
        ("start own", "teacher_lr", 1e-3, r"without a teacher that is a face network \(dlib, vggface2\)"),
        ("start dlib", "teacher_weights", "faces.safetensors", "without the teacher vggface2"),
    ],
)
def test_what_the_teachers_do_not_use_is_refused(teachers: str, name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"{name} has no effect {message}"):
        Recipe.of("finetune", {"teachers": teachers, name: value}).require_effect(["teachers", name])
    options = {"teachers": "vggface2 start", "teacher_weights": "faces.safetensors", name: value}
    Recipe.of("finetune", options).require_effect([*options])


def test_a_probe_has_one_stage() -> None:
    assert {Recipe.of("probe", {}).stage(epoch) for epoch in range(5)} == {"head"}


def test_teachers_have_their_own_seeds_epochs_rates_and_strength() -> None:
    options = {
        "teachers": "own dlib",
        "teacher_lr": 3e-4,
        "epochs": 9,
        "teacher_epochs": 4,
        "teacher_strength": 0.5,
        "scale": 0.2,
        "stretch": 0.4,
        "flip": 0.5,
    }
    recipe = Recipe.of("finetune", options)
    networks = [recipe.of_network(number) for number in (1, 2, 3)]
    assert [recipe.kind(number) for number in (1, 2, 3)] == ["own", "dlib", "own"]
    assert [one.seed for one in networks] == [1337, 1338, 1339]
    assert [one.epochs for one in networks] == [4, 4, 9]
    assert [one.lr_backbone for one in networks] == [1e-4, 3e-4, 1e-4]
    assert [one.stage(0) for one in networks] == ["top", "all", "top"]
    assert [one.scale for one in networks] == [0.1, 0.1, 0.2]
    assert [(one.flip, one.stretch) for one in networks] == [(0.5, 0.4)] * 3, "no matters of strength"
    alone = Recipe.of("finetune", {"teacher_strength": 0.5, "teacher_epochs": 9, "epochs": 4})
    assert alone.of_network(1) == alone


def test_words_become_numbers_where_a_number_is_meant() -> None:
    assert read_options(["teacher_weights=2019_1", "flip=.5", "seed=007", "schedule=cosine"], set()) == {
        "teacher_weights": "2019_1",
        "flip": 0.5,
        "seed": 7,
        "schedule": "cosine",
    }
    with pytest.raises(InputError, match="unknown training option scheme; the options are aligned_by, aspect, "):
        read_options(["scheme=K7"], set())
