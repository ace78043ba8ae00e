"""Looks at some photographs of a table before all are decoded: do its boxes lie on faces?"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyojeong.core import images
from pyojeong.core.boxes import Look, misread
from pyojeong.core.errors import InputError
from pyojeong.core.images import ImageError
from pyojeong.core.left_out import misread_problem, stray_warning
from pyojeong.detection.detector import Detector
from pyojeong.detection.graph import graph_path

LOOKED_AT = 24
"""Photographs of a table to look at, spread evenly. A box on a face in half as many ends the search, but not for those
that EXIF turns."""

log = logging.getLogger(__name__)


def check_boxes(csv: Path, paths: Sequence[str], boxes: NDArray[np.float64], root: Path) -> None:
    """Warn where the detector finds faces and most boxes lie beside them.

    Args:
        csv: the table.
        paths: of its photographs.
        boxes: float64 [N, 4], as the table gives them.
        root: where paths start.

    Raises:
        InputError: the boxes lie on faces when they are read in another way, for example as x, y, width, height, or in
            pixels of the photographs before EXIF turns them.
    """
    looks = look_at(paths, boxes, root)
    if other := misread(looks):
        raise InputError(misread_problem(csv, other))
    if message := stray_warning(csv, paths, looks):
        log.warning(message)


def look_at(paths: Sequence[str], boxes: NDArray[np.float64], root: Path) -> list[Look]:
    """Return the photographs that were looked at and have a face."""
    detector = Detector(threads=1)
    rows = np.unique(np.linspace(0, len(paths) - 1, min(LOOKED_AT, len(paths))).astype(int)).tolist()
    looks: list[Look] = []
    for row in rows:
        enough = 2 * sum(look.is_on_a_face for look in looks) >= LOOKED_AT
        try:
            data = images.read_bytes(root, paths[row])
            size = images.measure(data)
            if enough and size.orientation <= 1:
                continue
            faces = [face.box for face in detector.detect(images.decode(data))]
        except ImageError:
            continue
        if faces:
            min_x, min_y, max_x, max_y = boxes[row].tolist()
            looks.append(Look(row, (min_x, min_y, max_x, max_y), faces, size))
    return looks


def look_if_installed(paths: Sequence[str], boxes: NDArray[np.float64], root: Path) -> list[Look]:
    """Do as ``look_at``; return nothing where the detector is not installed, which nobody needs to prepare data."""
    try:
        graph_path()
    except (InputError, ModuleNotFoundError):
        return []
    return look_at(paths, boxes, root)
