"""Turn crops into training batches: order, targets, prefetching and normalization."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pyojeong.core.errors import InputError
from pyojeong.core.metrics import Floats, Ints
from pyojeong.model.network import normalize
from pyojeong.training.augmentation import augment
from pyojeong.training.crop_cache import CropSet, CropTable
from pyojeong.training.distributed import Share
from pyojeong.training.recipe import Recipe


class Source(Protocol):
    """Images that the training loop can read, with ``labels`` and ``sets`` int64 [N]."""

    labels: Ints
    sets: Ints

    def read(self, rows: Ints) -> Tensor:
        """Return the raw rows, on the CPU."""

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        """Return the network's input on the device of ``raw``, augmented where ``seeds`` are given.

        ``raw`` is this process's ``share`` of a step, or all of it.
        """


class PixelSource:
    """Crops as normalized images, augmented as ``recipe`` says."""

    def __init__(self, crops: CropSet, recipe: Recipe) -> None:
        self.labels, self.sets = crops.labels, crops.sets
        self._crops = crops
        self._recipe = recipe

    def read(self, rows: Ints) -> Tensor:
        """Return uint8 [N, 160, 160, 3]."""
        return torch.from_numpy(self._crops.pixels[self._crops.rows[rows]])

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        """Return float32 [N, 3, 160, 160], normalized, channels last."""
        pixels = raw.permute(0, 3, 1, 2).float().div_(255)
        if seeds is not None and self._recipe.augments:
            pixels = augment(pixels, self._recipe, np.random.default_rng(seeds), share)
        return normalize(pixels).contiguous(memory_format=torch.channels_last)


class FeatureSource:
    """Features of a frozen backbone, float32 [N, 576], on the training device."""

    def __init__(self, features: Tensor, labels: Ints, sets: Ints) -> None:
        self.labels, self.sets = labels, sets
        self._features = features

    def read(self, rows: Ints) -> Tensor:
        """Return ``rows`` themselves; the features are in memory already."""
        return torch.from_numpy(rows)

    def prepare(self, raw: Tensor, seeds: Sequence[int] | None = None, share: Share | None = None) -> Tensor:
        return self._features[raw]


def steps(order: Ints, batch: int) -> list[Ints]:
    """Split rows, in their order, into steps of equal size and at most ``batch`` rows.

    The size is equal because a last step of three images would weigh as much as a full one.
    """
    return np.array_split(order, max(1, -(-len(order) // batch)))


def sample_rows(labels: Ints, sets: Ints, shares: Floats, counts: Floats, generator: np.random.Generator) -> Ints:
    """Return sampled rows in random order: so many of every data set, all with the same class shares.

    Args:
        labels: class numbers, int64 [N].
        sets: numbers of the data sets, int64 [N].
        shares: of the K classes, float64 [K]. The share of a class that a data set lacks goes to its other classes.
        counts: number of rows by data set, float64 [S]; up to one more or less for each class, because of rounding and
            because each class present comes at least once. A data set with the count 0 is left out.
        generator: source of randomness. No row is repeated before all rows of its class and set were used.
    """
    sampled = []
    for data_set in np.unique(sets):
        if not counts[data_set]:
            continue
        by_class = [np.flatnonzero((sets == data_set) & (labels == number)) for number in range(len(shares))]
        present = np.where([len(rows) > 0 for rows in by_class], shares, 0.0)
        exact = present / present.sum() * counts[data_set]
        quotas = np.maximum(np.rint(exact), present > 0).astype(int)
        for rows, quota in zip(by_class, quotas, strict=True):
            if quota:
                rounds = [generator.permutation(rows) for _ in range(-(-quota // len(rows)))]
                sampled.append(np.concatenate(rounds)[:quota])
    return generator.permutation(np.concatenate(sampled))


def by_set(option: str, numbers: Mapping[str, float], names: Sequence[str], other: float) -> Floats:
    """Return ``option``'s number for each data set of ``names``, float64 [S]; ``other`` where it names none.

    Raises InputError where ``option`` names a set that is not there.
    """
    if unknown := sorted(set(numbers) - set(names)):
        there = ", ".join(filter(None, names)) or "no column set"
        raise InputError(f"{option} names the data set {unknown[0]}; the training table has {there}")
    found: Floats = np.array([numbers.get(name, other) for name in names], dtype=np.float64)
    return found


def set_shares(names: Sequence[str], weights: Mapping[str, float]) -> Floats:
    """Return the share of each data set among sampled images, float64 [S]; a set without a weight has the weight 1.

    Raises InputError where a weight names none of the sets, or all are 0.
    """
    shares = by_set("set_weights", weights, names, 1.0)
    if not shares.any():
        raise InputError("set_weights leaves out every data set; give one of them a weight above 0")
    shares /= shares.sum()
    return shares


def vote_shares(table: CropTable, recipe: Recipe) -> Floats:
    """Return how much of a target are votes in the rows of each data set, float64 [S].

    Raises InputError where the recipe gives a share to a data set that is not there or has no votes.
    """
    by_name = recipe.votes_by_set
    shares = by_set("set_votes", by_name, table.set_names, recipe.votes)
    for name, share in by_name.items():
        own = table.sets == table.set_names.index(name)
        if share and (table.votes is None or not table.votes[own].any()):
            raise InputError(
                f"set_votes names the data set {name}, but in {table.csv} its rows have no votes; leave it out, or add "
                "columns votes_<label>"
            )
    return shares


def targets(labels: Ints, classes: int, votes: Floats | None, share: Floats | float) -> Floats:
    """Return the targets as probabilities, float64 [N, classes].

    Args:
        labels: class numbers, int64 [N].
        classes: K.
        votes: annotators' votes by class [N, K], or None.
        share: 0..1 of the target given to the votes, in rows that have any: one number, or float64 [N].
    """
    hard = np.eye(classes)[labels]
    if votes is None:
        return hard
    total = votes.sum(1, keepdims=True)
    voted = np.expand_dims(share, -1) * (total > 0)
    mixed: Floats = (1 - voted) * hard + voted * votes / np.where(total > 0, total, 1)
    return mixed


def read_ahead(source: Source, plan: Sequence[Ints], pin: bool = False) -> Iterator[Tensor]:
    """Yield the raw rows of every step of ``plan`` while a thread reads the next step.

    With ``pin`` they are in page-locked memory, which a GPU reads faster.
    """

    def read(rows: Ints) -> Tensor:
        raw = source.read(rows)
        return raw.pin_memory() if pin else raw

    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(read, plan[0])
        for rows in plan[1:]:
            raw, upcoming = upcoming.result(), pool.submit(read, rows)
            yield raw
        yield upcoming.result()
