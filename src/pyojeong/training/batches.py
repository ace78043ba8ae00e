"""From crops to what the network takes: order, targets, reading ahead and normalization, batch by batch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pyojeong.core.metrics import Floats, Ints
from pyojeong.model.network import MEAN, STD
from pyojeong.training.augmentation import augment
from pyojeong.training.crop_cache import Crops
from pyojeong.training.distributed import Share
from pyojeong.training.recipe import Recipe


class Source(Protocol):
    """Images that a training loop can read: ``labels`` and ``sets`` int64 [N], rows on the CPU, then for a network."""

    labels: Ints
    sets: Ints

    def read(self, rows: Ints) -> Tensor:
        """Return the raw rows, on the CPU."""

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        """Return what the network takes, on the device of ``raw``; changed at random where ``seeds`` are given.

        ``raw`` is the own ``share`` of a step, or the whole of it.
        """


class PixelSource:
    """Crops as normalized images, augmented as ``recipe`` says."""

    def __init__(self, crops: Crops, recipe: Recipe) -> None:
        self.labels, self.sets = crops.labels, crops.sets
        self._crops = crops
        self._recipe = recipe

    def read(self, rows: Ints) -> Tensor:
        """Return uint8 [N, 160, 160, 3]."""
        return torch.from_numpy(self._crops.pixels[self._crops.rows[rows]])

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        """Return float32 [N, 3, 160, 160], normalized, in the memory order that the convolutions want."""
        pixels = raw.permute(0, 3, 1, 2).float().div_(255)
        if seeds is not None and self._recipe.augments:
            pixels = augment(pixels, self._recipe, np.random.default_rng(seeds), share)
        return normalize(pixels).contiguous(memory_format=torch.channels_last)


class FeatureSource:
    """Features of a frozen backbone, float32 [N, 576] in the memory of the device that learns."""

    def __init__(self, features: Tensor, labels: Ints, sets: Ints) -> None:
        self.labels, self.sets = labels, sets
        self._features = features

    def read(self, rows: Ints) -> Tensor:
        """Return ``rows`` themselves: there is nothing to read ahead."""
        return torch.from_numpy(rows)

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        return self._features[raw]


def steps(order: Ints, batch: int) -> list[Ints]:
    """Cut rows in their order into steps of equal size of at most ``batch``.

    Equal, because a last step of three images would weigh as much as a full one.
    """
    return np.array_split(order, max(1, -(-len(order) // batch)))


def draw(labels: Ints, sets: Ints, shares: Floats, count: int, generator: np.random.Generator) -> Ints:
    """Return about ``count`` rows in random order: every data set equally often, each with the class ``shares``.

    Args:
        labels: class numbers, int64 [N].
        sets: numbers of the data sets, int64 [N].
        shares: of the K classes, float64 [K]. What a data set has no image of is left to its other classes.
        count: number of rows; up to one more or less for each data set and class, because of rounding, and because
            each of them comes at least once.
        generator: decides which ones. No row comes again before all of its class and set have come.
    """
    found = []
    for one in np.unique(sets):
        rows = [np.flatnonzero((sets == one) & (labels == name)) for name in range(len(shares))]
        present = np.where([len(some) > 0 for some in rows], shares, 0.0)
        exact = present / present.sum() * count / len(np.unique(sets))
        wanted = np.maximum(np.rint(exact), present > 0).astype(int)
        for some, number in zip(rows, wanted, strict=True):
            rounds = -(-number // len(some)) if number else 0
            found += [np.concatenate([generator.permutation(some) for _ in range(rounds)])[:number]] if rounds else []
    return generator.permutation(np.concatenate(found))


def targets(labels: Ints, classes: int, votes: Floats | None, share: float) -> Floats:
    """Return what is to be learned as probabilities, float64 [N, classes].

    Args:
        labels: class numbers, int64 [N].
        classes: K.
        votes: annotators' votes by class [N, K], or None.
        share: 0..1 of the target that follows the votes, in rows that have any.
    """
    hard = np.eye(classes)[labels]
    if votes is None or not share:
        return hard
    total = votes.sum(1, keepdims=True)
    return np.where(total > 0, (1 - share) * hard + share * votes / np.where(total > 0, total, 1), hard)


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


def normalize(pixels: Tensor) -> Tensor:
    """Subtract ImageNet's mean from float [N, 3, H, W] in 0..1 and divide by its standard deviation."""
    mean, std = (pixels.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (pixels - mean) / std
