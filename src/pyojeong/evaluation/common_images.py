"""Reads prediction files and keeps the images that are in all of them."""

import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import polars as pl

from pyojeong.core.errors import InputError, counted
from pyojeong.core.labels import Scheme, scheme_for
from pyojeong.core.people import plain
from pyojeong.core.table import GROUP_COLUMNS, line_of
from pyojeong.evaluation.predictions import matched, read_predictions

log = logging.getLogger(__name__)

_ROW = "row in its file"

_UNNAMED = ("one file", "the other")


def read_common(paths: Sequence[Path], scheme: Scheme, root: Path) -> list[pl.DataFrame]:
    """Read prediction files, keep the images that are in all of them, and add what any file says of people and groups.

    All frames have the same images row by row. What is left out is told, and rows that are in no score.

    Raises InputError where a file is invalid or of another scheme, no image is in all of them, or they disagree about
    an image.
    """
    for path in paths:
        scheme_for(scheme, path)
    frames = [read_predictions(path, scheme, root).with_row_index(_ROW) for path in paths]
    common = frames[0]
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        common, _ = align(common, frame, (paths[0], path))
    for path, frame in zip(paths, frames, strict=True):
        _tell_left_out(path, frame, common)
    if common.is_empty():
        raise InputError(
            f"{', '.join(map(str, paths))}: no image is in all of them; make these files from the same test CSV"
        )
    frames = _with_people(paths, [common, *(align(common, frame)[1] for frame in frames[1:])])
    for path, frame in zip(paths, frames, strict=True):
        _warn(path, frame)
    return [frame.drop(_ROW) for frame in frames]


def align(
    first: pl.DataFrame, second: pl.DataFrame, files: tuple[Path, Path] | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of both whose image is in both, in the order of ``first``.

    Images are identified by ``photo``, or by ``path`` where there is no such column; the n-th row of an image in one
    is paired with its n-th row in the other. Raises InputError when an image has two labels; it names ``files`` if
    given.
    """
    left, right = (_numbered(frame, name) for frame, name in ((first, "left"), (second, "right")))
    both = left.join(right, on=["key", "nth"], maintain_order="left")
    first, second = first[both["left"].to_list()], second[both["right"].to_list()]
    if (differs := first["true"] != second["true"]).any():
        row = differs.arg_max() or 0
        one, other = (_place(*each, row) for each in zip(files, (first, second), strict=True)) if files else _UNNAMED
        raise InputError(
            f"{one}: {first['path'][row]} is {first['true'][row]!r}, and {second['true'][row]!r} in {other}; make both "
            "from the same CSV"
        )
    return first, second


def _numbered(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    key = pl.col("photo" if "photo" in frame.columns else "path")
    return frame.select(key.alias("key"), nth=pl.int_range(pl.len()).over(key)).with_row_index(name)


def _place(path: Path, frame: pl.DataFrame, row: int) -> str:
    """Return the file and the line of a row that ``read_common`` read."""
    return f"{path}, line {line_of(path, frame[_ROW][row])}"


def _tell_left_out(path: Path, frame: pl.DataFrame, common: pl.DataFrame) -> None:
    """Log what becomes of the rows that are not in all files, and which images are in a file more than once."""
    rows, kept = _numbered(frame, "row"), _numbered(common, "row")
    lost = rows.join(kept, on=["key", "nth"], how="anti", maintain_order="left")
    repeats = lost.join(kept, on="key", how="semi", maintain_order="left")
    missing = lost.join(kept, on="key", how="anti", maintain_order="left")
    size = f"{len(frame):,}"
    if len(missing):
        first = _first(path, frame, missing["row"][0])
        log.warning(
            "%s: %s of its %s rows are not in all files (first %s); they are left out",
            path,
            f"{len(missing):,}",
            size,
            first,
        )
    if len(repeats):
        log.warning(
            "%s: %s of its %s rows repeat an image more often than another file does (first %s); they are left out",
            path,
            f"{len(repeats):,}",
            size,
            _first(path, frame, repeats["row"][0]),
        )
    torn = pl.col("true").n_unique().over("path") > 1
    if len(images := frame.filter(torn).unique("path", keep="first", maintain_order=True)):
        log.warning(
            "%s: the rows of %s have different labels (first %s), and each row counts; correct the table if they show "
            "one face",
            path,
            counted(len(images), "image"),
            _first(path, images, 0),
        )


def _first(path: Path, frame: pl.DataFrame, row: int) -> str:
    return f"{frame['path'][row]}, line {line_of(path, frame[_ROW][row])}"


def _with_people(paths: Sequence[Path], frames: list[pl.DataFrame]) -> list[pl.DataFrame]:
    """Add to all frames, which have the same images row by row, what any of them says of people and groups."""
    for name in ("person", *GROUP_COLUMNS):
        known = [(path, frame) for path, frame in zip(paths, frames, strict=True) if name in frame.columns]
        for (path, first), (other, second) in combinations(known, 2):
            # People are told apart by case too, groups are not.
            same = [frame[name] if name == "person" else plain(frame[name]) for frame in (first, second)]
            if (differs := same[0] != same[1]).any():
                row = differs.arg_max() or 0
                raise InputError(
                    f"{_place(path, first, row)}: {first['path'][row]} has the {name} {first[name][row]!r}, and "
                    f"{second[name][row]!r} in {_place(other, second, row)}; make both from the same CSV"
                )
        if known:
            values = pl.select(pl.coalesce([frame[name] for _, frame in known]).alias(name))[name]
            frames = [frame.with_columns(values) for frame in frames]
            if name == "person" and (unknown := values.null_count()):
                log.warning(
                    "%s: the person is unknown on %s of the %s common images, so intervals resample images",
                    ", ".join(str(path) for path, _ in known),
                    f"{unknown:,}",
                    f"{len(values):,}",
                )
    return frames


def _warn(path: Path, frame: pl.DataFrame) -> None:
    """Warn of rows that are in no score, and of a file in which no face lies at its box."""
    if (errors := frame["error"].drop_nulls()).len():
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in errors.value_counts(sort=True).rows())
        first = _first(path, frame, frame["error"].is_not_null().arg_max() or 0)
        share = f"{len(errors):,} of {len(frame):,}"
        log.warning("%s: %s rows are in no score (%s; first %s)", path, share, reasons, first)
    faces = frame.filter(pl.col("detected") & pl.col("iou").is_not_null())
    if len(faces) and not matched(faces).any():
        log.warning(
            "%s: none of the faces that were found lies at the labeled box (%s); check the boxes of the table that was "
            "evaluated, unless its images are crops",
            path,
            counted(len(faces), "image"),
        )
