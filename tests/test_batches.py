from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyojeong.batches import FeatureSource, PixelSource, augment, normalise, read_ahead, steps
from pyojeong.labels import M1
from pyojeong.network import MEAN, STD
from pyojeong.pixels import list_crops, open_crops
from pyojeong.recipe import Recipe
from tests.patterns import write_crops

STILL = dict.fromkeys(("flip", "rotate", "scale", "shift", "colour", "grey", "erase"), 0.0)


def changed(pixels: Tensor, seed: int = 0, **options: float) -> Tensor:
    return augment(pixels, Recipe.of("finetune", {**STILL, **options}), np.random.default_rng(seed))


@pytest.fixture
def pixels() -> Tensor:
    torch.manual_seed(0)
    coarse = torch.rand(16, 3, 10, 10)
    return torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bilinear")


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


def test_shift_moves_no_further_than_allowed_and_lets_black_in() -> None:
    dot = torch.zeros(32, 3, 160, 160)
    dot[:, :, 79:81, 79:81] = 1
    result = changed(dot, shift=0.1)
    rows, columns = (result.sum((1, other)).argmax(1) - 80 for other in (3, 2))

    assert 8 < rows.abs().max() <= 17
    assert 8 < columns.abs().max() <= 17
    assert changed(torch.ones(8, 3, 160, 160), shift=0.1).amin((1, 2, 3)).max() < 0.01


def test_scale_and_rotation_keep_the_centre() -> None:
    bar = torch.zeros(8, 3, 160, 160)
    bar[:, :, 78:82, 30:130] = 1
    result = changed(bar, rotate=30, scale=0.2)

    assert result[:, :, 79:81, 79:81].min() > 0.9
    assert not torch.allclose(result, bar, atol=0.5)


def test_grey_images_have_equal_channels(pixels: Tensor) -> None:
    grey = changed(pixels, grey=1.0)

    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-6)
    luma = 0.299 * pixels[:, 0] + 0.587 * pixels[:, 1] + 0.114 * pixels[:, 2]
    assert torch.allclose(grey[:, 0], luma, atol=1e-3)


def test_colour_stays_in_range_and_differs_by_image(pixels: Tensor) -> None:
    result = changed(pixels, colour=0.5)

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


def test_the_same_seed_makes_the_same_images(pixels: Tensor) -> None:
    everything = {"flip": 0.5, "rotate": 10.0, "scale": 0.1, "shift": 0.1, "colour": 0.2, "grey": 0.2, "erase": 0.5}

    assert torch.equal(changed(pixels, 3, **everything), changed(pixels, 3, **everything))
    assert not torch.equal(changed(pixels, 3, **everything), changed(pixels, 4, **everything))


def test_normalisation() -> None:
    result = normalise(torch.tensor(MEAN).view(1, 3, 1, 1) + torch.tensor(STD).view(1, 3, 1, 1) * 2)

    assert torch.allclose(result, torch.full((1, 3, 1, 1), 2.0))


@pytest.mark.parametrize(
    ("count", "batch", "sizes"), [(10, 4, [4, 3, 3]), (10, 100, [10]), (8, 4, [4, 4]), (9, 8, [5, 4])]
)
def test_steps_are_of_equal_size_and_cover_everything(count: int, batch: int, sizes: list[int]) -> None:
    plan = steps(count, batch, np.random.default_rng(0))

    assert [len(rows) for rows in plan] == sizes
    assert sorted(np.concatenate(plan).tolist()) == [*range(count)]
    assert np.concatenate(steps(count, batch)).tolist() == [*range(count)]


def test_reading_ahead_keeps_the_order() -> None:
    features = torch.arange(20.0).reshape(10, 2)
    source = FeatureSource(features, np.zeros(10, np.int64))
    plan = steps(10, 3, np.random.default_rng(1))

    for rows, raw in zip(plan, read_ahead(source, plan), strict=True):
        assert torch.equal(source.prepare(raw), features[torch.from_numpy(rows)])


def test_an_error_while_reading_ahead_is_raised() -> None:
    source = FeatureSource(torch.zeros(3, 2), np.zeros(3, np.int64))

    with pytest.raises(IndexError):
        list(read_ahead(source, [np.array([0]), np.array([7])]))


def test_a_pixel_source_skips_dropped_rows_and_augments_only_with_seeds(tmp_path: Path) -> None:
    csv = write_crops(tmp_path, "train", 1)
    (tmp_path / "crops/train/000.png").unlink()
    crops = open_crops(list_crops(csv, scheme=M1, root=tmp_path, margin=0.0), tmp_path)
    source = PixelSource(crops, Recipe.of("finetune", {}))
    raw = source.read(np.array([0, 4]))

    assert np.array_equal(raw.numpy(), crops.pixels[[1, 5]])
    plain = source.prepare(raw)
    assert plain.shape == (2, 3, 160, 160)
    assert torch.allclose(plain, normalise(raw.permute(0, 3, 1, 2) / 255))
    assert torch.equal(source.prepare(raw, (1, 2)), source.prepare(raw, (1, 2)))
    assert not torch.allclose(source.prepare(raw, (1, 2)), plain)
