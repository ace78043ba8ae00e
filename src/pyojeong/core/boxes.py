"""Boxes of a table that fit no face: without an area, or read in another way than they were written."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyojeong.core.geometry import BOX_KEYS, MATCHED_IOU, Box, iou

WANTED = f"a box is {', '.join(BOX_KEYS)} in pixels of the upright photograph, or x, y, width, height"
"""What to tell a user whose boxes cannot be used."""

# What four columns may hold in place of minX, minY, maxX, maxY: what it is -> the box that is meant.
_READINGS: Mapping[str, Callable[[float, float, float, float], Box]] = {
    "x, y, width, height": lambda a, b, c, d: (a, b, a + c, b + d),
    "minY, minX, maxY, maxX": lambda a, b, c, d: (b, a, d, c),
    "y, x, height, width": lambda a, b, c, d: (b, a, b + d, a + c),
    "minX, maxX, minY, maxY": lambda a, b, c, d: (a, c, b, d),
    "the center and width and height": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
    "minX, minY, maxX, maxY, and not sizes": lambda a, b, c, d: (a, b, c - a, d - b),
}

MIN_READ = 2
"""Fewest photographs in which another reading lies on a face before it is believed; in one it may be chance."""


class Misread(NamedTuple):
    """Another reading of boxes: what they hold, and in how many photographs it lies on a face."""

    holds: str
    count: int


def first_flat(boxes: npt.NDArray[np.float64]) -> tuple[int, int, str]:
    """Return how many boxes (float64 [N, 4]) have no area, the first one's row, and what is wrong with it."""
    flat = boxes[:, 2:] <= boxes[:, :2]
    rows = np.flatnonzero(flat.any(1))
    if not rows.size:
        return 0, 0, ""
    row = int(rows[0])
    axis = int(flat[row].argmax())
    low, high = BOX_KEYS[axis], BOX_KEYS[axis + 2]
    return len(rows), row, f"{high} is {boxes[row, axis + 2]:g} and {low} {boxes[row, axis]:g}"


def misread(boxes: Sequence[Box], faces: Sequence[Sequence[Box]]) -> Misread | None:
    """Return in which other way the boxes lie on faces.

    Args:
        boxes: the box of each photograph as a table gives it; none of them lies on a face.
        faces: the faces that a detector found in each photograph.

    Returns:
        The reading that lies on a face (IoU of at least ``MATCHED_IOU``) in most photographs; None where that is in
        fewer than half of the photographs, or than ``MIN_READ``.
    """
    counts = {
        holds: sum(lies_on_a_face(read(*box), found) for box, found in zip(boxes, faces, strict=True))
        for holds, read in _READINGS.items()
    }
    best = max(counts, key=counts.__getitem__)
    enough = counts[best] >= max(MIN_READ, len(boxes) / 2)
    return Misread(best, counts[best]) if enough else None


def lies_on_a_face(box: Box, faces: Sequence[Box]) -> bool:
    """Whether a box matches one of the faces."""
    return any(iou(box, face) >= MATCHED_IOU for face in faces)
