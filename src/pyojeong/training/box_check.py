"""Looks at some photographs of a table before all are decoded: do its boxes lie on faces?"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pyojeong.core import images
from pyojeong.core.boxes import lies_on_a_face, misread
from pyojeong.core.errors import InputError, counted
from pyojeong.core.geometry import Box
from pyojeong.core.images import ImageError
from pyojeong.core.left_out import misread_problem, stray_warning
from pyojeong.core.table import BOX_COLUMNS, read_csv
from pyojeong.detection.detector import Detector
from pyojeong.detection.graph import graph_path

LOOKED_AT = 24
"""Photographs of a table to look at, spread evenly; the first box on a face ends the search."""

log = logging.getLogger(__name__)


def check_boxes(csv: Path, paths: Sequence[str], boxes: NDArray[np.float64], root: Path) -> None:
    """Warn where the detector finds faces and none at its box.

    Args:
        csv: the table.
        paths: of its photographs.
        boxes: float64 [N, 4], as the table gives them.
        root: where paths start.

    Raises:
        InputError: the boxes lie on faces when they are read in another way, for example as x, y, width, height.
    """
    labeled, found = stray_boxes(paths, boxes, root)
    if other := misread(labeled, found):
        raise InputError(misread_problem(csv, other, len(labeled)))
    if labeled:
        log.warning(stray_warning(csv, paths[0], labeled[0], len(labeled)))


def stray_boxes(paths: Sequence[str], boxes: NDArray[np.float64], root: Path) -> tuple[list[Box], list[list[Box]]]:
    """Return the boxes of the photographs that were looked at and their faces; nothing where one lies on another."""
    detector = Detector(threads=1)
    labeled: list[Box] = []
    found: list[list[Box]] = []
    for row in np.unique(np.linspace(0, len(paths) - 1, min(LOOKED_AT, len(paths))).astype(int)).tolist():
        try:
            faces = [face.box for face in detector.detect(images.decode(images.read_bytes(root, paths[row])))]
        except ImageError:
            continue
        min_x, min_y, max_x, max_y = boxes[row].tolist()
        box = min_x, min_y, max_x, max_y
        if lies_on_a_face(box, faces):
            return [], []
        if faces:
            labeled.append(box)
            found.append(faces)
    return labeled, found


def prepared_problem(csv: Path, root: Path) -> str | None:
    """Say that no box of a table of ``prepare`` lies on a face.

    Returns None where one does, where no face was found, and where the detector is not installed.
    """
    try:
        graph_path()
    except (InputError, ModuleNotFoundError):
        return None  # to prepare data, nobody needs the detector
    rows = read_csv(csv)
    boxes = rows.select(pl.col(BOX_COLUMNS).cast(pl.Float64)).to_numpy()
    labeled, found = stray_boxes(rows["path"].to_list(), boxes, root)
    if not labeled:
        return None
    other = misread(labeled, found)
    reading = f"; read as {other.holds}, {other.hits:,} of {len(labeled):,} do" if other else ""
    return (
        f"{csv}: no box lies on the face that was found ({counted(len(labeled), 'photograph')}, first "
        f"{rows['path'][0]}){reading}; correct the boxes in the label files and prepare again"
    )
