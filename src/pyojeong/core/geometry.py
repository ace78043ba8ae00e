"""From a face box to the patch that a network sees: boxes, framing, padding and resizing.

Training, Python inference and the browser cut the same pixels. ``patch_region`` uses plain double arithmetic, so that
``web/patch.js`` can repeat it exactly.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from pyojeong.core.images import Pixels, Reduced

Box = tuple[float, float, float, float]
"""minX, minY, maxX, maxY in pixels of the upright image."""

BOX_KEYS = ("minX", "minY", "maxX", "maxY")
"""Names of a box's four numbers in tables and JSON."""

Region = tuple[int, int, int, int]
"""x, y, width, height in whole pixels; may reach beyond the image."""

MARGIN = 0.15
"""Default margin on each side of the box, as a share of its longer side."""

BOX_KINDS = ("annotator", "detector", "blazeface")
"""Who made a box: AI Hub's annotators, face-api.js's TinyFaceDetector, or ``pyojeong.detection``."""

ALIGNMENTS = ("box", "landmarks")
"""By what a face is framed: by its box, upright in the image, or by its landmarks, upright on the face."""

SIZE = 160
"""Side of a finished crop in pixels."""

ASPECTS = (0.5, 2.0)
"""Smallest and largest width / height of a patch."""

MATCHED_IOU = 0.30
"""A detection counts as the labeled face from this IoU with the label's box on (the published protocol)."""

_MAX_PATCH = 3  # longest patch, relative to the image's longer side
_MAX_FACE = 2  # longest plausible face box, relative to the image's longer side


class _Relation(NamedTuple):
    """An annotator's box, in longer sides of a detector's box of the same face.

    Attributes:
        width: of the annotator's box.
        height: of the annotator's box.
        rise: how much higher its center lies.
        aspect: width / height of the detector's box.
    """

    width: float
    height: float
    rise: float
    aspect: float


# As printed by `benchmarks/framing.py relation`: medians over the London set (n = 71 and 72). Its boxes were made from
# face landmarks and stand in for AI Hub's, which are not public. 1.19 lies between TinyFaceDetector's medians there
# (1.09) and on East Asian portraits (1.24, n = 257); BlazeFace's boxes are squares.
_RELATIONS = {"detector": _Relation(0.93, 1.06, 0.164, 1.19), "blazeface": _Relation(1.14, 1.27, 0.175, 1.0)}


@dataclass(frozen=True)
class Framing:
    """Which region around a face a network sees.

    A recipe, a checkpoint and an exported graph carry their framing, so a model is always shown what it was trained on.

    Attributes:
        margin: share of the box's longer side added above and below; below 0 the region is smaller than the box.
        offset: how far the region's center lies below the box's, as a share of the longer side.
        aspect: width / height of the region, within ``ASPECTS``; resizing to a square widens the face below 1.
        box_kind: the kind of box that margin and offset refer to, one of ``BOX_KINDS``.
        aligned_by: one of ``ALIGNMENTS``. With ``landmarks``, ``alignment.turned_region`` frames a face, and the box's
            rule serves only where no landmarks are known.
    """

    margin: float = MARGIN
    offset: float = 0.0
    aspect: float = 1.0
    box_kind: str = "annotator"
    aligned_by: str = "box"

    def region(self, box: Sequence[float], box_kind: str | None = None) -> Region:
        """Return the region (x, y, width, height) for a face box.

        Args:
            box: minX, minY, maxX, maxY in pixels.
            box_kind: the kind of ``box``; it is converted where the framing refers to the other kind. None means
                the framing's own kind.

        Raises:
            ValueError: as ``patch_region`` and ``convert_box``.
        """
        own_box = convert_box(box, self.box_kind if box_kind is None else box_kind, self.box_kind)
        return patch_region(own_box, self.margin, self.offset, self.aspect)


AIHUB_FRAMING = Framing()
"""The framing of the crops that ``prepare`` cuts from AI Hub's photographs."""


def patch_region(box: Sequence[float], margin: float = MARGIN, offset: float = 0.0, aspect: float = 1.0) -> Region:
    """Return the region around a face box as (x, y, width, height) in whole pixels.

    In IEEE doubles, in this order, with ``round(v) = floor(v + 0.5)``::

        longer = max(maxX - minX, maxY - minY)
        height = max(1, round(longer * (1 + 2 * margin)))
        width  = max(1, round(longer * (1 + 2 * margin) * aspect))
        x      = round((minX + maxX - width) / 2)
        y      = round((minY + maxY - height) / 2 + offset * longer)

    Args:
        box: minX, minY, maxX, maxY in pixels of the upright image; may lie partly or wholly outside it.
        margin: see ``Framing``; at -0.4 the region is a fifth of the box.
        offset: see ``Framing``; negative values move the region up.
        aspect: see ``Framing``.

    Returns:
        Pixel columns ``x .. x+width-1`` and rows ``y .. y+height-1``; x and y may be negative.

    Raises:
        ValueError: a number is not finite, or the box has no area.
    """
    min_x, min_y, max_x, max_y = map(float, box)
    box_width, box_height = max_x - min_x, max_y - min_y
    if not (math.isfinite(box_width) and math.isfinite(box_height) and box_width > 0 and box_height > 0):
        raise ValueError(f"the box {tuple(box)} has no area")
    longer = max(box_width, box_height)
    height = max(1, math.floor(longer * (1 + 2 * margin) + 0.5))
    width = max(1, math.floor(longer * (1 + 2 * margin) * aspect + 0.5))
    x, y = (min_x + max_x - width) / 2, (min_y + max_y - height) / 2 + offset * longer
    return math.floor(x + 0.5), math.floor(y + 0.5), width, height


def annotator_box(box: Sequence[float], kind: str = "detector") -> Box:
    """Return the box that AI Hub's annotators would draw, given a detector's box of the same face and its kind."""
    relation = _RELATIONS[kind]
    longer = max(box[2] - box[0], box[3] - box[1])
    return _box_around(box, relation.width * longer, relation.height * longer, -relation.rise * longer)


def detector_box(box: Sequence[float], kind: str = "detector") -> Box:
    """Return the box that a detector would give, given an annotator's box; the inverse of ``annotator_box``."""
    relation = _RELATIONS[kind]
    longer = max(box[2] - box[0], box[3] - box[1]) / relation.height
    return _box_around(box, longer, longer / relation.aspect, relation.rise * longer)


def convert_box(box: Sequence[float], from_kind: str, to_kind: str) -> Sequence[float]:
    """Convert a face box between two of ``BOX_KINDS``; ValueError for any other kind."""
    for kind in (from_kind, to_kind):
        if kind not in BOX_KINDS:
            raise ValueError(f"a box is of kind {' or '.join(BOX_KINDS)}, not {kind!r}")
    if from_kind == to_kind:
        return box
    drawn = box if from_kind == "annotator" else annotator_box(box, from_kind)
    return drawn if to_kind == "annotator" else detector_box(drawn, to_kind)


def _box_around(box: Sequence[float], width: float, height: float, down: float) -> Box:
    """Return a box of the given size whose center lies ``down`` pixels below that of ``box``."""
    x = (box[0] + box[2]) / 2 - width / 2
    y = (box[1] + box[3]) / 2 + down - height / 2
    return x, y, x + width, y + height


def box_dict(box: Sequence[float]) -> dict[str, float]:
    """Return a box as ``{"minX", "minY", "maxX", "maxY"}``."""
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
    """Return whether a box is plausible for a face in an image of ``width`` x ``height``.

    At least one pixel of it lies inside in each direction, and it is at most twice as long as the image.
    """
    min_x, min_y, max_x, max_y = box
    inner_width, inner_height = min(max_x, width) - max(min_x, 0), min(max_y, height) - max(min_y, 0)
    longer = max(max_x - min_x, max_y - min_y)
    return inner_width >= 1 and inner_height >= 1 and longer <= _MAX_FACE * max(width, height)


def has_patch(region: Region, width: int, height: int) -> bool:
    """Return whether ``cut`` accepts the region and it shows some of an image of ``width`` x ``height``."""
    x, y, region_width, region_height = region
    overlaps = x < width and y < height and x + region_width > 0 and y + region_height > 0
    return overlaps and max(region_width, region_height) <= _MAX_PATCH * max(width, height)


def cut(image: Pixels, region: Region) -> Pixels:
    """Cut ``region`` (x, y, width, height) out of ``image`` (uint8 [H, W, C]); black outside the image.

    Returns uint8 [height, width, C]. Raises ValueError when the region is more than three times as long as the image:
    such a box is a mistake, and its patch could fill the memory.
    """
    x, y, region_width, region_height = region
    height, width = image.shape[:2]
    if max(region_width, region_height) > _MAX_PATCH * max(height, width):
        raise ValueError(
            f"a patch of {region_width}x{region_height} pixels is far larger than the image of {width}x{height}"
        )
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + region_width, width), min(y + region_height, height)
    if (left, top, right, bottom) == (x, y, x + region_width, y + region_height):
        return image[top:bottom, left:right]
    patch = np.zeros((region_height, region_width, image.shape[2]), np.uint8)
    if left < right and top < bottom:
        patch[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return patch


def resize(patch: Pixels, size: int = SIZE) -> Pixels:
    """Resize a patch (uint8 [H, W, 3]) to uint8 [size, size, 3] with Pillow's BILINEAR.

    This is an antialiased triangle filter, the arithmetic of ONNX ``Resize`` with ``mode=linear, antialias=1,
    coordinate_transformation_mode=half_pixel``, rounded to whole levels.
    """
    return np.asarray(Image.fromarray(patch).resize((size, size), Image.Resampling.BILINEAR))


def face_crop(
    image: Pixels, box: Sequence[float], framing: Framing = AIHUB_FRAMING, box_kind: str | None = None
) -> Pixels:
    """Return the crop of ``box`` from an upright image as uint8 [160, 160, 3].

    ``framing`` and ``box_kind`` are those of ``Framing.region``. Raises ValueError as ``Framing.region`` and ``cut``
    do.
    """
    return resize(cut(image, framing.region(box, box_kind)))


def enough_size(region: Region, width: int, height: int, size: int = SIZE) -> tuple[int, int]:
    """Return the smallest (width, height) at which an image may be decoded for a good crop of ``region``.

    The patch then still has 1.5 times the pixels of the crop on each side, so that the decoder's own reduction costs no
    visible detail. ``benchmarks/prepare.py`` prints the difference from a full decode.
    """
    scale = min(1.0, 1.5 * size / min(region[2:]))
    return math.ceil(width * scale), math.ceil(height * scale)


def reduced_crop(image: Reduced, region: Region, size: int = SIZE) -> Pixels:
    """Return the crop of ``region`` (in pixels of the full-size image) from a reduced image.

    For an image at full size the result equals ``resize(cut(image, region), size)``. Returns uint8 [size, size, 3],
    black outside the image. Raises ValueError as ``cut`` does.
    """
    x, y, region_width, region_height = region
    at_x, at_y, width, height = (
        value / image.divisor for value in (x - image.left, y - image.top, region_width, region_height)
    )
    left, top = math.floor(at_x), math.floor(at_y)
    columns, rows = math.ceil(width), math.ceil(height)
    # The filter reads one line beyond the box; where one axis has it, the other gets it too.
    spare = max(math.ceil(at_x + width) - left - columns, math.ceil(at_y + height) - top - rows)
    patch = Image.fromarray(cut(image.pixels, (left, top, columns + spare, rows + spare)))
    box = (at_x - left, at_y - top, at_x - left + width, at_y - top + height)
    return np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR, box=box))
