"""Faces and their expressions in one call, as the browser's ``EmotionAnalyzer`` gives them. No PyTorch needed."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyojeong import __version__
from pyojeong.classifier import Classifier
from pyojeong.core.errors import InputError
from pyojeong.core.geometry import BOX_KINDS, SIZE, Box, box_dict, can_be_face, has_patch
from pyojeong.core.images import ImageError, Pixels, decode
from pyojeong.evaluation.contenders import FaceAnswer, PhotographAnswer
from pyojeong.faceapi.detector import Detection, FaceApi
from pyojeong.faceapi.faces import read_anywhere

MODEL = Path(__file__).parent / "pretrained" / "basic7_mnv3s_160_8bit.onnx"
"""The model that comes with the package: face-api's seven classes."""

CLOSE = 0.5
"""A face whose box is longer than this share of the frame's longer side is looked at again; see ``find_faces``."""

PADDING = 0.75
"""Of the second look, on each side, as a share of the longer side; see ``find_faces``."""

GRAY = 128
"""All three channels of the padding; near the mean that TinyFaceDetector subtracts."""

ENOUGH = 416
"""Pixels of the longer side that a second look needs at most: in its input the frame takes 416 / 2.5 of them."""


@dataclass(frozen=True)
class FaceEmotions:
    """A face and what it expresses.

    Attributes:
        box: minX, minY, maxX, maxY of TinyFaceDetector in pixels of the image, not clipped to it.
        score: of the detector, 0..1.
        emotions: probability (0..1) by class name, in class order, sum 1.
        label: the most probable class.
    """

    box: Box
    score: float
    emotions: dict[str, float]
    label: str


class EmotionAnalyzer:
    """Finds the faces of an image and classifies each.

    Args:
        model: an ONNX file of ``pyojeong export``; None is the package's own.
        retry: whether an image in which no face, or a close one, is found is searched again, see ``find_faces``.
        threads: threads of one call; 0 leaves the choice to onnxruntime.

    Attributes:
        classifier: what classifies the faces.

    Raises:
        InputError: the model cannot be used, or the detector's weights are not installed.
    """

    def __init__(self, model: Path | None = None, *, retry: bool = True, threads: int = 0) -> None:
        if model is None and not MODEL.is_file():
            raise InputError(f"{MODEL}: the package's model is missing; install the package again, or name a model")
        self.classifier = Classifier(model or MODEL, threads)
        self._detector = FaceApi(threads=threads)
        self._retry = retry

    def analyze(self, image: Pixels) -> list[FaceEmotions]:
        """Return the faces of an upright RGB image (uint8 [H, W, 3], as ``images.decode`` gives it), best score first.

        A face whose patch would show nothing of the image, or be more than three times as long, is left out.
        """
        height, width = image.shape[:2]
        found = find_faces(self._detector, image) if self._retry else self._detector.detect(image)
        regions = [self.classifier.region(face.box, "detector") for face in found]
        seen = [face for face, region in zip(found, regions, strict=True) if has_patch(region, width, height)]
        return [self._classified(image, face) for face in seen]

    def _classified(self, image: Pixels, face: Detection) -> FaceEmotions:
        emotions = self.classifier.predict(image, face.box, box_kind="detector")
        return FaceEmotions(face.box, face.score, emotions, max(emotions, key=emotions.__getitem__))


def find_faces(detector: FaceApi, image: Pixels) -> list[Detection]:
    """Return the detector's faces, best score first; where there are none or close ones, look again, amid gray.

    TinyFaceDetector misses a face that fills its frame, and frames one that nearly does now tighter, now wider. The
    second look is at every n-th pixel of every n-th line, n = ceil(longer side / 416). A face of the first look counts
    beside those of the second where its center lies in none of them.

    Of 300 East Asian portraits and their square crops of 1.3, 1.1, 1.0 and 0.9 times the face's box, the first look
    misses 269 (n = 1500), the second 5 of those; none of its boxes lay elsewhere than on the face. On faces longer
    than half of the frame it halves the spread of the box's size; on smaller ones it would widen it
    (``benchmarks/framing.py``).
    """
    found = detector.detect(image)
    longest = max((_longer(face.box) for face in found), default=math.inf)
    if longest <= CLOSE * max(image.shape[:2]):
        return found
    again = _find_padded(detector, image)
    others = [face for face in found if not any(_holds_center(close.box, face.box) for close in again)]
    return sorted(again + others, key=lambda face: -face.score)


def _longer(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _holds_center(box: Box, other: Box) -> bool:
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _find_padded(detector: FaceApi, image: Pixels) -> list[Detection]:
    step = math.ceil(max(image.shape[:2]) / ENOUGH)
    small = image[::step, ::step]
    height, width = small.shape[:2]
    edge = math.floor(PADDING * max(height, width) + 0.5)
    padded = np.full((height + 2 * edge, width + 2 * edge, 3), GRAY, np.uint8)
    padded[edge : edge + height, edge : edge + width] = small

    def back(box: Box) -> Box:
        min_x, min_y, max_x, max_y = ((value - edge) * step for value in box)
        return min_x, min_y, max_x, max_y

    return [Detection(back(face.box), face.score) for face in detector.detect(padded)]


def emotions(paths: Iterable[str | Path], *, model: Path | None = None) -> Iterator[dict[str, Any]]:
    """Analyze image files (or ``archive.zip!/member``), one result at a time.

    Args:
        paths: the images.
        model: as ``EmotionAnalyzer`` takes it.

    Yields:
        ``{"image", "width", "height", "faces": [{"box": {"minX", ...}, "score", "label", "emotions": {class: p}}]}``
        with boxes in pixels of the upright image and the best score first, or ``{"image", "error": reason}``.

    Raises:
        InputError: as ``EmotionAnalyzer``.
    """
    analyzer = EmotionAnalyzer(model)
    for path in paths:
        try:
            image = decode(read_anywhere(str(path)))
        except ImageError as error:
            yield {"image": str(path), "error": error.reason}
            continue
        height, width = image.shape[:2]
        faces = [_spelled(face) for face in analyzer.analyze(image)]
        yield {"image": str(path), "width": width, "height": height, "faces": faces}


def _spelled(face: FaceEmotions) -> dict[str, Any]:
    return {"box": box_dict(face.box), "score": face.score, "label": face.label, "emotions": face.emotions}


@dataclass(frozen=True)
class OurModel:
    """An exported model behind ``find_faces`` as a contender, see ``evaluation.contenders.Contender``.

    Attributes:
        path: of the ONNX file.
        sha256: of its content.
        classes: what it answers with.
        box_kind: whose boxes are given, of ``geometry.BOX_KINDS``.
    """

    path: Path
    sha256: str
    classes: tuple[str, ...]
    box_kind: str = "annotator"

    @classmethod
    def at(cls, path: Path | None = None, box_kind: str = "annotator") -> "OurModel":
        """Return the model in ``path``, None is the package's own; InputError when it cannot be used."""
        if box_kind not in BOX_KINDS:
            raise InputError(f"there is no kind of box {box_kind!r}; choose {' or '.join(BOX_KINDS)}")
        path = path or MODEL
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
        """Return what analyzes; InputError when the file is no longer the same, or is another on this machine."""
        if not self.path.is_file() or _sha256(self.path) != self.sha256:
            raise InputError(f"{self.path}: is not the model that the work began with; start again")
        return ModelEngine(self.path, self.box_kind, threads)


class ModelEngine:
    """``EmotionAnalyzer`` on the bytes of photographs, see ``contenders.Engine``; given boxes are of ``box_kind``."""

    def __init__(self, model: Path, box_kind: str, threads: int = 0) -> None:
        self._analyzer = EmotionAnalyzer(model, threads=threads)
        self._box_kind = box_kind

    def analyze(self, data: bytes, boxes: Sequence[Box | None] = ()) -> PhotographAnswer:
        image = decode(data)
        faces = [FaceAnswer(face.box, face.score, [*face.emotions.values()]) for face in self._analyzer.analyze(image)]
        height, width = image.shape[:2]
        return PhotographAnswer(width, height, faces, [self._given(image, box) for box in boxes])

    def _given(self, image: Pixels, box: Box | None) -> list[float] | None:
        classifier = self._analyzer.classifier
        height, width = image.shape[:2]
        if box and not can_be_face(box, width, height):
            return None
        if box and not has_patch(classifier.region(box, self._box_kind), width, height):
            # Other contenders are asked about such a box as well, so it has an answer here too: to a black patch.
            return [*map(float, classifier.predict_patches([np.zeros((SIZE, SIZE, 3), np.uint8)])[0])]
        return [*classifier.predict(image, box, box_kind=self._box_kind).values()]

    def close(self) -> None:
        """Nothing stays open."""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
