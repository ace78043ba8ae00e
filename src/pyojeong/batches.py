"""From crops to what the network takes: order, reading ahead, augmentation and normalisation, batch by batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pyojeong.metrics import Ints
from pyojeong.network import MEAN, STD
from pyojeong.pixels import Crops
from pyojeong.recipe import Recipe

_LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue."""

_ERASED = (0.02, 0.15)
"""Smallest and largest erased share of an image."""


class Source(Protocol):
    """A data set that a training loop can read: ``labels`` int64 [N], rows on the CPU, then ready for a network."""

    labels: Ints

    def read(self, rows: Ints) -> Tensor:
        """Return the raw rows, on the CPU."""

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return what the network takes, on the device of ``raw``; changed at random where ``seeds`` are given."""


class PixelSource:
    """Crops as normalised images, augmented as ``recipe`` says."""

    def __init__(self, crops: Crops, recipe: Recipe) -> None:
        self.labels = crops.labels
        self._crops = crops
        self._recipe = recipe

    def read(self, rows: Ints) -> Tensor:
        """Return uint8 [N, 160, 160, 3]."""
        return torch.from_numpy(self._crops.pixels[self._crops.rows[rows]])

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        """Return float32 [N, 3, 160, 160], normalised."""
        pixels = raw.permute(0, 3, 1, 2).float().div_(255)
        if seeds is not None and self._recipe.augments:
            pixels = augment(pixels, self._recipe, np.random.default_rng(seeds))
        return normalise(pixels)


class FeatureSource:
    """Features of a frozen backbone, float32 [N, 576] in memory."""

    def __init__(self, features: Tensor, labels: Ints) -> None:
        self.labels = labels
        self._features = features

    def read(self, rows: Ints) -> Tensor:
        return self._features[torch.from_numpy(rows)]

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None) -> Tensor:
        return raw


def steps(count: int, batch: int, generator: np.random.Generator | None = None) -> list[Ints]:
    """Cut 0..count-1, in random order where a generator is given, into steps of equal size of at most ``batch``.

    Equal, because a last step of three images would weigh as much as a full one.
    """
    order = np.arange(count) if generator is None else generator.permutation(count)
    return np.array_split(order, max(1, -(-count // batch)))


def read_ahead(source: Source, plan: Sequence[Ints], pin: bool = False) -> Iterator[Tensor]:
    """Yield the raw rows of every step of ``plan``, reading the next one in a thread meanwhile.

    With ``pin`` they lie in page-locked memory, from which a GPU fetches faster.
    """

    def read(rows: Ints) -> Tensor:
        raw = source.read(rows)
        return raw.pin_memory() if pin else raw

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, plan[0])
        for rows in plan[1:]:
            raw, coming = coming.result(), pool.submit(read, rows)
            yield raw
        yield coming.result()


def normalise(pixels: Tensor) -> Tensor:
    """Subtract ImageNet's mean from float [N, 3, H, W] in 0..1 and divide by its standard deviation."""
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std


def augment(pixels: Tensor, recipe: Recipe, generator: np.random.Generator) -> Tensor:
    """Return ``pixels`` (float [N, 3, H, W] in 0..1) changed at random, each image in its own way.

    All random numbers are drawn on the CPU, so that every device makes the same images.
    """
    pixels = _warp(pixels, recipe, generator)
    if recipe.colour or recipe.grey:
        pixels = _colour(pixels, recipe, generator)
    return _erase(pixels, recipe.erase, generator) if recipe.erase else pixels


def _warp(pixels: Tensor, recipe: Recipe, generator: np.random.Generator) -> Tensor:
    # Maps positions in the output to positions in the input, both in -1..1; black comes in from outside.
    count = len(pixels)
    mirror = np.where(generator.random(count) < recipe.flip, -1.0, 1.0)
    angle = np.radians(generator.uniform(-recipe.rotate, recipe.rotate, count))
    zoom = 1 + generator.uniform(-recipe.scale, recipe.scale, count)
    shift = generator.uniform(-2 * recipe.shift, 2 * recipe.shift, (2, count))
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    rows = ((mirror * cos, -sin, shift[0]), (mirror * sin, cos, shift[1]))
    matrix = torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1)).to(pixels)
    grid = torch.nn.functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels, grid, align_corners=False)


def _colour(pixels: Tensor, recipe: Recipe, generator: np.random.Generator) -> Tensor:
    factors = 1 + generator.uniform(-recipe.colour, recipe.colour, (3, len(pixels), 1, 1, 1))
    factors[2, generator.random(len(pixels)) < recipe.grey] = 0
    brightness, contrast, saturation = torch.from_numpy(factors).to(pixels)
    luma = (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    pixels = luma + (pixels - luma) * saturation
    mean = luma.mean((2, 3), keepdim=True)
    pixels = (mean + (pixels - mean) * contrast) * brightness
    return pixels.clamp_(0, 1)


def _erase(pixels: Tensor, probability: float, generator: np.random.Generator) -> Tensor:
    count, _, height, width = pixels.shape
    share = generator.uniform(*_ERASED, count)
    stretch = np.exp(generator.uniform(-1, 1, count) * np.log(2))
    size = np.sqrt(np.stack([share * stretch, share / stretch]))
    size[:, generator.random(count) >= probability] = 0
    start = generator.random((2, count)) * (1 - size)
    inside = []
    for first, length, pixels_long in zip(start, size, (height, width), strict=True):
        at = (np.arange(pixels_long) + 0.5) / pixels_long
        inside.append((at >= first[:, None]) & (at < (first + length)[:, None]))
    hole = torch.from_numpy(inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(pixels.device)
    return torch.where(hole, pixels.new_tensor(MEAN).view(1, 3, 1, 1), pixels)
