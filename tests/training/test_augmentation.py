import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pyojeong.model.network import MEAN
from pyojeong.training.augmentation import augment
from pyojeong.training.distributed import Share
from pyojeong.training.recipe import _AUGMENTATION, Recipe

STILL = dict.fromkeys(_AUGMENTATION, 0.0)
EVERYTHING = {
    "flip": 0.5,
    "rotate": 10.0,
    "scale": 0.1,
    "stretch": 0.2,
    "shift": 0.1,
    "color": 0.2,
    "gray": 0.2,
    "low_resolution": 0.5,
    "jpeg": 0.5,
    "erase": 0.5,
}


def changed(pixels: Tensor, seed: int = 0, **options: float) -> Tensor:
    return augment(pixels, Recipe.of("finetune", {**STILL, **options}), np.random.default_rng(seed))


@pytest.fixture
def pixels() -> Tensor:
    torch.manual_seed(0)
    coarse = torch.rand(16, 3, 10, 10)
    return interpolate(coarse, size=(160, 160), mode="bilinear")


def test_without_any_change_the_pixels_stay(pixels: Tensor) -> None:
    assert torch.allclose(changed(pixels), pixels, atol=1e-4)


def test_a_flip_is_a_mirror_image(pixels: Tensor) -> None:
    assert torch.allclose(changed(pixels, flip=1.0), pixels.flip(3), atol=1e-4)


def test_half_of_the_images_are_flipped(pixels: Tensor) -> None:
    result = changed(pixels.repeat(8, 1, 1, 1), flip=0.5)
    flipped = [
        torch.allclose(one, other.flip(2), atol=1e-4)
        for one, other in zip(result, pixels.repeat(8, 1, 1, 1), strict=True)
    ]

    assert 44 <= sum(flipped) <= 84


def test_shift_moves_no_further_than_allowed() -> None:
    dot = torch.zeros(32, 3, 160, 160)
    dot[:, :, 79:81, 79:81] = 1
    result = changed(dot, shift=0.1)
    rows, columns = (result.sum((1, other)).argmax(1) - 80 for other in (3, 2))

    assert 8 < rows.abs().max() <= 17
    assert 8 < columns.abs().max() <= 17


def test_from_outside_comes_black_or_the_edge() -> None:
    darkest = [changed(torch.ones(8, 3, 160, 160), seed, shift=0.1).amin((1, 2, 3)) for seed in range(20)]
    black = [bool(found.median() < 0.01) for found in darkest]
    edge = [bool(found.min() > 0.99) for found in darkest]

    assert sum(black) + sum(edge) == 20
    assert 4 <= sum(black) <= 16


def test_scale_and_rotation_keep_the_center() -> None:
    bar = torch.zeros(8, 3, 160, 160)
    bar[:, :, 78:82, 30:130] = 1
    result = changed(bar, rotate=30, scale=0.2)

    assert result[:, :, 79:81, 79:81].min() > 0.9
    assert not torch.allclose(result, bar, atol=0.5)


def test_gray_images_have_equal_channels(pixels: Tensor) -> None:
    gray = changed(pixels, gray=1.0)

    assert torch.allclose(gray[:, 0], gray[:, 2], atol=1e-6)
    luma = 0.299 * pixels[:, 0] + 0.587 * pixels[:, 1] + 0.114 * pixels[:, 2]
    assert torch.allclose(gray[:, 0], luma, atol=1e-3)


def test_color_stays_in_range_and_differs_by_image(pixels: Tensor) -> None:
    result = changed(pixels, color=0.5)

    assert result.min() >= 0
    assert result.max() <= 1
    ratios = result.mean((1, 2, 3)) / pixels.mean((1, 2, 3))
    assert ratios.std() > 0.1


def test_erasing_blanks_one_rectangle_of_the_allowed_size() -> None:
    mean = torch.tensor(MEAN).view(3, 1, 1)
    erased = (changed(torch.ones(64, 3, 160, 160), erase=1.0) - mean).abs().amax(1) < 1e-6
    shares = erased.float().mean((1, 2))

    assert shares.min() > 0.015
    assert shares.max() < 0.16
    for hole in erased:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None])
    untouched = changed(torch.ones(64, 3, 160, 160), erase=0.25).amin((1, 2, 3)) > 0.99
    assert 36 <= int(untouched.sum()) <= 60


def test_stretching_changes_the_height_alone() -> None:
    disc = torch.zeros(64, 3, 160, 160)
    rows, columns = torch.meshgrid(torch.arange(160) - 79.5, torch.arange(160) - 79.5, indexing="ij")
    disc[:, :, rows**2 + columns**2 < 40**2] = 1
    result = changed(disc, stretch=0.5)[:, 0]
    heights, widths = (result.amax(axis).sum(1) for axis in (2, 1))

    assert (widths - 80).abs().max() < 3
    assert 52 <= heights.min() < 60
    assert 110 < heights.max() <= 122
    assert 74 < heights.mean() < 92


def test_low_resolution_takes_the_detail_and_leaves_the_rest(pixels: Tensor) -> None:
    torch.manual_seed(1)
    fine = torch.rand(64, 3, 160, 160)
    result = changed(fine, low_resolution=1.0)

    assert result.std((1, 2, 3)).max() < 0.6 * fine.std()
    assert torch.allclose(result.mean((1, 2, 3)), fine.mean((1, 2, 3)), atol=0.01)
    # A picture that has less detail than 20 pixels show is hardly touched.
    assert (changed(pixels, low_resolution=1.0) - pixels).abs().mean() < 0.03
    kinds = {round(float(one.std()), 3) for one in result}
    assert len(kinds) > 10


def test_jpeg_changes_fine_detail_a_little(pixels: Tensor) -> None:
    torch.manual_seed(1)
    noisy = (pixels + 0.1 * torch.randn(16, 3, 160, 160)).clamp(0, 1)
    result = changed(noisy, jpeg=1.0)
    differences = (result - noisy).abs().mean((1, 2, 3))

    assert result.min() >= 0
    assert result.max() <= 1
    assert torch.allclose(result * 255, (result * 255).round(), atol=1e-3)
    assert differences.min() > 0.01
    assert differences.max() < 0.12
    assert (result - pixels).abs().mean() < (noisy - pixels).abs().mean()


@pytest.mark.parametrize("name", ["gray", "low_resolution", "jpeg", "erase"])
def test_only_the_chosen_images_are_changed(name: str) -> None:
    torch.manual_seed(1)
    fine = (torch.rand(128, 3, 96, 96) * 255).round() / 255
    plain = changed(fine)
    difference = (changed(fine, 0, **{name: 0.25}) - plain).abs().amax((1, 2, 3))

    assert 20 <= int((difference > 0.05).sum()) <= 45
    assert int((difference < 1e-5).sum()) == 128 - int((difference > 0.05).sum())


@pytest.mark.parametrize("name", [*EVERYTHING])
def test_the_same_seed_makes_the_same_images(pixels: Tensor, name: str) -> None:
    options = {name: EVERYTHING[name]}

    assert torch.equal(changed(pixels, 3, **options), changed(pixels, 3, **options))
    assert not torch.equal(changed(pixels, 3, **options), changed(pixels, 4, **options))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_several_processes_make_the_images_of_one(pixels: Tensor, size: int) -> None:
    recipe = Recipe.of("finetune", {**STILL, **EVERYTHING})
    whole = augment(pixels, recipe, np.random.default_rng(3))
    for rank in range(size):
        share = Share(len(pixels), rank, size)
        own = augment(pixels[share.own], recipe, np.random.default_rng(3), share)

        assert torch.allclose(own, whole[share.own], atol=1e-5)
