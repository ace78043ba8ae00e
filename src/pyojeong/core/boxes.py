"""Boxes of a table that fit no face: without an area, or read in another way than they were written."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyojeong.core.geometry import BOX_KEYS, MATCHED_IOU, Box, iou
from pyojeong.core.images import Measure

WANTED = f"a box is {', '.join(BOX_KEYS)} in pixels of the upright photograph, or x, y, width, height"
"""What to tell a user whose boxes cannot be used."""

BAD_BOX = "bad_box"
"""The reason under which a row is counted whose box cannot be a face, see ``geometry.can_be_face``."""

_Read = Callable[[float, float, float, float], Box]

_CENTER = "x_center, y_center, width, height"

# What the columns minX, minY, maxX, maxY, or x, y, width, height, may hold in truth, and the box that is meant. All can
# be read if the columns are named so.
_READINGS: Sequence[tuple[str, _Read]] = (
    ("x, y, width, height", lambda a, b, c, d: (a, b, a + c, b + d)),
    ("minX, minY, maxX, maxY", lambda a, b, c, d: (a, b, c - a, d - b)),
    ("minY, minX, maxY, maxX", lambda a, b, c, d: (b, a, d, c)),
    ("minX, maxX, minY, maxY", lambda a, b, c, d: (a, c, b, d)),
    ("y, x, height, width", lambda a, b, c, d: (b, a, b + d, a + c)),
    (_CENTER, lambda a, b, c, d: (a - c / 2, b - d / 2, a + c / 2, b + d / 2)),
    (_CENTER, lambda a, b, c, d: ((3 * a - c) / 2, (3 * b - d) / 2, (a + c) / 2, (b + d) / 2)),
)

_PER_CENT = "per cent of the photograph"
STORED = "pixels of the photograph as it is stored, before EXIF turns it"
"""What ``Misread`` says where a tool ignored the EXIF orientation."""

MIN_READ = 2
"""Fewest photographs in which another reading lies on a face before it is believed; in one it may be chance."""

# A small difference in size is believed by so many photographs, if it is so large, so many of them agree, and the boxes
# then overlap so much better with the faces. Of photographs at 90 % of their size, the London set's give .90, all, .06.
_MIN_SCALED = 6
_SCALED = 0.04
_AGREE = 0.75
_BETTER = 0.03

_BETTER_READ = 0.2
"""How much better boxes must overlap with the faces when they are read in another way; some lie on one by chance."""


class Look(NamedTuple):
    """A photograph that was looked at, in which a detector found a face.

    Attributes:
        row: of the table, from 0.
        box: as it was read.
        faces: one or more, in pixels of the upright photograph.
        size: of the photograph.
    """

    row: int
    box: Box
    faces: Sequence[Box]
    size: Measure

    @property
    def is_on_a_face(self) -> bool:
        """Whether the box matches one of the faces."""
        return _overlap(self.box, self.faces) >= MATCHED_IOU

    @property
    def is_turned(self) -> bool:
        """Whether EXIF turns or mirrors the photograph."""
        return self.size.orientation > 1


class Misread(NamedTuple):
    """Another reading of boxes, as which they lie on faces.

    Attributes:
        holds: what the boxes hold.
        remedy: what to do.
        looks: the photographs that tell: all that were looked at, or all of them that EXIF turns.
        hits: in how many of them the reading lies on a face.
    """

    holds: str
    remedy: str
    looks: Sequence[Look]
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


def misread(looks: Sequence[Look]) -> Misread | None:
    """Return in which other way the boxes lie on faces.

    Returns:
        The reading that lies on a face (IoU of at least ``MATCHED_IOU``) in most photographs. None where it does in
        fewer than half of them, or than ``MIN_READ``, or where the boxes do not overlap clearly better with the faces
        than as they were read. Where EXIF was ignored, only the photographs that it turns are counted.
    """
    if found := _ignored_exif([look for look in looks if look.is_turned]):
        return found
    scale = _scale(looks)
    around = sum(_is_around(look.box, look.faces) for look in looks)
    # A box that is merely too large is not one of a resized photograph.
    overlaps = [_overlaps(look, scale if around < len(looks) / 2 else None) for look in looks]
    best = max(
        # In this order where two lie on equally many.
        (*(holds for holds, _ in _READINGS), _PER_CENT, _resized(scale)),
        key=lambda holds: _hits([each.get(holds, 0) for each in overlaps]),
    )
    if not (hits := _believed(looks, [each.get(best, 0) for each in overlaps])):
        return None
    if best == _PER_CENT:
        remedy = "multiply x and widths by the width of the photograph, y and heights by its height, and divide by 100"
    elif best == _resized(scale):
        remedy = f"convert them to {', '.join(BOX_KEYS)} of these photographs"
    else:
        remedy = f"name the columns {best}"
    return Misread(best, remedy, looks, hits)


def _ignored_exif(turned: Sequence[Look]) -> Misread | None:
    hits = _believed(turned, [_overlap(_turned(look.box, look.size), look.faces) for look in turned])
    return Misread(STORED, "turn the boxes as EXIF turns their photographs", turned, hits) if hits else None


def _believed(looks: Sequence[Look], overlaps: Sequence[float]) -> int:
    """Return how many boxes of another reading lie on a face; 0 where it need not be believed."""
    hits = _hits(overlaps)
    if hits < max(MIN_READ, len(looks) / 2):
        return 0
    gain = np.mean(overlaps) - np.mean([_overlap(look.box, look.faces) for look in looks])
    return hits if gain >= _BETTER_READ else 0


def _hits(overlaps: Sequence[float]) -> int:
    return sum(overlap >= MATCHED_IOU for overlap in overlaps)


def strays(looks: Sequence[Look]) -> list[Look]:
    """Return the photographs whose box lies on no face, where these are more than half; otherwise none."""
    found = [look for look in looks if not look.is_on_a_face]
    return found if len(found) > len(looks) / 2 else []


def resized(looks: Sequence[Look]) -> str | None:
    """Say of which other size the photographs must be for the boxes to fit clearly better; None for this one."""
    factors, scale = _factors(looks), _scale(looks)
    if len(looks) < _MIN_SCALED or abs(scale - 1) < _SCALED:
        return None
    agree = np.mean([abs(factor - scale) < abs(factor - 1) for factor in factors])
    gains = [_overlap(_scaled(look.box, scale), look.faces) - _overlap(look.box, look.faces) for look in looks]
    return _resized(scale) if agree >= _AGREE and np.mean(gains) >= _BETTER else None


def _is_around(box: Box, faces: Sequence[Box]) -> bool:
    """Whether the middle of a face lies in the box."""
    middles = [((face[0] + face[2]) / 2, (face[1] + face[3]) / 2) for face in faces]
    return any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for x, y in middles)


def _overlap(box: Box, faces: Sequence[Box]) -> float:
    return max(iou(box, face) for face in faces)


def _overlaps(look: Look, scale: float | None) -> dict[str, float]:
    """Return the overlap of each reading with a face; that of ``_resized`` is left out where ``scale`` is None."""
    readings = [(holds, read(*look.box)) for holds, read in _READINGS]
    if max(look.box) <= 100:
        a, b, c, d = look.box
        width, height = look.size.width / 100, look.size.height / 100
        readings.append((_PER_CENT, (a * width, b * height, c * width, d * height)))
    if scale is not None:
        readings.append((_resized(scale), _scaled(look.box, scale)))
    overlaps: dict[str, float] = {}
    for holds, box in readings:
        overlaps[holds] = max(_overlap(box, look.faces), overlaps.get(holds, 0))
    return overlaps


def _turned(box: Box, size: Measure) -> Box:
    """Return a box in pixels of the stored photograph in those of the upright one, see ``images.Measure``."""
    width, height, orientation = size
    if orientation >= 5:
        a, b, c, d = box
        box = b, a, d, c
    a, b, c, d = box
    if orientation in (2, 3, 6, 7):
        a, c = width - c, width - a
    if orientation in (3, 4, 7, 8):
        b, d = height - d, height - b
    return a, b, c, d


def _scaled(box: Box, scale: float) -> Box:
    a, b, c, d = box
    return a * scale, b * scale, c * scale, d * scale


def _resized(scale: float) -> str:
    return f"pixels of photographs {1 / scale:.3g} times as large"


def _scale(looks: Sequence[Look]) -> float:
    """Return the median factor from the middle of a box to that of its face; 1 for no looks."""
    return float(np.median(_factors(looks))) if looks else 1.0


def _factors(looks: Sequence[Look]) -> list[float]:
    """Return the factor from the middle of each box to that of the face which it overlaps best.

    Only from left to right: at the top people draw boxes differently, with the forehead or without.
    """
    factors = []
    for box, faces in ((look.box, look.faces) for look in looks):
        face = max(faces, key=partial(iou, box))
        factors.append(max(face[0] + face[2], 1) / max(box[0] + box[2], 1))
    return factors
