"""Turns a face upright by its landmarks: from three points to the patch that a network sees.

Training, Python inference and the browser cut the same pixels; ``web/alignment.js`` repeats this arithmetic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pyojeong.core.images import Pixels

Point = tuple[float, float]
"""x, y in pixels of the upright image; pixel 0 reaches from 0 to 1."""

LANDMARKS = ("rightEye", "leftEye", "noseTip", "mouth", "rightEar", "leftEar")
"""Names of a detected face's landmarks in their order; right and left are the person's."""

ALIGNED = ((0.25, 0.348), (0.732, 0.349), (0.492, 0.742))
"""Where right eye, left eye and mouth lie in an aligned crop, as shares of its width and height.

The means of 490 training faces of RAF-DB, whose crops are aligned on these three points (spread 0.015).
"""

ALIGNED_ASPECT = 0.8
"""Width / height of the region that becomes a square aligned crop.

RAF-DB's crops widen faces: there the mouth lies 0.81 eye distances below the eyes. On detected faces it is 1.04 (median
of 300 East Asian portraits and 72 of the London set; ``benchmarks/framing.py points``).
"""

MAX_SIDE = 320
"""Longest side of a turned patch in pixels, twice the network's input; a larger face is sampled more coarsely."""


@dataclass(frozen=True)
class Turned:
    """A rectangle of the image that is upright on the face, in pixels of the image.

    Attributes:
        center: of the rectangle.
        height: along the face.
        width: across it.
        angle: by which the face is turned clockwise as seen in the image, in radians.
    """

    center: Point
    height: float
    width: float
    angle: float

    def size(self) -> tuple[int, int]:
        """Return width and height of its patch in whole pixels, at most ``MAX_SIDE``."""
        scale = min(1.0, MAX_SIDE / max(self.width, self.height))
        return max(1, math.floor(self.width * scale + 0.5)), max(1, math.floor(self.height * scale + 0.5))


def face_points(landmarks: Sequence[Point]) -> tuple[Point, Point, Point]:
    """Return right eye, left eye and mouth out of all ``LANDMARKS``."""
    return landmarks[0], landmarks[1], landmarks[3]


def turned_region(
    points: Sequence[Point], template: Sequence[Point] = ALIGNED, aspect: float = ALIGNED_ASPECT
) -> Turned:
    """Return the region in which three points of a face lie at their places in an aligned crop.

    A similarity transform, least squares over the three points (Umeyama, "Least-squares estimation of transformation
    parameters between two point patterns", 1991): the face is moved, turned and scaled, but its proportions stay.

    Args:
        points: right eye, left eye and mouth in pixels of the image.
        template: their places as shares of the region's width and height.
        aspect: width / height of the region.

    Raises:
        ValueError: a number is not finite, or the points coincide.
    """
    own = [(x * aspect, y) for x, y in template]
    (own_x, own_y), (mean_x, mean_y) = (_mean(own), _mean(points))
    along = across = spread = 0.0
    for (from_x, from_y), (to_x, to_y) in zip(own, points, strict=True):
        x, y, u, v = from_x - own_x, from_y - own_y, to_x - mean_x, to_y - mean_y
        along += x * u + y * v
        across += x * v - y * u
        spread += x * x + y * y
    cos, sin = along / spread, across / spread
    height = math.hypot(cos, sin)
    if not (math.isfinite(height) and height > 0):
        raise ValueError(f"the landmarks {[*points]} do not span a face")
    x, y = aspect / 2 - own_x, 0.5 - own_y
    center = mean_x + x * cos - y * sin, mean_y + x * sin + y * cos
    return Turned(center, height, height * aspect, math.atan2(sin, cos))


def cut_turned(image: Pixels, region: Turned) -> Pixels:
    """Return the patch of a turned region, uint8 [height, width, 3], with ``Turned.size``; black outside the image.

    Each pixel is interpolated bilinearly at its center (Pillow's ``transform``), without smoothing: a region of more
    than ``MAX_SIDE`` pixels is sampled at every second pixel or more, and the network's own resizing averages these.
    """
    width, height = region.size()
    step = region.height / height
    cos, sin = math.cos(region.angle) * step, math.sin(region.angle) * step
    left = region.center[0] - width / 2 * cos + height / 2 * sin
    top = region.center[1] - width / 2 * sin - height / 2 * cos
    # Only the part around the face is copied; a photograph may have 60 million pixels.
    corners_x = [left, left + width * cos, left - height * sin, left + width * cos - height * sin]
    corners_y = [top, top + width * sin, top + height * cos, top + width * sin + height * cos]
    x0, y0 = (max(0, math.floor(min(corners)) - 2) for corners in (corners_x, corners_y))
    x1, y1 = (max(0, math.ceil(max(corners)) + 2) for corners in (corners_x, corners_y))
    part = image[y0:y1, x0:x1]
    if not part.size:
        return np.zeros((height, width, 3), np.uint8)
    places = (cos, -sin, left - x0, sin, cos, top - y0)
    turned = Image.fromarray(part).transform((width, height), Image.Transform.AFFINE, places, Image.Resampling.BILINEAR)
    return np.asarray(turned)


def aligned_crop(image: Pixels, points: Sequence[Point], size: int) -> Pixels:
    """Return a face as an aligned square crop, uint8 [size, size, 3]; ``points`` as for ``turned_region``."""
    patch = Image.fromarray(cut_turned(image, turned_region(points)))
    return np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR))


def _mean(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
