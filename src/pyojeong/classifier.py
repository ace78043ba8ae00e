"""Run an exported model from Python: an image and a face box in, probabilities by class name out."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pyojeong.core import geometry
from pyojeong.core.alignment import Point, cut_turned, face_points, turned_region
from pyojeong.core.errors import InputError
from pyojeong.core.files import require_file
from pyojeong.core.geometry import Framing
from pyojeong.core.images import Pixels

_BATCH = 64
UNSURE_BELOW = "unsure_below"
"""Key of the metadata that holds ``Classifier.unsure_below``."""

_REQUIRED = ("classes", "scheme", "margin", "offset", "box_kind", "version")


class Classifier:
    """An ONNX file written by ``pyojeong export``; one instance may be used from several threads.

    Args:
        model: the file.
        threads: threads per call; 0 lets onnxruntime choose.

    Attributes:
        classes: class names in output order.
        scheme: name of the label scheme.
        framing: of the crop that the network expects.
        version: version of pyojeong that wrote the file.
        colors: class -> its color as ``#rrggbb``, where it has one.
        unsure_below: an answer whose highest probability is lower is unsure; 0 where the file states none.

    Raises:
        InputError: the file is missing, damaged, or was not written by ``pyojeong export``.
    """

    def __init__(self, model: Path, threads: int = 0) -> None:
        require_file(model, "make one with pyojeong export")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Expands 8-bit weights once, here, instead of at every run.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            providers = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise InputError(f"{model}: not readable as ONNX ({str(error).splitlines()[0]})") from None
        metadata = self._session.get_modelmeta().custom_metadata_map
        if missing := [name for name in _REQUIRED if name not in metadata]:
            raise InputError(
                f"{model}: no {', '.join(missing)} in its metadata; export it again with this version of pyojeong"
            )
        self.classes = _classes(metadata["classes"], self._session.get_outputs()[0].shape[-1], model)
        self.scheme = metadata["scheme"]
        self.framing = _framing(metadata, model)
        self.version = metadata["version"]
        self.colors = _colors(metadata.get("colors", ""))
        self.unsure_below = _unsure_below(metadata, model)

    def predict(
        self,
        image: Pixels,
        box: Sequence[float] | None = None,
        *,
        box_kind: str | None = None,
        landmarks: Sequence[Point] | None = None,
    ) -> dict[str, float]:
        """Return the probability (0..1) of each class.

        Args:
            image: upright RGB, uint8 [H, W, 3], as ``images.decode`` returns it.
            box: the face: minX, minY, maxX, maxY in pixels. None takes the whole image as a finished crop, which is
                square whatever the model's aspect; other shapes are padded with black.
            box_kind: the kind of ``box``, see ``Framing.region``.
            landmarks: the face's ``alignment.LANDMARKS`` in pixels; a model aligned by landmarks uses them instead of
                the box, any other ignores them.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], the box has no area, the kind of box does not exist, or the
                landmarks do not span a face.
        """
        (row,) = self.predict_patches([self.patch(image, box, box_kind=box_kind, landmarks=landmarks)])
        return dict(zip(self.classes, map(float, row), strict=True))

    def patch(
        self,
        image: Pixels,
        box: Sequence[float] | None = None,
        *,
        box_kind: str | None = None,
        landmarks: Sequence[Point] | None = None,
    ) -> Pixels:
        """Return the patch, uint8 [H, W, 3], that the network sees of a face; see ``predict``."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
        if landmarks is not None and self.framing.aligned_by == "landmarks":
            return cut_turned(image, turned_region(face_points(landmarks)))
        height, width = image.shape[:2]
        if box is None:
            return geometry.cut(image, geometry.patch_region((0, 0, width, height), 0))
        return geometry.cut(image, self.framing.region(box, box_kind))

    def predict_patches(self, patches: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return probabilities, float32 [N, K], of face patches uint8 [H, W, 3] of any sizes."""
        result = np.empty((len(patches), len(self.classes)), np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, patch in enumerate(patches):
            by_shape.setdefault(patch.shape, []).append(index)
        for indices in by_shape.values():
            for start in range(0, len(indices), _BATCH):
                batch = indices[start : start + _BATCH]
                images = np.stack([patches[index] for index in batch])
                result[batch] = np.asarray(self._session.run(None, {"image": images})[0])
        return result


def _classes(text: str, outputs: object, model: Path) -> tuple[str, ...]:
    try:
        classes = json.loads(text)
    except ValueError:
        classes = None
    if not isinstance(classes, list) or (isinstance(outputs, int) and len(classes) != outputs):
        raise InputError(f"{model}: has the classes {text!r} for {outputs} outputs; export it again")
    return tuple(classes)


def _framing(metadata: Mapping[str, str], model: Path) -> Framing:
    box_kind = metadata["box_kind"]
    if box_kind not in geometry.BOX_KINDS:
        raise InputError(
            f"{model}: needs boxes of kind {box_kind!r}, which this version does not know; update pyojeong"
        )
    aligned_by = metadata.get("aligned_by", "box")
    if aligned_by not in geometry.ALIGNMENTS:
        raise InputError(f"{model}: is aligned by {aligned_by!r}, which this version does not know; update pyojeong")
    # A file without an aspect has square crops.
    numbers = {"margin": metadata["margin"], "offset": metadata["offset"], "aspect": metadata.get("aspect", "1")}
    values = {name: _number(text) for name, text in numbers.items()}
    low, high = geometry.ASPECTS
    for name, value in values.items():
        if not math.isfinite(value) or (name == "aspect" and not low <= value <= high):
            limits = f" from {low} to {high}" if name == "aspect" else ""
            raise InputError(f"{model}: its crop {name} is {numbers[name]!r}, not a number{limits}; export it again")
    return Framing(**values, box_kind=box_kind, aligned_by=aligned_by)


def _colors(text: str) -> dict[str, str]:
    try:
        colors = json.loads(text)
    except ValueError:
        return {}
    return colors if isinstance(colors, dict) else {}


def _unsure_below(metadata: Mapping[str, str], model: Path) -> float:
    text = metadata.get(UNSURE_BELOW, "0")
    value = _number(text)
    if not 0 <= value <= 1:
        raise InputError(f"{model}: its {UNSURE_BELOW} is {text!r}, not a probability; export it again")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
