"""Looks at some photographs of a table before all are decoded: do its boxes lie on faces?"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyojeong.core import images
from pyojeong.core.boxes import lies_on_a_face, misread
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import Box
from pyojeong.core.images import ImageError
from pyojeong.core.left_out import misread_problem, stray_warning
from pyojeong.detection.detector import Detector

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
            return
        if faces:
            labeled.append(box)
            found.append(faces)
    if other := misread(labeled, found):
        raise InputError(misread_problem(csv, other, len(labeled)))
    if labeled:
        log.warning(stray_warning(csv, paths[0], labeled[0], len(labeled)))
