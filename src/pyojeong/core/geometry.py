"""From a face box to the patch that every classifier sees: the only place that knows margin, aspect, padding, size.

Training, Python serving and the browser cut the same pixels. ``patch_region`` is plain double arithmetic, so that
JavaScript restates it exactly.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pyojeong.core.images import Pixels, Reduced

MARGIN = 0.15
"""Added to each side of the box, as a share of its longer side."""

BOX_KINDS = ("annotator", "detector")
"""Whose box it is: that of AI Hub's annotators, or TinyFaceDetector's."""

SIZE = 160
"""Side of a finished crop in pixels."""

ASPECTS = (0.5, 2.0)
"""Least and greatest width / height of a patch."""

Box = tuple[float, float, float, float]

BOX_KEYS = ("minX", "minY", "maxX", "maxY")
"""Names of a box's four numbers in JSON objects and CSV columns."""

Region = tuple[int, int, int, int]
"""x, y, width, height in whole pixels; may reach beyond the image."""


_WIDEST = 3
_LONGEST_FACE = 2
_DETECTOR_ASPECT = 1.19
_ANNOTATOR_WIDTH, _ANNOTATOR_HEIGHT, _ANNOTATOR_RISE = 0.93, 1.06, 0.164


def patch_region(box: Sequence[float], margin: float = MARGIN, offset: float = 0.0, aspect: float = 1.0) -> Region:
    """Return the region around a face box that a classifier sees, as (x, y, width, height) in whole pixels.

    In IEEE doubles, in this order, with ``round(v) = floor(v + 0.5)``::

        longer = max(maxX - minX, maxY - minY)
        height = max(1, round(longer * (1 + 2 * margin)))
        width  = max(1, round(longer * (1 + 2 * margin) * aspect))
        x      = round((minX + maxX - width) / 2)
        y      = round((minY + maxY - height) / 2 + offset * longer)

    Args:
        box: minX, minY, maxX, maxY in pixels of the upright image; may lie partly or wholly outside it.
        margin: share of the longer side added above and below; below 0 the region is smaller than the box, at -0.4
            a fifth of it.
        offset: share of the longer side by which the region's center lies below the box's; above it where negative.
        aspect: width / height of the region, within ``ASPECTS``. Resized to a square, a face is squashed by it.

    Returns:
        Pixel columns ``x .. x+width-1`` and rows ``y .. y+height-1``; x and y may be negative.

    Raises:
        ValueError: a number is not finite, or the box has no area.
    """
    min_x, min_y, max_x, max_y = map(float, box)
    across, down = max_x - min_x, max_y - min_y
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        raise ValueError(f"the box {tuple(box)} has no area")
    longer = max(across, down)
    height = max(1, math.floor(longer * (1 + 2 * margin) + 0.5))
    width = max(1, math.floor(longer * (1 + 2 * margin) * aspect + 0.5))
    x, y = (min_x + max_x - width) / 2, (min_y + max_y - height) / 2 + offset * longer
    return math.floor(x + 0.5), math.floor(y + 0.5), width, height


def as_annotated(box: Sequence[float]) -> Box:
    """Return the box that AI Hub's annotators would draw for a face whose TinyFaceDetector box is given.

    Of the detector's longer side it is 0.93 wide and 1.06 high, and its center lies 0.164 higher: the medians over 71
    photographs of the London set, as ``benchmarks/framing.py`` prints them. Their boxes were made from face landmarks
    and stand in for those of AI Hub's annotators, which were not at hand.
    """
    longer = max(box[2] - box[0], box[3] - box[1])
    width, height = _ANNOTATOR_WIDTH * longer, _ANNOTATOR_HEIGHT * longer
    return _centered(box, width, height, -_ANNOTATOR_RISE * longer)


def as_detected(box: Sequence[float]) -> Box:
    """Return the box that TinyFaceDetector would give for a face whose annotator's box is given.

    The inverse of ``as_annotated``. The detector's boxes are 1.19 times as wide as high: between the medians of
    the London set (1.09, n = 71) and of East Asian portraits (1.24, n = 257).
    """
    longer = max(box[2] - box[0], box[3] - box[1]) / _ANNOTATOR_HEIGHT
    return _centered(box, longer, longer / _DETECTOR_ASPECT, _ANNOTATOR_RISE * longer)


def box_as(wanted: str, box: Sequence[float], given: str) -> Sequence[float]:
    """Return a box of kind ``given`` as one of kind ``wanted``, both of ``BOX_KINDS``; ValueError for another kind."""
    for kind in (wanted, given):
        if kind not in BOX_KINDS:
            raise ValueError(f"a box is of kind {' or '.join(BOX_KINDS)}, not {kind!r}")
    if wanted == given:
        return box
    return as_annotated(box) if wanted == "annotator" else as_detected(box)


def _centered(box: Sequence[float], width: float, height: float, lower: float) -> Box:
    x = (box[0] + box[2]) / 2 - width / 2
    y = (box[1] + box[3]) / 2 + lower - height / 2
    return x, y, x + width, y + height


def box_dict(box: Sequence[float]) -> dict[str, float]:
    """Return a box as a JSON object: minX, minY, maxX, maxY."""
    return dict(zip(BOX_KEYS, box, strict=True))


def iou(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the intersection over union (0..1) of two boxes minX, minY, maxX, maxY; 0 when neither has an area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    areas = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1])
    return common / (areas - common)


def can_be_face(box: Sequence[float], width: int, height: int) -> bool:
    """Whether a box can be that of a face in an image of ``width`` x ``height``.

    At least a pixel of it each way lies inside, and it is at most twice as long as the image.
    """
    min_x, min_y, max_x, max_y = box
    across, down = min(max_x, width) - max(min_x, 0), min(max_y, height) - max(min_y, 0)
    longer = max(max_x - min_x, max_y - min_y)
    return across >= 1 and down >= 1 and longer <= _LONGEST_FACE * max(width, height)


def has_patch(region: Region, width: int, height: int) -> bool:
    """Whether ``cut`` takes the region and it shows something of an image of ``width`` x ``height``."""
    x, y, across, down = region
    inside = x < width and y < height and x + across > 0 and y + down > 0
    return inside and max(across, down) <= _WIDEST * max(width, height)


def cut(image: Pixels, region: Region) -> Pixels:
    """Cut ``region`` (x, y, width, height) out of ``image`` (uint8 [H, W, C]); black where it lies outside.

    Returns uint8 [height, width, C] of the region. Raises ValueError when the region is more than three times as
    long as the image, because such a box is a mistake and its patch could fill the memory.
    """
    x, y, across, down = region
    height, width = image.shape[:2]
    if max(across, down) > _WIDEST * max(height, width):
        raise ValueError(f"a patch of {across}x{down} pixels is far larger than the image of {width}x{height}")
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + across, width), min(y + down, height)
    if (left, top, right, bottom) == (x, y, x + across, y + down):
        return image[top:bottom, left:right]
    patch = np.zeros((down, across, image.shape[2]), np.uint8)
    if left < right and top < bottom:
        patch[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return patch


def resize(patch: Pixels, size: int = SIZE) -> Pixels:
    """Resize a patch (uint8 [H, W, 3]) to uint8 [size, size, 3] with Pillow's BILINEAR.

    That is a triangle filter as wide as the reduction asks for, the arithmetic of ONNX ``Resize`` with
    ``mode=linear, antialias=1, coordinate_transformation_mode=half_pixel``, rounded to whole levels.
    """
    return np.asarray(Image.fromarray(patch).resize((size, size), Image.Resampling.BILINEAR))


def face_crop(
    image: Pixels, box: Sequence[float], margin: float = MARGIN, offset: float = 0.0, aspect: float = 1.0
) -> Pixels:
    """Return the face patch of ``box`` in an upright image as uint8 [160, 160, 3]; see ``patch_region``.

    Raises ValueError as ``patch_region`` and ``cut`` do.
    """
    return resize(cut(image, patch_region(box, margin, offset, aspect)))


def enough_size(region: Region, width: int, height: int, size: int = SIZE) -> tuple[int, int]:
    """Return the (width, height) that an image must at least be decoded at for a good crop of ``region``.

    The patch then still has 1.5 times the pixels of the crop on each side, so that the decoder's own reduction
    costs no visible detail: ``benchmarks/prepare.py`` prints how far the pixels are from those of a full decode.
    """
    scale = min(1.0, 1.5 * size / min(region[2:]))
    return math.ceil(width * scale), math.ceil(height * scale)


def reduced_crop(image: Reduced, region: Region, size: int = SIZE) -> Pixels:
    """Return the crop of ``region`` (in pixels of the full-size image) from a reduced one.

    Of an image at its full size the result is that of ``resize(cut(image, region), size)``. Returns uint8
    [size, size, 3], black outside the image. Raises ValueError as ``cut`` does.
    """
    x, y, across, down = region
    at_x, at_y, width, height = (value / image.divisor for value in (x - image.left, y - image.top, across, down))
    left, top = math.floor(at_x), math.floor(at_y)
    columns, rows = math.ceil(width), math.ceil(height)
    # The filter reaches into a line beyond the box; where one axis has it, the other gets it too.
    spare = max(math.ceil(at_x + width) - left - columns, math.ceil(at_y + height) - top - rows)
    patch = Image.fromarray(cut(image.pixels, (left, top, columns + spare, rows + spare)))
    box = (at_x - left, at_y - top, at_x - left + width, at_y - top + height)
    return np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR, box=box))
