"""Assigns photographs to training, validation and test sets, by default so that no person is in two of them."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pyojeong.core.errors import check_choice

SPLITS = ("train", "val", "test")

SHARES = (0.72, 0.08, 0.20)
"""Share of the photographs per split: 20 % for test, and 10 % of the rest for validation."""

SEED = 1337

BY = ("person", "image")

Counts = npt.NDArray[np.float64]
"""Photographs by label."""


def assign(rows: pl.DataFrame, *, by: str = "person", seed: int = SEED) -> pl.Series:
    """Return the split of each row as a String series named ``split``.

    The result depends on the set of rows and the seed only, not on their order.

    Args:
        rows: needs the columns ``name`` (unique), ``label`` and ``person``.
        by: ``person`` puts all photographs of a person into one split and keeps the share of every label as close
            to ``SHARES`` as that allows. Three people or more fill all three splits, and where the people allow it
            every split has each label. ``image`` splits the photographs of each label by ``SHARES`` regardless of
            the person, as the published tables did.
        seed: another seed gives another division.

    Raises:
        InputError: ``by`` is neither.
    """
    check_by(by)
    splits = _by_person(rows, seed) if by == "person" else _by_image(rows, seed)
    return pl.Series("split", splits, dtype=pl.String)


def check_by(by: str) -> None:
    """Raise InputError unless ``by`` is one of ``BY``."""
    check_choice("split by", by, BY)


def _by_person(rows: pl.DataFrame, seed: int) -> list[str]:
    labels = sorted(rows["label"].unique())
    people = _shuffled(rows["person"].unique(), seed)
    row_of = {person: number for number, person in enumerate(people)}
    counts = np.zeros((len(people), len(labels)))
    column_of = {label: number for number, label in enumerate(labels)}
    for person, label, count in rows.group_by("person", "label").len().iter_rows():
        counts[row_of[person], column_of[label]] = count
    split_of = {person: SPLITS[number] for person, number in zip(people, _filled(counts, _greedy(counts)), strict=True)}
    return [split_of[person] for person in rows["person"]]


def _greedy(counts: Counts) -> list[int]:
    """Assign each person (row of ``counts``; columns are labels) to the split where label shares stay closest.

    The cost is the squared distance from each split's target, relative to the label's size and weighted by
    the inverse of the split's share, so that all splits fill at the same pace. People with very many
    photographs end up in the training set more often than their share, because a small split cannot hold them.
    """
    shares = np.array(SHARES)[:, None]
    totals = np.maximum(counts.sum(axis=0), 1)
    weights = 1 / (shares * totals**2)
    off_target = -shares * totals
    splits = []
    for person in counts:
        cost = ((2 * off_target + person) * person * weights).sum(axis=1)
        best = int(np.argmin(cost))
        off_target[best] += person
        splits.append(best)
    return splits


def _filled(counts: Counts, splits: Sequence[int]) -> list[int]:
    """Move people (rows of ``counts``; columns are labels) until no split lacks a label that it could have.

    Of many people each split has every label anyway, and nothing is changed. Each step moves a person with a lacking
    label into the split, perhaps in exchange for another, so that fewer splits are empty, or fewer labels are lacking;
    of several such steps the one after which the shares are closest to ``SHARES``.
    """
    filled = np.array(splits, np.int64)
    while step := _best_step(counts, filled):
        person, other, split = step
        if other is not None:
            filled[other] = filled[person]
        filled[person] = split
    return [int(number) for number in filled]


def _best_step(counts: Counts, splits: npt.NDArray[np.int64]) -> tuple[int, int | None, int] | None:
    """Return whom to move, for whom in exchange (None: nobody), and to which split; None where no step helps."""
    sums = np.stack([counts[splits == number].sum(axis=0) for number in range(len(SPLITS))])
    (now,) = _lacking(sums[None])
    best, least = None, (*now, np.inf)
    for split, label in np.argwhere(sums == 0).tolist():
        others = [None, *np.flatnonzero(splits == split).tolist()]
        back = np.stack([np.zeros(counts.shape[1]) if other is None else counts[other] for other in others])
        for person in np.flatnonzero(counts[:, label]).tolist():
            after = np.repeat(sums[None], len(others), axis=0)
            after[:, split] += counts[person] - back
            after[:, splits[person]] -= counts[person] - back
            found = [(*lacking, far) for lacking, far in zip(_lacking(after), _distance(after), strict=True)]
            number = min(range(len(found)), key=found.__getitem__)
            if found[number][:2] < now and found[number] < least:
                best, least = (person, others[number], split), found[number]
    return best


def _lacking(sums: Counts) -> list[tuple[int, int]]:
    """Return how many splits are empty and how many labels they lack, for each of [N, splits, labels]."""
    empty, labels = (sums.sum(axis=2) == 0).sum(axis=1), (sums == 0).sum(axis=(1, 2))
    return list(zip(empty.tolist(), labels.tolist(), strict=True))


def _distance(sums: Counts) -> list[float]:
    """Return the squared distance from the targets, weighted as in ``_greedy``, for each of [N, splits, labels]."""
    shares = np.array(SHARES)[:, None]
    totals = sums.sum(axis=1, keepdims=True)
    distances: list[float] = ((sums - shares * totals) ** 2 / (shares * totals**2)).sum(axis=(1, 2)).tolist()
    return distances


def _by_image(rows: pl.DataFrame, seed: int) -> list[str]:
    split_of: dict[str, str] = {}
    for label in sorted(rows["label"].unique()):
        # By name, not by path: moving the photographs must not change the split.
        names = _shuffled(rows.filter(pl.col("label") == label)["name"], seed)
        tests = _nearest(0.2 * len(names))
        validations = _nearest(0.1 * (len(names) - tests))
        parts = ["test"] * tests + ["val"] * validations + ["train"] * (len(names) - tests - validations)
        split_of |= dict(zip(names, parts, strict=True))
    return [split_of[name] for name in rows["name"]]


def _nearest(value: float) -> int:
    return int(value + 0.5)


def _shuffled(names: Iterable[Any], seed: int) -> Sequence[str]:
    # A keyed hash gives a random order that is the same on every machine and for every order of the input.
    def keyed_hash(name: str) -> bytes:
        return hashlib.blake2b(name.encode(), key=str(seed).encode(), digest_size=16).digest()

    return sorted(names, key=keyed_hash)
