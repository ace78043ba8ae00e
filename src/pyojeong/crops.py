"""From a face box to the square patch that every classifier sees: the only place that knows margin, padding, size.

Training, Python serving and the browser cut the same pixels. ``patch_square`` is plain double arithmetic, so that
JavaScript restates it exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pyojeong.images import Pixels, Reduced

MARGIN = 0.15
"""Added to each side of the box, as a share of its longer side."""

SIZE = 160
"""Side of a finished crop in pixels."""


def patch_square(box: Sequence[float], margin: float = MARGIN) -> tuple[int, int, int]:
    """Return the square patch around a face box as (x, y, side) in whole pixels.

    In IEEE doubles, in this order, with ``round(v) = floor(v + 0.5)``::

        side = max(1, round(max(maxX - minX, maxY - minY) * (1 + 2 * margin)))
        x    = round((minX + maxX - side) / 2)
        y    = round((minY + maxY - side) / 2)

    Args:
        box: minX, minY, maxX, maxY in pixels of the upright image; may lie partly or wholly outside it.
        margin: share of the longer side added on each side.

    Returns:
        Pixel columns ``x .. x+side-1`` and rows ``y .. y+side-1``; x and y may be negative.

    Raises:
        ValueError: a number is not finite, or the box has no area.
    """
    min_x, min_y, max_x, max_y = map(float, box)
    width, height = max_x - min_x, max_y - min_y
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        raise ValueError(f"the box {tuple(box)} has no area")
    side = max(1, math.floor(max(width, height) * (1 + 2 * margin) + 0.5))
    return math.floor((min_x + max_x - side) / 2 + 0.5), math.floor((min_y + max_y - side) / 2 + 0.5), side


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over union (0..1) of two boxes minX, minY, maxX, maxY; 0 when neither has an area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1])
    return common / (areas - common)


def cut(image: Pixels, square: tuple[int, int, int]) -> Pixels:
    """Cut ``square`` (x, y, side) out of ``image`` (uint8 [H, W, C]); black where it lies outside.

    Returns uint8 [side, side, C]. Raises ValueError when the square is more than three times as wide as the
    image is long, because such a box is a mistake and its patch could fill the memory.
    """
    x, y, side = square
    height, width = image.shape[:2]
    if side > 3 * max(height, width):
        raise ValueError(f"a patch of {side} pixels is far larger than the image of {width}x{height}")
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + side, width), min(y + side, height)
    if (left, top, right, bottom) == (x, y, x + side, y + side):
        return image[top:bottom, left:right]
    patch = np.zeros((side, side, image.shape[2]), np.uint8)
    if left < right and top < bottom:
        patch[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return patch


def resize(patch: Pixels, size: int = SIZE) -> Pixels:
    """Resize a patch (uint8 [H, W, 3]) to uint8 [size, size, 3] with Pillow's BILINEAR.

    That is a triangle filter as wide as the reduction asks for, the arithmetic of ONNX ``Resize`` with
    ``mode=linear, antialias=1, coordinate_transformation_mode=half_pixel``, rounded to whole levels.
    """
    return np.asarray(Image.fromarray(patch).resize((size, size), Image.Resampling.BILINEAR))


def face_crop(image: Pixels, box: Sequence[float], margin: float = MARGIN, size: int = SIZE) -> Pixels:
    """Return the face patch of ``box`` in an upright image as uint8 [size, size, 3].

    Raises ValueError as ``patch_square`` and ``cut`` do.
    """
    return resize(cut(image, patch_square(box, margin)), size)


def enough_size(square: tuple[int, int, int], width: int, height: int, size: int = SIZE) -> tuple[int, int]:
    """Return the (width, height) that an image must at least be decoded at for a good crop of ``square``.

    The patch then still has 1.5 times the pixels of the crop on each side, so that the decoder's own reduction
    costs no visible detail: ``benchmarks/prepare.py`` prints how far the pixels are from those of a full decode.
    """
    scale = min(1.0, 1.5 * size / square[2])
    return math.ceil(width * scale), math.ceil(height * scale)


def reduced_crop(image: Reduced, square: tuple[int, int, int], size: int = SIZE) -> Pixels:
    """Return the crop of ``square`` (x, y, side in pixels of the full-size image) from a reduced one.

    Of an image at its full size the result is that of ``resize(cut(image, square), size)``. Returns uint8
    [size, size, 3], black outside the image. Raises ValueError as ``cut`` does.
    """
    x, y, side = square
    x_in, y_in, side_in = (value / image.divisor for value in (x - image.left, y - image.top, side))
    left, top = math.floor(x_in), math.floor(y_in)
    window = max(math.ceil(x_in + side_in) - left, math.ceil(y_in + side_in) - top)
    patch = Image.fromarray(cut(image.pixels, (left, top, window)))
    box = (x_in - left, y_in - top, x_in - left + side_in, y_in - top + side_in)
    return np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR, box=box))
