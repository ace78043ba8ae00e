"""Boxes of a table that fit no face: without an area, or read in another way than they were written."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyojeong.core.geometry import BOX_KEYS, MATCHED_IOU, Box, iou

WANTED = f"a box is {', '.join(BOX_KEYS)} in pixels of the upright photograph, or x, y, width, height"
"""What to tell a user whose boxes cannot be used."""

BAD_BOX = "bad_box"
"""The reason under which a row is counted whose box cannot be a face, see ``geometry.can_be_face``."""

_Read = Callable[[float, float, float, float], Box]

# What the columns minX, minY, maxX, maxY may hold in truth, and the box that is meant. All but the last can be read if
# the columns are named so.
_READINGS: Mapping[str, _Read] = {
    "x, y, width, height": lambda a, b, c, d: (a, b, a + c, b + d),
    "minX, minY, maxX, maxY": lambda a, b, c, d: (a, b, c - a, d - b),
    "minY, minX, maxY, maxX": lambda a, b, c, d: (b, a, d, c),
    "minX, maxX, minY, maxY": lambda a, b, c, d: (a, c, b, d),
    "y, x, height, width": lambda a, b, c, d: (b, a, b + d, a + c),
    "center and size": lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2),
}

MIN_READ = 2
"""Fewest photographs in which another reading lies on a face before it is believed; in one it may be chance."""


class Misread(NamedTuple):
    """Another reading of boxes: what they hold, what to do, and in how many photographs it lies on a face."""

    holds: str
    remedy: str
    hits: int


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
        boxes: the box of each photograph as it was read; none of them lies on a face.
        faces: the faces that a detector found in each photograph, one or more.

    Returns:
        The reading that lies on a face (IoU of at least ``MATCHED_IOU``) in most photographs; None where that is in
        fewer than half of the photographs, or than ``MIN_READ``.
    """
    if not boxes:
        return None
    scale = _scale(boxes, faces)
    resized = f"pixels of photographs {1 / scale:.3g} times as large"
    scaled: _Read = lambda a, b, c, d: (a * scale, b * scale, c * scale, d * scale)  # noqa: E731
    around = sum(_is_around(box, found) for box, found in zip(boxes, faces, strict=True))
    # A box that is merely too large is not one of a resized photograph.
    readings = {**_READINGS, resized: scaled} if around < len(boxes) / 2 else _READINGS
    hits = {
        holds: sum(lies_on_a_face(read(*box), found) for box, found in zip(boxes, faces, strict=True))
        for holds, read in readings.items()
    }
    best = max(hits, key=hits.__getitem__)
    if hits[best] < max(MIN_READ, len(boxes) / 2):
        return None
    by_name = best in _READINGS and "center" not in best
    remedy = f"name the columns {best}" if by_name else f"convert them to {', '.join(BOX_KEYS)} of these photographs"
    return Misread(best, remedy, hits[best])


def lies_on_a_face(box: Box, faces: Sequence[Box]) -> bool:
    """Whether a box matches one of the faces."""
    return any(iou(box, face) >= MATCHED_IOU for face in faces)


def _is_around(box: Box, faces: Sequence[Box]) -> bool:
    """Whether the middle of a face lies in the box."""
    middles = [((face[0] + face[2]) / 2, (face[1] + face[3]) / 2) for face in faces]
    return any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in middles)


def _scale(boxes: Sequence[Box], faces: Sequence[Sequence[Box]]) -> float:
    """Return the median factor from the middle of a box to the middle of the first face."""
    return float(np.median([max(sum(found[0]), 1) / max(sum(box), 1) for box, found in zip(boxes, faces, strict=True)]))
