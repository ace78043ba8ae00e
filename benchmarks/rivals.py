"""The detectors that the benchmarks compare: ours, face-api.js's TinyFaceDetector, and YuNet."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from pyojeong.core.geometry import Box, annotator_box, iou
from pyojeong.core.images import Pixels
from pyojeong.detection.detector import Detector
from pyojeong.detection.network import View
from pyojeong.faceapi.detector import FaceApi

Finder = Callable[[Pixels], list[Box]]
"""From an image to the boxes of its faces, best score first, each about as an annotator would draw it."""

YUNET_SCORE, YUNET_IOU = 0.7, 0.3
"""Least score and largest overlap of YuNet's faces."""

OURS, LOOK, TINY = "ours", "ours, one look", "TinyFaceDetector 416"


class YuNet:
    """YuNet on one thread: OpenCV Zoo's network (MIT), which is measured here and not shipped.

    Args:
        weights: the ONNX file.
        size: longer side of its input in pixels.
    """

    def __init__(self, weights: Path, size: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self._size = size

    def detect(self, image: Pixels) -> list[Box]:
        """Return the boxes of the faces in an RGB image, best score first."""
        view = View.of(image, self._size)
        height, width = (-(-length // 32) * 32 for length in view.pixels.shape[:2])
        pixels = np.zeros((1, 3, height, width), np.float32)
        pixels[0, :, : view.pixels.shape[0], : view.pixels.shape[1]] = view.pixels[..., ::-1].transpose(2, 0, 1)
        names = [output.name for output in self._session.get_outputs()]
        outputs = dict(zip(names, self._session.run(names, {"input": pixels}), strict=True))
        scored: list[tuple[float, Box]] = []
        for stride in (8, 16, 32):
            scored += _decoded(outputs, stride, width // stride, view)
        kept: list[Box] = []
        for _, box in sorted(scored, reverse=True):
            if all(iou(box, other) <= YUNET_IOU for other in kept):
                kept.append(box)
        return kept


def _decoded(outputs: dict[str, Any], stride: int, columns: int, view: View) -> list[tuple[float, Box]]:
    classes, objects, boxes = (outputs[f"{name}_{stride}"][0] for name in ("cls", "obj", "bbox"))
    scores = np.sqrt(classes[:, 0].clip(0, 1) * objects[:, 0].clip(0, 1))
    found = []
    for cell in np.nonzero(scores > YUNET_SCORE)[0]:
        row, column = divmod(int(cell), columns)
        center = (np.array([column, row]) + boxes[cell, :2]) * stride
        half = np.exp(boxes[cell, 2:]) * stride / 2
        low, high = ((center + sign * half) * view.scale + view.origin for sign in (-1, 1))
        found.append((float(scores[cell]), (float(low[0]), float(low[1]), float(high[0]), float(high[1]))))
    return found


def finders(yunet: Path) -> dict[str, Finder]:
    """Return every detector by name, each on one thread; YuNet's only where its weights are at hand."""
    ours = Detector(threads=1)
    found: dict[str, Finder] = {
        OURS: lambda image: [annotator_box(face.box, "blazeface") for face in ours.detect(image)]
    }
    for size in (416, 608):
        found[f"TinyFaceDetector {size}"] = _tiny(FaceApi(input_size=size, threads=1))
    for size in (320, 640) if yunet.is_file() else ():
        found[f"YuNet {size}"] = YuNet(yunet, size).detect
    return found


def _tiny(detector: FaceApi) -> Finder:
    return lambda image: [annotator_box(face.box) for face in detector.detect(image)]
