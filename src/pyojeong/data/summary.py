"""Summarizes prepared data: people, classes, drops, annotators and boxes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pyojeong.core.labels import K7, KOREAN, M1, M2, UNKNOWN, Scheme
from pyojeong.data import aihub, crop_files
from pyojeong.data.splits import SPLITS

PREPARED = (M1, M2, K7)
"""The label schemes that tables are written for."""

BOX_EDGES = (20, 80, 160, 320, 640, 1280, 2560)
"""Lower edges of the histogram of face box sizes (longer side in pixels)."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

Quantiles = dict[str, float | None]
"""Share such as ``"0.5"`` -> value; None when there are no photographs."""


@dataclass(frozen=True)
class Summary:
    """What was found, kept and dropped. Splits are ``train``, ``val`` and ``test``; labels are Korean.

    Attributes:
        records: label records found.
        photographs: photographs found.
        kept: photographs in the tables.
        people: people in the tables.
        people_per_split: split -> people.
        photographs_per_person: quantiles.
        images: split -> label -> photographs.
        images_per_class: scheme -> split -> class -> photographs.
        drops: reason -> number of dropped records, photographs or files.
        drop_meanings: reason -> its meaning in English.
        unreadable: archives and label files that were skipped, each with the reason.
        clipped_boxes: face boxes that extended beyond their photograph.
        orientations: EXIF orientation (``"0"`` when there is none) -> photographs.
        box_sizes: ``longer_side_from`` is a histogram, lower edge in pixels -> photographs; ``width``, ``height``,
            ``longer_side`` (pixels) and ``share_of_photograph`` (0..1) are quantiles.
        agreement: label -> number of annotators who chose it (``"0"`` to ``"3"``) -> photographs.
        uploader: label -> the uploader's label -> photographs.
        warnings: what the user should know, such as a class without photographs.
    """

    records: int
    photographs: int
    kept: int
    people: int
    people_per_split: dict[str, int]
    photographs_per_person: Quantiles
    images: dict[str, dict[str, int]]
    images_per_class: dict[str, dict[str, dict[str, int]]]
    drops: dict[str, int]
    drop_meanings: dict[str, str]
    unreadable: list[str]
    clipped_boxes: int
    orientations: dict[str, int]
    box_sizes: dict[str, dict[str, Any]]
    agreement: dict[str, dict[str, int]]
    uploader: dict[str, dict[str, int]]
    warnings: list[str]


RESIZED = (
    "many reach beyond their photographs; were these resized, or turned without their EXIF orientation? "
    "Use the original files"
)
"""What it means when ``reach_beyond``."""

_BEYOND = 0.05  # in the original data 0.1 % of the boxes reach beyond their photograph


def reach_beyond(results: Sequence[crop_files.CropResult]) -> bool:
    """Whether more than 5 % of the boxes reach beyond their photographs, which then are not the original files."""
    measured = [result for result in results if result.width]
    beyond = sum(result.clipped or result.reason == "box_outside_image" for result in measured)
    return beyond > _BEYOND * len(measured)


def summarize(index: aihub.Index, rows: pl.DataFrame, results: Sequence[crop_files.CropResult]) -> Summary:
    """Summarize a preparation.

    Args:
        index: what SOURCE holds.
        rows: the photographs that have a crop, with their ``split`` and measured ``width``, ``height`` and box.
        results: the crop result of every photograph in the index.
    """
    drops = index.drops + Counter(result.reason for result in results if result.reason)
    rows_in = {split: rows.filter(pl.col("split") == split) for split in SPLITS}
    images = {split: _per_label(rows_in[split]) for split in SPLITS}
    meanings = aihub.DROPS | crop_files.DROPS
    return Summary(
        records=index.records,
        photographs=index.images,
        kept=rows.height,
        people=rows["person"].n_unique(),
        people_per_split={split: rows_in[split]["person"].n_unique() for split in SPLITS},
        photographs_per_person=_quantiles(rows.group_by("person").len()["len"]),
        images=images,
        images_per_class={
            scheme.name: {split: _per_class(images[split], scheme) for split in SPLITS} for scheme in PREPARED
        },
        drops={reason: drops[reason] for reason in sorted(drops)},
        drop_meanings={reason: meanings[reason] for reason in sorted(drops)},
        unreadable=index.unreadable,
        clipped_boxes=sum(result.clipped for result in results if not result.reason),
        orientations={str(key): count for key, count in sorted(Counter(rows["orientation"]).items())},
        box_sizes=_box_sizes(rows),
        agreement=_pair_counts(rows, "label", "agreement"),
        uploader=_pair_counts(rows.with_columns(_known_word("uploader")), "label", "uploader"),
        warnings=warnings_of(images) + ([f"face boxes: {RESIZED}"] if reach_beyond(results) else []),
    )


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
    """Count other words as 알수없음, as for the votes: malicious records may hold any number of them."""
    word = pl.col(column)
    return pl.when(word.is_in([*KOREAN, ""])).then(word).otherwise(pl.lit(UNKNOWN)).alias(column)


def _pair_counts(rows: pl.DataFrame, first: str, second: str) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for outer, inner, count in rows.group_by(first, second).len().sort(first, second).iter_rows():
        counts.setdefault(str(outer), {})[str(inner)] = count
    return counts


def _box_sizes(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
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


def _quantiles(values: pl.Series) -> Quantiles:
    quantiles = {str(share): values.quantile(share, "nearest") for share in QUANTILES}
    return {share: None if value is None else round(float(value), 4) for share, value in quantiles.items()}


def warnings_of(images: dict[str, dict[str, int]]) -> list[str]:
    """List the labels without photographs, in total or in a split; ``images`` is split -> label -> count."""
    warnings = []
    for label in KOREAN:
        counts = {split: images[split][label] for split in SPLITS}
        if not any(counts.values()):
            warnings.append(f"{label}: no photograph at all")
        else:
            empty_splits = [split for split, count in counts.items() if not count]
            warnings += [f"{label}: no photograph in {split}" for split in empty_splits]
    return warnings
