"""What an evaluation tells about its table: rows that were left out, and boxes that lie on no face."""

import logging
from pathlib import Path

import polars as pl

from pyojeong.core.boxes import BAD_BOX, misread
from pyojeong.core.geometry import Box
from pyojeong.core.left_out import left_out, misread_problem, stray_warning
from pyojeong.core.table import BOX_COLUMNS
from pyojeong.evaluation.evaluation_csv import DETECTION
from pyojeong.evaluation.predictions import is_labeled_face

log = logging.getLogger(__name__)


def problem(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame) -> str | None:
    """Say why no box of a table can be used: none can be a face, or they lie on faces when read in another way.

    Args:
        csv: the table.
        frame: its rows, with ``path`` and boxes; null where the whole image is meant.
        rows: the evaluation CSV's rows, in the same order.
    """
    if rows["error"].eq_missing(BAD_BOX).all():
        return _left_out(csv, frame, rows)
    boxes, faces = _stray(frame, rows)
    other = misread(boxes, [[face] for face in faces])
    return misread_problem(csv, other, len(boxes)) if other else None


def warn(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Warn, in one line each, of rows that were left out and of boxes none of which lies on a face that was found."""
    if message := _left_out(csv, frame, rows):
        log.warning(message)
    boxes, _ = _stray(frame, rows)
    if boxes:
        log.warning(stray_warning(csv, frame["path"][0], frame.select(BOX_COLUMNS).row(0), len(boxes)))


def _left_out(csv: Path, frame: pl.DataFrame, rows: pl.DataFrame) -> str | None:
    return left_out(csv, frame["path"].to_list(), rows["error"].to_list(), frame.select(BOX_COLUMNS).rows())


def _stray(frame: pl.DataFrame, rows: pl.DataFrame) -> tuple[list[Box], list[Box]]:
    """Return the boxes of the photographs with a face, and these faces; nothing where a face lies at its box."""
    found = pl.concat([frame.select(BOX_COLUMNS), rows.select(*DETECTION, "iou")], how="horizontal").drop_nulls()
    found = found.cast(pl.Float64)
    if found.select(is_labeled_face().any()).item():
        return [], []
    return found.select(BOX_COLUMNS).rows(), found.select(DETECTION).rows()
