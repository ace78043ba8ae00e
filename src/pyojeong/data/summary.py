"""The account of a preparation: people, classes, drops, annotators, boxes; as JSON for programs and for a page."""

from collections import Counter
from typing import Any

import polars as pl

from pyojeong.core.labels import K7, KOREAN, M1, M2, UNKNOWN, Scheme
from pyojeong.data import aihub, crop_files
from pyojeong.data.splits import SPLITS

PREPARED = (M1, M2, K7)
"""The schemes that splits are written in."""

BOX_EDGES = (20, 80, 160, 320, 640, 1280, 2560)
"""Longer sides of face boxes, in pixels, at which one bin of the histogram ends and the next begins."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarize(index: aihub.Index, rows: pl.DataFrame, done: list[crop_files.Done]) -> dict[str, Any]:
    """Return the account as plain JSON values.

    Args:
        index: what SOURCE held.
        rows: the photographs that have a crop, with their ``split`` and measured ``width``, ``height`` and box.
        done: what became of every photograph of the index.
    """
    drops = index.drops + Counter(one.reason for one in done if one.reason)
    images = {split: _per_label(rows.filter(pl.col("split") == split)) for split in SPLITS}
    meanings = aihub.DROPS | crop_files.DROPS
    return {
        "records": index.records,
        "photographs": index.images,
        "kept": rows.height,
        "people": rows["person"].n_unique(),
        "people_per_split": {split: rows.filter(pl.col("split") == split)["person"].n_unique() for split in SPLITS},
        "photographs_per_person": _quantiles(rows.group_by("person").len()["len"]),
        "images": images,
        "images_per_class": {
            scheme.name: {split: _per_class(images[split], scheme) for split in SPLITS} for scheme in PREPARED
        },
        "drops": {reason: drops[reason] for reason in sorted(drops)},
        "drop_meanings": {reason: meanings[reason] for reason in sorted(drops)},
        "unreadable": index.unreadable,
        "clipped_boxes": sum(one.clipped for one in done if not one.reason),
        "orientations": {str(key): count for key, count in sorted(Counter(rows["orientation"]).items())},
        "box_sizes": _box_sizes(rows),
        "agreement": _table_of(rows, "label", "agreement"),
        "uploader": _table_of(rows.with_columns(_known_word("uploader")), "label", "uploader"),
        "warnings": warnings_of(images),
    }


def _per_label(rows: pl.DataFrame) -> dict[str, int]:
    counts = Counter(rows["label"])
    return {label: counts[label] for label in KOREAN}


def _per_class(images: dict[str, int], scheme: Scheme) -> dict[str, int]:
    counts = dict.fromkeys(scheme.classes, 0)
    for label, count in images.items():
        if label in scheme.from_korean:
            counts[scheme.from_korean[label]] += count
    return counts


def _known_word(column: str) -> pl.Expr:
    """As among the votes, any other word counts as 알수없음; hostile records may hold any number of them."""
    word = pl.col(column)
    return pl.when(word.is_in([*KOREAN, ""])).then(word).otherwise(pl.lit(UNKNOWN)).alias(column)


def _table_of(rows: pl.DataFrame, first: str, second: str) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key, other, count in rows.group_by(first, second).len().sort(first, second).iter_rows():
        found.setdefault(str(key), {})[str(other)] = count
    return found


def _box_sizes(rows: pl.DataFrame) -> dict[str, Any]:
    """Count longer sides by bins, named by where they begin, and give quantiles of what decides about a crop."""
    width, height = pl.col("maxX") - pl.col("minX"), pl.col("maxY") - pl.col("minY")
    sizes = rows.select(
        width=width,
        height=height,
        longer_side=pl.max_horizontal(width, height),
        share_of_photograph=(width * height) / (pl.col("width") * pl.col("height")),
    )
    bins = {str(begin): 0 for begin in BOX_EDGES}
    for size in sizes["longer_side"]:
        bins[str(max((edge for edge in BOX_EDGES if edge <= size), default=BOX_EDGES[0]))] += 1
    return {"longer_side_from": bins} | {name: _quantiles(sizes[name]) for name in sizes.columns}


def _quantiles(values: pl.Series) -> dict[str, float | None]:
    found = {str(share): values.quantile(share, "nearest") for share in QUANTILES}
    return {share: None if value is None else round(float(value), 4) for share, value in found.items()}


def warnings_of(images: dict[str, dict[str, int]]) -> list[str]:
    """Say which labels have no photograph, at all or in a split; ``images`` is split -> label -> count."""
    warnings = []
    for label in KOREAN:
        counts = {split: images[split][label] for split in SPLITS}
        if not any(counts.values()):
            warnings.append(f"{label}: no photograph at all")
        else:
            empty = [split for split, count in counts.items() if not count]
            warnings += [f"{label}: no photograph in {split}" for split in empty]
    return warnings
