"""What an evaluation tells about its table: rows that were left out, and boxes that lie beside the faces."""

import logging
from pathlib import Path

import numpy as np
import polars as pl

from pyojeong.core.boxes import Look, misread
from pyojeong.core.geometry import Box
from pyojeong.core.images import ImageError, measure, read_bytes
from pyojeong.core.left_out import left_out, misread_problem, stray_warning
from pyojeong.core.table import BOX_COLUMNS
from pyojeong.evaluation.evaluation_csv import DETECTION

LOOKED_AT = 100
"""Photographs with a box and a face to look at, spread evenly; their size is read again."""

log = logging.getLogger(__name__)


def problem(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame, root: Path) -> str | None:
    """Say why a table cannot be used: none of its rows can, or its boxes lie on faces when read in another way.

    Args:
        csv: the table.
        frame: its rows, with ``path`` and boxes; null where the whole image is meant.
        rows: the evaluation CSV's rows, in the same order.
        root: where paths start.
    """
    if rows["error"].is_not_null().all():
        return _left_out(csv, frame, rows, root)
    other = misread(_looks(frame, rows, root))
    return misread_problem(csv, other) if other else None


def warn(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame, root: Path) -> None:
    """Warn, in one line each, of rows that were left out and of boxes that lie beside the faces that were found."""
    if message := _left_out(csv, frame, rows, root):
        log.warning(message)
    if message := stray_warning(csv, frame["path"].to_list(), _looks(frame, rows, root)):
        log.warning(message)


def _left_out(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame, root: Path) -> str | None:
    return left_out(csv, frame["path"].to_list(), rows["error"].to_list(), root, frame.select(BOX_COLUMNS).rows())


def _looks(frame: pl.DataFrame, rows: pl.DataFrame, root: Path) -> list[Look]:
    """Return photographs with a box and a face; the face is the one that overlaps best with the box."""
    numbered = frame.select("path", *BOX_COLUMNS).with_row_index("row")
    found = pl.concat([numbered, rows.select(pl.col(DETECTION).cast(pl.Float64))], how="horizontal").drop_nulls()
    count = len(found)
    looks = []
    for index in np.unique(np.linspace(0, count - 1, min(LOOKED_AT, count)).astype(int)).tolist():
        row, path, *sides = found.row(index)
        box: Box = (sides[0], sides[1], sides[2], sides[3])
        face: Box = (sides[4], sides[5], sides[6], sides[7])
        try:
            looks.append(Look(row, box, [face], measure(read_bytes(root, path))))
        except ImageError:
            continue  # removed after the evaluation
    return looks
