"""Face detection and expression recognition with the arithmetic of face-api's tensor path."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import Box
from pyojeong.core.images import Pixels
from pyojeong.faceapi.nets import graph_path
from pyojeong.faceapi.sampling import Raster, Samples, as_raster, round_half_up, sample

LIBRARIES = ("vladmandic", "original")
"""``vladmandic``: @vladmandic/face-api on its wasm backend. ``original``: face-api.js 0.22.2 on the JS backend."""

IOU_LIMIT = 0.4
"""Two detections with a higher IoU are one face (TinyFaceDetector's own constant)."""

ANCHORS = np.array(
    [(1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308)]
)
"""Width and height of TinyFaceDetector's five anchors, in cells."""

EXPRESSION_SIZE = 112
"""Side of FaceExpressionNet's input in pixels."""


@dataclass(frozen=True)
class Detection:
    """A detected face.

    Attributes:
        box: minX, minY, maxX, maxY in pixels of the image, not clipped to it.
        score: the detector's confidence, above the threshold and below 1.
    """

    box: Box
    score: float


class FaceApi:
    """TinyFaceDetector and FaceExpressionNet.

    Args:
        library: the one of ``LIBRARIES`` whose results to reproduce.
        input_size: side of the detector's input, a multiple of 32.
        score_threshold: detections must score above it, between 0 and 1.
        threads: number of onnxruntime threads; 0 lets onnxruntime decide.

    Raises:
        InputError: an argument is out of range, or the weights are not installed.
    """

    def __init__(
        self,
        library: str = "vladmandic",
        input_size: int = 416,
        score_threshold: float = 0.5,
        threads: int = 0,
    ) -> None:
        check_options(library, input_size, score_threshold)
        self.input_size = input_size
        self.score_threshold = score_threshold
        # tfjs's wasm kernel works in float32 throughout, its JS kernel in doubles that are stored as float32.
        self.precision: type[np.floating[Any]] = np.float32 if library == "vladmandic" else np.float64
        self._divisor = np.array(255 if library == "vladmandic" else 256, np.float32)
        self._detector = _session("tiny_face_detector", threads)
        self._expression = _session("face_expression", threads)

    def detect(self, image: Pixels | Raster) -> list[Detection]:
        """Find the faces in an upright RGB image, best score first.

        Args:
            image: uint8 [H, W, 3], or a ``Raster``, which may be reduced.
        """
        raster = as_raster(image)
        pixels = sample(raster, (0, 0, raster.width, raster.height), self.input_size, self.precision, centered=False)
        cells = self.cells(without_padding(pixels, raster.width, raster.height))
        return self.decode_cells(cells, raster.width, raster.height)

    def expressions(self, image: Pixels | Raster, boxes: Sequence[Box]) -> Samples:
        """Return probabilities float32 [N, 7] in the order of ``labels.FACEAPI``, one row per box.

        A box (minX, minY, maxX, maxY in pixels) is cropped as in face-api: no margin, no alignment. If it lies wholly
        outside the image, the row is NaN.
        """
        raster = as_raster(image)
        probabilities = np.full((len(boxes), 7), np.nan, np.float32)
        for row, box in zip(probabilities, boxes, strict=True):
            patch = crop_rectangle(box, raster.width, raster.height)
            if patch[2] > 0 and patch[3] > 0:
                # One at a time: in a batch, a row's last digits would depend on the other rows.
                pixels = sample(raster, patch, EXPRESSION_SIZE, self.precision, centered=True)
                row[:] = self._expression.run(None, {"pixels": pixels[None]})[0][0]
        return probabilities

    def cells(self, pixels: Samples) -> Samples:
        """Run the detector net on sampled pixels [S, S, 3] in 0..255; return raw cells [S/32, S/32, 5, 5].

        ``without_padding`` may have removed rows at the bottom or columns on the right.
        """
        cells: Samples = self._detector.run(None, {"pixels": pixels[None], "divisor": self._divisor})[0][0]
        return cells.reshape(*cells.shape[:2], 5, 5)

    def decode_cells(self, cells: Samples, width: int, height: int) -> list[Detection]:
        """Turn raw cells into faces of an image of ``width`` x ``height`` pixels (TinyFaceDetector's extractBoxes)."""
        values = cells.astype(np.float64)
        scores = _sigmoid(values[..., 4])
        row, column, anchor = np.nonzero(scores > self.score_threshold)
        tx, ty, tw, th = values[row, column, anchor, :4].T
        score = scores[row, column, anchor]
        count = len(cells)
        sides = _grid(width, height, self.input_size)
        if not min(sides):
            return []
        stretch_x, stretch_y = (max(sides) / side for side in sides)
        w = np.exp(tw) * ANCHORS[anchor, 0] / count * stretch_x
        h = np.exp(th) * ANCHORS[anchor, 1] / count * stretch_y
        x = (column + _sigmoid(tx)) / count * stretch_x - w / 2
        y = (row + _sigmoid(ty)) / count * stretch_y - h / 2
        # The library stores corners and computes the size from them; (x + w) - x is not w in floating point.
        boxes = np.stack([x, y, (x + w) - x, (y + h) - y], axis=1)
        kept = suppress(boxes, score)
        return [Detection(_to_pixels(boxes[index], width, height), float(score[index])) for index in kept]


def without_padding(pixels: Samples, width: int, height: int) -> Samples:
    """Remove most of the black padding below, or to the right of, the image; the detector net needs little of it.

    Args:
        pixels: [S, S, 3], the sampled image.
        width: of the image, in any unit.
        height: of the image, in the same unit.
    """
    size, side = len(pixels), max(width, height)
    rows, columns = (_even_with_padding(length * size / side, size) for length in (height, width))
    return np.ascontiguousarray(pixels[:rows, :columns])


def _even_with_padding(length: float, size: int) -> int:
    # One line more than the image has, against rounding; four black lines feed one row of the pooled first layer.
    return min(size, 2 * math.ceil((length + 1) / 2) + 4)


def check_options(library: str, input_size: int, score_threshold: float) -> None:
    """Raise InputError unless the library accepts these options of the detector."""
    check_choice("library", library, LIBRARIES)
    if input_size <= 0 or input_size % 32:
        raise InputError(f"the detector's input size is {input_size}; it must be a multiple of 32, such as 416")
    if not 0 < score_threshold < 1:
        raise InputError(f"the score threshold is {score_threshold}; it must lie between 0 and 1, such as 0.5")


def crop_rectangle(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the patch (x, y, width, height) that face-api crops for ``box`` (Box.clipAtImageBorders).

    Position and size are floored separately; a size of 0 or less means that the box lies outside the image.
    """
    min_x, min_y, max_x, max_y = box
    x, y = max(min_x, 0.0), max(min_y, 0.0)
    return (
        math.floor(x),
        math.floor(y),
        math.floor(min(max_x - x, width - x)),
        math.floor(min(max_y - y, height - y)),
    )


def suppress(boxes: npt.NDArray[np.float64], scores: npt.NDArray[np.float64]) -> list[int]:
    """Non-maximum suppression of boxes [N, 4] (x, y, width, height): indices kept, best score first."""
    order = np.argsort(scores, kind="stable")
    kept = []
    while len(order):
        best, order = order[-1], order[:-1]
        kept.append(int(best))
        order = order[_overlap(boxes[best], boxes[order]) <= IOU_LIMIT]
    return kept


def _session(model: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin between two photographs take the cores from the decoder.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(graph_path(model), options, providers=providers)


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _grid(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height of the image in the detector's pixels; in a thin strip the shorter may be 0."""
    scale = size / max(width, height)
    return round_half_up(width * scale), round_half_up(height * scale)


def _overlap(box: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    (x, y, w, h), (xs, ys, ws, hs) = box, others.T
    across = np.maximum(0, np.minimum(x + w, xs + ws) - np.maximum(x, xs))
    down = np.maximum(0, np.minimum(y + h, ys + hs) - np.maximum(y, ys))
    shared = across * down
    overlap: npt.NDArray[np.float64] = shared / (w * h + ws * hs - shared)
    return overlap


def _to_pixels(box: npt.NDArray[np.float64], width: int, height: int) -> Box:
    x, y, w, h = (float(value) * side for value, side in zip(box, (width, height) * 2, strict=True))
    return x, y, x + w, y + h
