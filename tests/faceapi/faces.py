"""Synthetic photographs to test a detector's arithmetic: every shape, border, encoding and orientation."""

import io
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from pyojeong.core.geometry import Box
from pyojeong.core.images import Pixels
from pyojeong.core.labels import KOREAN
from pyojeong.sample.drawing import draw_face

# Seeds whose faces TinyFaceDetector finds clearly at every input size.
SEEDS = (6, 3, 4, 12, 11, 21)


def jpeg(pixels: Pixels, orientation: int = 1, **options: object) -> bytes:
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 92, "exif": exif, **options})
    return out.getvalue()


def png(pixels: Pixels) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@cache
def portrait(number: int, size: tuple[int, int] = (480, 640)) -> tuple[Pixels, Box]:
    """A synthetic photograph of ``size`` (width, height) and the box of its face."""
    seed = SEEDS[number % len(SEEDS)]
    return draw_face(KOREAN[seed % 7], seed, size)


def scenes() -> Iterator[tuple[str, bytes, Box]]:
    """Name, bytes of the image file, and an annotated box in its upright frame."""
    for number in range(6):
        pixels, box = portrait(number)
        yield f"single-{number}", jpeg(pixels), box
    yield from _crowds()
    yield from _shapes()
    yield from _cut_off()
    yield from _encodings()
    yield from _orientations()


def _crowds() -> Iterator[tuple[str, bytes, Box]]:
    for columns, rows in ((2, 1), (3, 1), (2, 2), (1, 2)):
        tiles = [portrait(number) for number in range(columns * rows)]
        lines = [np.hstack([tile for tile, _ in tiles[row * columns :][:columns]]) for row in range(rows)]
        yield f"crowd-{columns}x{rows}", jpeg(np.vstack(lines)), tiles[0][1]


def _shapes() -> Iterator[tuple[str, bytes, Box]]:
    sizes = ((641, 479), (417, 415), (415, 640), (113, 111), (225, 223), (1001, 1503), (64, 80), (33, 47), (416, 416))
    for number, size in enumerate(sizes):
        pixels, box = portrait(number, size)
        yield f"size-{size[0]}x{size[1]}", png(pixels), box
    pixels, box = portrait(0)
    gray = np.full((640, 1600, 3), 128, np.uint8)
    gray[:, 700:1180] = pixels
    yield "wide", jpeg(gray), (box[0] + 700, box[1], box[2] + 700, box[3])
    black = np.zeros((2001, 480, 3), np.uint8)
    black[900:1540] = pixels
    yield "tall", jpeg(black), (box[0], box[1] + 900, box[2], box[3] + 900)
    yield "one-pixel", png(np.full((1, 1, 3), 77, np.uint8)), (0, 0, 1, 1)
    yield "one-row", png(np.tile(np.arange(200, dtype=np.uint8)[None, :, None], (1, 1, 3))), (10, 0, 90, 1)


def _cut_off() -> Iterator[tuple[str, bytes, Box]]:
    pixels, (x0, y0, x1, y1) = portrait(3)
    middle_x, middle_y = round((x0 + x1) / 2), round((y0 + y1) / 2)
    quarter_x, quarter_y = round((x1 - x0) / 4), round((y1 - y0) / 4)
    cuts = {
        "left": (middle_x - quarter_x, 0, 480, 640),
        "right": (0, 0, middle_x + quarter_x, 640),
        "top": (0, middle_y - quarter_y, 480, 640),
        "bottom": (0, 0, 480, middle_y + quarter_y),
        "corner": (middle_x - quarter_x, middle_y - quarter_y, 480, 640),
    }
    for name, (left, top, right, bottom) in cuts.items():
        # The box keeps the part outside the image.
        yield f"cut-{name}", png(pixels[top:bottom, left:right]), (x0 - left, y0 - top, x1 - left, y1 - top)


def _encodings() -> Iterator[tuple[str, bytes, Box]]:
    pixels, box = portrait(4)
    gray = np.asarray(Image.fromarray(pixels).convert("L"))
    yield "gray-jpeg", jpeg(gray), box
    yield "gray-png", png(gray), box
    yield "progressive", jpeg(pixels, progressive=True), box
    yield "no-chroma-loss", jpeg(pixels, subsampling=0), box
    yield "alpha", png(np.dstack([pixels, np.full((640, 480), 200, np.uint8)])), box


def _orientations() -> Iterator[tuple[str, bytes, Box]]:
    pixels, box = portrait(5)
    for orientation in range(1, 9):
        yield f"exif-{orientation}", jpeg(stored_as(pixels, orientation), orientation), box


def stored_as(upright: Pixels, orientation: int) -> Pixels:
    """The pixels as stored by a camera that writes this EXIF orientation (1..8)."""
    turned = np.rot90(upright, {3: 2, 4: 2, 6: 1, 5: 1, 7: 3, 8: 3}.get(orientation, 0))
    if orientation in (2, 4):
        turned = turned[:, ::-1]
    if orientation in (5, 7):
        turned = turned[::-1]
    return np.ascontiguousarray(turned)
