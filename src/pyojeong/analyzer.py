"""Find the faces of an image and classify each one, as the browser's ``EmotionAnalyzer`` does."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pyojeong import __version__
from pyojeong.classifier import Classifier
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import BOX_KINDS, SIZE, Box, box_dict, can_be_face, has_patch
from pyojeong.core.images import PROBLEMS, ImageError, ImageSource, Pixels, decode, pixels_of
from pyojeong.evaluation.contenders import FaceAnswer, PhotographAnswer
from pyojeong.faceapi.detector import Detection, FaceApi

MODEL = Path(__file__).parent / "pretrained" / "basic7_mnv3s_160_8bit.onnx"
"""The model that comes with the package; it has face-api's seven classes."""

CLOSE = 0.5
"""A face whose box is longer than this share of the image's longer side is detected again, see ``find_faces``."""

PADDING = 0.75
"""Padding of the second detection on each side, as a share of the longer side; see ``find_faces``."""

GRAY = 128
"""All three channels of the padding; close to the mean that TinyFaceDetector subtracts."""

ENOUGH = 416
"""Longest side in pixels that the second detection needs; the image takes 416 / 2.5 pixels of the detector's input."""


@dataclass(frozen=True)
class Face:
    """A face and its expression.

    Attributes:
        box: minX, minY, maxX, maxY of TinyFaceDetector in pixels of the upright image, not clipped to it.
        score: of the detector, 0..1.
        emotions: probability (0..1) by class name, in class order; they sum to 1.
        label: the most probable class.
    """

    box: Box
    score: float
    emotions: dict[str, float]
    label: str

    def to_dict(self) -> dict[str, Any]:
        """Return the face as JSON values, its box as ``{"minX", "minY", "maxX", "maxY"}``."""
        return {"box": box_dict(self.box), "score": self.score, "label": self.label, "emotions": self.emotions}


class Analyzer:
    """Finds the faces of an image and classifies each one.

    Args:
        model: an ONNX file of ``pyojeong export``; None is the package's own model.
        retry: whether to detect again where no face or a close face was found, see ``find_faces``.
        threads: threads per call; 0 lets onnxruntime choose.

    Attributes:
        classifier: the expression model.

    Raises:
        InputError: the model cannot be used, or the detector's weights are not installed.
    """

    def __init__(self, model: str | Path | None = None, *, retry: bool = True, threads: int = 0) -> None:
        if model is None and not MODEL.is_file():
            raise InputError(f"{MODEL}: the package's model is missing; install the package again, or name a model")
        self.classifier = Classifier(MODEL if model is None else Path(model), threads)
        self._detector = FaceApi(threads=threads)
        self._retry = retry

    def analyze(self, image: ImageSource) -> list[Face]:
        """Return the faces of an image, best detector score first; an image without faces gives an empty list.

        A face is left out where the crop that the model needs shows nothing of the image, or is more than three times
        as long.

        Args:
            image: one of

                - a path, or ``archive.zip!/member``, of a JPEG, PNG, WebP, BMP or GIF file,
                - the bytes of such a file,
                - a PIL image,
                - a uint8 array, upright: H x W x 3 (RGB), H x W x 4 (RGBA) or H x W (gray).

                EXIF orientation is applied. Transparency is ignored.

        Raises:
            ImageError: the file or the bytes cannot be read; a subclass of InputError.
            TypeError: ``image`` is none of these types.
            ValueError: an array of another shape or dtype.
        """
        pixels = pixels_of(image)
        height, width = pixels.shape[:2]
        detections = find_faces(self._detector, pixels) if self._retry else self._detector.detect(pixels)
        regions = [self.classifier.framing.region(detection.box, "detector") for detection in detections]
        return [
            self._classified(pixels, detection)
            for detection, region in zip(detections, regions, strict=True)
            if has_patch(region, width, height)
        ]

    def _classified(self, pixels: Pixels, detection: Detection) -> Face:
        emotions = self.classifier.predict(pixels, detection.box, box_kind="detector")
        return Face(detection.box, detection.score, emotions, max(emotions, key=emotions.__getitem__))


def find_faces(detector: FaceApi, image: Pixels) -> list[Detection]:
    """Detect faces, best score first; where none or a close one is found, detect again on a gray-padded copy.

    TinyFaceDetector misses a face that fills the image, and its boxes of a close face vary in size. The second
    detection sees every n-th pixel of every n-th row, n = ceil(longer side / 416). A face of the first detection is
    kept where its center lies in no box of the second.

    Of 300 East Asian portraits and their square crops of 1.3, 1.1, 1.0 and 0.9 times the face's box, the first
    detection misses 269 (n = 1500) and the second 5 of those; none of its boxes was off the face. On faces longer than
    half of the image it halves the spread of the box's size; on smaller ones it would widen it
    (``benchmarks/framing.py``).
    """
    detections = detector.detect(image)
    longest = max((_longer_side(detection.box) for detection in detections), default=math.inf)
    if longest <= CLOSE * max(image.shape[:2]):
        return detections
    second = _detect_padded(detector, image)
    kept = [first for first in detections if not any(_contains_center(again.box, first.box) for again in second)]
    return sorted(second + kept, key=lambda detection: -detection.score)


def face_boxes() -> Callable[[Pixels], list[Box]]:
    """Return a function that finds the boxes (of TinyFaceDetector) of all faces, as ``Analyzer`` does."""
    return partial(_boxes_in, FaceApi())


def _boxes_in(detector: FaceApi, image: Pixels) -> list[Box]:
    return [detection.box for detection in find_faces(detector, image)]


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _contains_center(box: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _detect_padded(detector: FaceApi, image: Pixels) -> list[Detection]:
    step = math.ceil(max(image.shape[:2]) / ENOUGH)
    small = image[::step, ::step]
    height, width = small.shape[:2]
    edge = math.floor(PADDING * max(height, width) + 0.5)
    padded = np.full((height + 2 * edge, width + 2 * edge, 3), GRAY, np.uint8)
    padded[edge : edge + height, edge : edge + width] = small

    def in_image(box: Box) -> Box:
        min_x, min_y, max_x, max_y = ((value - edge) * step for value in box)
        return min_x, min_y, max_x, max_y

    return [Detection(in_image(detection.box), detection.score) for detection in detector.detect(padded)]


@dataclass(frozen=True)
class ImageResult:
    """What ``analyze_files`` says about one image.

    Attributes:
        image: its path as given.
        width: of the upright image in pixels; 0 where it cannot be read.
        height: of the upright image.
        faces: best detector score first.
        error: why the image cannot be read, a key of ``images.PROBLEMS``; empty where it can.
    """

    image: str
    width: int = 0
    height: int = 0
    faces: list[Face] = field(default_factory=list)
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values; an unreadable image has ``error`` and ``message`` only."""
        if self.error:
            return {"image": self.image, "error": self.error, "message": PROBLEMS[self.error]}
        faces = [face.to_dict() for face in self.faces]
        return {"image": self.image, "width": self.width, "height": self.height, "faces": faces}


def analyze_files(paths: Iterable[str | Path], *, model: Path | None = None) -> Iterator[ImageResult]:
    """Analyze image files (or ``archive.zip!/member``) one at a time; an unreadable file is a result with an error.

    ``model`` is as for ``Analyzer``; InputError as there.
    """
    analyzer = Analyzer(model)
    for path in paths:
        try:
            pixels = pixels_of(path)
        except ImageError as error:
            yield ImageResult(str(path), error=error.reason)
            continue
        height, width = pixels.shape[:2]
        yield ImageResult(str(path), width, height, analyzer.analyze(pixels))


@dataclass(frozen=True)
class ModelContender:
    """An exported model behind ``find_faces`` as a contender, see ``evaluation.contenders.Contender``.

    Attributes:
        path: of the ONNX file.
        sha256: of its content.
        classes: class names in output order.
        box_kind: the kind of the boxes given to it, one of ``geometry.BOX_KINDS``.
    """

    path: Path
    sha256: str
    classes: tuple[str, ...]
    box_kind: str = "annotator"

    @classmethod
    def load(cls, path: str | Path | None = None, box_kind: str = "annotator") -> "ModelContender":
        """Return the model in ``path``; None is the package's own. InputError when it cannot be used."""
        check_choice("kind of box", box_kind, BOX_KINDS)
        path = MODEL if path is None else Path(path)
        classes = Classifier(path).classes
        return cls(path.absolute(), _sha256(path), classes, box_kind)

    @property
    def title(self) -> str:
        return self.path.stem

    def facts(self) -> dict[str, Any]:
        return {
            "model": self.path.name,
            "model_sha256": self.sha256,
            "box_kind": self.box_kind,
            "version": __version__,
        }

    def open(self, threads: int = 0) -> "ModelEngine":
        """Return the engine; InputError when the file changed, or differs on this machine."""
        if not self.path.is_file() or _sha256(self.path) != self.sha256:
            raise InputError(f"{self.path}: changed since the evaluation began; start it again")
        return ModelEngine(self.path, self.box_kind, threads)


class ModelEngine:
    """``Analyzer`` on the bytes of photographs, see ``contenders.Engine``; given boxes are of ``box_kind``."""

    def __init__(self, model: Path, box_kind: str, threads: int = 0) -> None:
        self._analyzer = Analyzer(model, threads=threads)
        self._box_kind = box_kind

    def analyze(self, data: bytes, boxes: Sequence[Box | None] = ()) -> PhotographAnswer:
        pixels = decode(data)
        faces = [FaceAnswer(face.box, face.score, [*face.emotions.values()]) for face in self._analyzer.analyze(pixels)]
        height, width = pixels.shape[:2]
        return PhotographAnswer(width, height, faces, [self._given(pixels, box) for box in boxes])

    def _given(self, pixels: Pixels, box: Box | None) -> list[float] | None:
        classifier = self._analyzer.classifier
        height, width = pixels.shape[:2]
        if box and not can_be_face(box, width, height):
            return None
        if box and not has_patch(classifier.framing.region(box, self._box_kind), width, height):
            # Other contenders answer for such a box too, so this one classifies a black patch.
            return [*map(float, classifier.predict_patches([np.zeros((SIZE, SIZE, 3), np.uint8)])[0])]
        return [*classifier.predict(pixels, box, box_kind=self._box_kind).values()]

    def close(self) -> None:
        """Nothing needs closing."""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
