"""BlazeFace's network: views of an image in, scored faces with landmarks out.

The anchors, the decoding and the weighted suppression are MediaPipe's (Bazarevsky et al., "BlazeFace: Sub-millisecond
Neural Face Detection on Mobile GPUs", 2019).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pyojeong.core.alignment import Point
from pyojeong.core.geometry import Box, Region, iou
from pyojeong.core.images import Pixels
from pyojeong.detection.graph import graph_path

SIDE = 128
"""Side in pixels of the input that the network was trained on."""

SAME = 0.3
"""IoU from which on two finds are one face (MediaPipe's min_suppression_threshold)."""

# (pixels per cell, anchors per cell) of the two maps; an anchor is the center of its cell.
_MAPS = ((8, 2), (16, 6))
_LOGIT = 100  # MediaPipe's score_clipping_thresh
_SAMPLES = 2  # samples of the image in a pixel of the input, on each side; more are skipped


@dataclass(frozen=True)
class Detection:
    """A detected face.

    Attributes:
        box: minX, minY, maxX, maxY in pixels of the image, not clipped to it; about square, from the brows to the chin.
        score: the detector's confidence, 0..1.
        landmarks: x and y of the six ``alignment.LANDMARKS`` in pixels of the image.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...]


@dataclass(frozen=True)
class View:
    """A region of an image, resized to the network's input.

    Attributes:
        pixels: uint8 [h, w, 3], sides multiples of 16, black around the region.
        scale: pixels of the image in a pixel of the input, across and down.
        origin: x and y in the image of the input's upper left corner.
    """

    pixels: Pixels
    scale: Point
    origin: Point

    @classmethod
    def of(cls, image: Pixels, side: int, region: Region | None = None) -> "View":
        """Return the view of ``region`` (None: the whole image) whose longer side has ``side`` pixels.

        An image of more than ``2 * side`` pixels is thinned first, to every n-th pixel of every n-th row, and then
        resized with an antialiased triangle filter. Views of 128 pixels are squares, as in training; the network is
        convolutional, so larger ones need not be.
        """
        x, y, width, height = region or (0, 0, *image.shape[1::-1])
        longer = max(height, width)
        step = max(1, longer // (_SAMPLES * side))
        thin = _thinned(image, (x, y, width, height), step)
        columns, rows = (max(1, math.floor(length * side / longer + 0.5)) for length in (width, height))
        small = np.asarray(Image.fromarray(thin).resize((columns, rows), Image.Resampling.BILINEAR))
        across, down = (side, side) if side == SIDE else (-(-length // 16) * 16 for length in (columns, rows))
        left, top = (across - columns) // 2, (down - rows) // 2
        pixels = np.zeros((down, across, 3), np.uint8)
        pixels[top : top + rows, left : left + columns] = small
        scale = thin.shape[1] * step / columns, thin.shape[0] * step / rows
        return cls(pixels, scale, (x - left * scale[0], y - top * scale[1]))


def _thinned(image: Pixels, region: Region, step: int) -> Pixels:
    """Return every ``step``-th pixel of every ``step``-th row of a region, black outside the image.

    Nothing is copied at full size: the close look at a face that fills a photograph of 60 million pixels takes in four
    times as many.
    """
    x, y, width, height = region
    # From the middle of the first step on; a thin strip may be narrower than that.
    columns, rows = (
        range(start + min(step // 2, (length - 1) // 2), start + length, step)
        for start, length in ((x, width), (y, height))
    )
    in_x, in_y = _inside(columns, image.shape[1]), _inside(rows, image.shape[0])
    seen_x, seen_y = columns[in_x], rows[in_y]
    # numpy copies whole pixels in half the time of three bytes each.
    thin = np.zeros((len(rows), len(columns)), "V3")
    if seen_x and seen_y:
        pixels = np.ascontiguousarray(image).view("V3")[..., 0]
        thin[in_y, in_x] = pixels[seen_y[0] : seen_y[-1] + 1 : step, seen_x[0] : seen_x[-1] + 1 : step]
    return thin.view(np.uint8).reshape(*thin.shape, 3)


def _inside(lines: range, limit: int) -> slice:
    """Return the places of those lines that lie in an image of ``limit`` lines."""
    first = max(0, -(lines.start // lines.step))
    return slice(first, max(first, -((lines.start - limit) // lines.step)))


class Network:
    """The network on ``threads`` onnxruntime threads (0: onnxruntime decides); InputError without its weights."""

    def __init__(self, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Threads that spin between two photographs take the cores from the decoder.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(graph_path(), options, providers=["CPUExecutionProvider"])

    def finds(self, views: Sequence[View], least: float) -> list[list[Detection]]:
        """Return for each view, all of one size, what scores above ``least`` (0..1), in pixels of the image."""
        pixels = np.stack([view.pixels for view in views])
        outputs = map(np.asarray, self._session.run(["scores", "boxes"], {"image": pixels}))
        return [_decoded(scores, boxes, view, least) for scores, boxes, view in zip(*outputs, views, strict=True)]


def merged(finds: Sequence[Detection]) -> list[Detection]:
    """Return one face for each group of finds that overlap its best by more than ``SAME``, best score first.

    Box and landmarks are means weighted by the scores, and the score is the best one's: this follows a face more
    steadily than keeping the best find alone.
    """
    rest = sorted(finds, key=lambda find: -find.score)
    faces = []
    while rest:
        best = rest[0]
        group = [find for find in rest if find is best or iou(find.box, best.box) > SAME]
        faces.append(_weighted(group))
        rest = [find for find in rest if not any(find is one for one in group)]
    return faces


def _weighted(group: Sequence[Detection]) -> Detection:
    weights = np.array([find.score for find in group])
    values = np.array([[*find.box, *np.ravel(find.landmarks)] for find in group])
    mean = (weights[:, None] * values).sum(0) / weights.sum()
    return _detection(mean, group[0].score)


def _decoded(scores: NDArray[Any], geometry: NDArray[Any], view: View, least: float) -> list[Detection]:
    """Turn the network's outputs, scores [A, 1] and geometry [A, 16], into finds in pixels of the image."""
    kept = np.nonzero(scores[:, 0] > math.log(least / (1 - least)))[0]
    chances = 1 / (1 + np.exp(-scores[kept, 0].astype(np.float64).clip(-_LOGIT, _LOGIT)))
    anchors = _anchors(*view.pixels.shape[:2])[kept]
    values = geometry[kept].astype(np.float64).reshape(-1, 8, 2)
    centers, sides = values[:, 0] + anchors, values[:, 1]
    points = np.stack([centers - sides / 2, centers + sides / 2, *(values[:, 2:] + anchors[:, None]).swapaxes(0, 1)], 1)
    at_image = points * view.scale + view.origin
    return [_detection(row.ravel(), float(chance)) for row, chance in zip(at_image, chances, strict=True)]


@cache
def _anchors(height: int, width: int) -> NDArray[np.float64]:
    """Return the anchors' x and y [A, 2] in pixels of an input of ``height`` x ``width``."""
    maps = []
    for stride, count in _MAPS:
        y, x = np.mgrid[: height // stride, : width // stride]
        centers = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], 1) * stride
        maps.append(np.repeat(centers, count, 0))
    return np.concatenate(maps)


def _detection(values: NDArray[np.float64], score: float) -> Detection:
    """Return a detection from its 16 numbers: minX, minY, maxX, maxY, then x and y of the six landmarks."""
    min_x, min_y, max_x, max_y, *landmarks = map(float, values)
    return Detection((min_x, min_y, max_x, max_y), score, tuple(zip(landmarks[::2], landmarks[1::2], strict=True)))
