"""The pixels that the networks see: face-api's padding to a square and tfjs's bilinear resize, bit for bit."""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyojeong.core.images import Pixels

_BLOCK = 32
"""Lines resampled at a time, so that intermediate results stay in the processor's cache."""

Samples = npt.NDArray[np.float32]
Precision = type[np.floating[Any]]


class Raster(NamedTuple):
    """An image of ``width`` x ``height`` pixels, held in full or reduced (see ``images.Reduced``).

    Attributes:
        pixels: uint8 [h, w, 3], upright.
        width: columns of the full image.
        height: rows of the full image.
        divisor: one pixel stands for ``divisor`` x ``divisor`` of the full image; 1 if it is not reduced.
        left: column of the full image at which column 0 of ``pixels`` begins.
        top: the same for rows.
    """

    pixels: Pixels
    width: int
    height: int
    divisor: int = 1
    left: int = 0
    top: int = 0


class _Taps(NamedTuple):
    """For each target position the two source indices, the weight of the second, and whether they are padding."""

    low: npt.NDArray[np.intp]
    high: npt.NDArray[np.intp]
    share: npt.NDArray[Any]
    low_outside: npt.NDArray[np.bool_]
    high_outside: npt.NDArray[np.bool_]


def as_raster(image: Pixels | Raster) -> Raster:
    """Return ``image`` as a raster; a plain array uint8 [H, W, 3] is a full one."""
    return image if isinstance(image, Raster) else Raster(image, image.shape[1], image.shape[0])


def sample(
    raster: Raster, region: tuple[int, int, int, int], size: int, precision: Precision, *, centered: bool
) -> Samples:
    """Crop a region, pad it to a square with zeros and resize it bilinearly, as face-api and tfjs do.

    On a full raster the result equals the library's bit for bit (tfjs resizeBilinear with alignCorners and
    halfPixelCenters false: source position = target position x side / size, no smoothing). A reduced raster is sampled
    at the same positions, but its pixels are smoother.

    Args:
        raster: the image.
        region: x, y, width, height in pixels of the full image, inside it; the square's side is the longer one.
        size: side of the result.
        precision: float32 for tfjs's wasm kernel, float64 for its JS kernel.
        centered: pad on both sides (expression net), else right and below (detector).

    Returns:
        float32 [size, size, 3] in 0..255.
    """
    x, y, width, height = region
    side = max(width, height)
    # face-api's NetInput appends round(gap / 2) and puts the rest in front.
    left, top = (side - length - round_half_up((side - length) * 0.5) if centered else 0 for length in (width, height))
    rows, columns = raster.pixels.shape[:2]
    across = _taps(size, side, left, width, precision)
    down = _taps(size, side, top, height, precision)
    across = _in_raster(across, x - left, raster.left, raster.divisor, columns)
    down = _in_raster(down, y - top, raster.top, raster.divisor, rows)

    horizontal = _Columns(across)
    out = np.empty((size, size * 3), np.float32)
    for start in range(0, size, _BLOCK):
        part = slice(start, start + _BLOCK)
        upper = horizontal.interpolate(raster.pixels[down.low[part]], down.low_outside[part])
        lower = horizontal.interpolate(raster.pixels[down.high[part]], down.high_outside[part])
        lower -= upper
        lower *= down.share[part, None]
        np.add(upper, lower, out=out[part], casting="same_kind")
    return out.reshape(size, size, 3)


def round_half_up(value: float) -> int:
    """JavaScript's Math.round."""
    return math.floor(value + 0.5)


def _taps(size: int, side: int, before: int, length: int, precision: Precision) -> _Taps:
    """Return the taps of one axis in the padded square, whose first ``before`` positions are padding."""
    position = np.arange(size, dtype=precision) * (precision(side) / precision(size))
    low = position.astype(np.intp)
    high = np.minimum(low + 1, side - 1)
    outside = [(index < before) | (index >= before + length) for index in (low, high)]
    return _Taps(low, high, position - low.astype(precision), outside[0], outside[1])


def _in_raster(taps: _Taps, begin: int, origin: int, divisor: int, count: int) -> _Taps:
    """Move taps to the raster's own grid; the square begins at ``begin`` in the full image."""
    if divisor == 1:
        low, high = (np.clip(index + begin, 0, count - 1) for index in (taps.low, taps.high))
        return taps._replace(low=low, high=high)
    # The center of a reduced pixel is the mean of the centers of the pixels it stands for.
    position = (taps.low + taps.share + (begin - origin) + 0.5) / divisor - 0.5
    position = np.clip(position, 0, count - 1).astype(taps.share.dtype)
    low = position.astype(np.intp)
    return _Taps(low, np.minimum(low + 1, count - 1), position - low.astype(position.dtype), *taps[3:])


class _Columns:
    """Horizontal interpolation, prepared once for many lines."""

    def __init__(self, taps: _Taps) -> None:
        channels = np.arange(3)
        self._low, self._high = ((index[:, None] * 3 + channels).ravel() for index in (taps.low, taps.high))
        self._share = np.repeat(taps.share, 3)
        self._low_outside, self._high_outside = (
            np.flatnonzero(np.repeat(mask, 3)) for mask in (taps.low_outside, taps.high_outside)
        )

    def interpolate(self, rows: Pixels, outside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """Interpolate rows [n, w, 3] horizontally: [n, columns * 3], zero in the rows that are ``outside``."""
        lines = rows.reshape(len(rows), -1)
        low, high = (lines.take(index, axis=1).astype(self._share.dtype) for index in (self._low, self._high))
        low[:, self._low_outside] = 0
        high[:, self._high_outside] = 0
        # In place and in tfjs's order of operations: low + (high - low) * share.
        high -= low
        high *= self._share
        low += high
        low[outside] = 0
        return low
