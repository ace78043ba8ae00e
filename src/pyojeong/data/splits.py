"""Training, validation and test sets that share no person, from nothing but names and a seed."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pyojeong.core.errors import InputError

SPLITS = ("train", "val", "test")

SHARES = (0.72, 0.08, 0.20)
"""Share of the photographs per split: 20 % test, then 10 % of the rest for validation."""

SEED = 1337

BY = ("person", "image")


def assign(rows: pl.DataFrame, *, by: str = "person", seed: int = SEED) -> pl.Series:
    """Return the split of each row as a String series named ``split``.

    The result depends on the set of rows and the seed only, not on their order.

    Args:
        rows: needs the columns ``name`` (unique), ``label`` and ``person``.
        by: ``person`` puts all photographs of a person into one split and keeps the shares of the labels as
            close as people allow. ``image`` cuts each label at the shares, blind to people, as the published
            tables were made.
        seed: another seed gives another division.

    Raises:
        InputError: ``by`` is neither.
    """
    if by not in BY:
        raise InputError(f"there is no split by {by!r}; choose one of {', '.join(BY)}")
    found = _by_person(rows, seed) if by == "person" else _by_image(rows, seed)
    return pl.Series("split", found, dtype=pl.String)


def _by_person(rows: pl.DataFrame, seed: int) -> list[str]:
    labels = sorted(rows["label"].unique())
    people = _shuffled(rows["person"].unique(), seed)
    row_of = {person: number for number, person in enumerate(people)}
    counts = np.zeros((len(people), len(labels)))
    column_of = {label: number for number, label in enumerate(labels)}
    for person, label, count in rows.group_by("person", "label").len().iter_rows():
        counts[row_of[person], column_of[label]] = count
    split_of: Mapping[str, str] = dict(zip(people, _greedy(counts), strict=True))
    return [split_of[person] for person in rows["person"]]


def _greedy(counts: npt.NDArray[np.float64]) -> list[str]:
    """Give each person (row; columns are labels) to the split where the shares of all labels suffer least.

    The measure is the squared distance from each split's target, relative to the label's size and weighted by
    the inverse of the split's share, so that all splits fill at the same pace. People with very many
    photographs land in the training set more often than their share, because a small split cannot hold them.
    """
    shares = np.array(SHARES)[:, None]
    totals = np.maximum(counts.sum(axis=0), 1)
    weights = 1 / (shares * totals**2)
    off_target = -shares * totals
    found = []
    for person in counts:
        cost = ((2 * off_target + person) * person * weights).sum(axis=1)
        best = int(np.argmin(cost))
        off_target[best] += person
        found.append(SPLITS[best])
    return found


def _by_image(rows: pl.DataFrame, seed: int) -> list[str]:
    split_of: dict[str, str] = {}
    for label in sorted(rows["label"].unique()):
        # Not by path: where the photographs lie is no matter of the split.
        names = _shuffled(rows.filter(pl.col("label") == label)["name"], seed)
        tests = _nearest(0.2 * len(names))
        values = _nearest(0.1 * (len(names) - tests))
        parts = ["test"] * tests + ["val"] * values + ["train"] * (len(names) - tests - values)
        split_of |= dict(zip(names, parts, strict=True))
    return [split_of[name] for name in rows["name"]]


def _nearest(value: float) -> int:
    return int(value + 0.5)


def _shuffled(names: Iterable[Any], seed: int) -> Sequence[str]:
    # A keyed hash orders names at random, yet the same on every machine and for every order of the input.
    def place(name: str) -> bytes:
        return hashlib.blake2b(name.encode(), key=str(seed).encode(), digest_size=16).digest()

    return sorted(names, key=place)
