"""Find the faces of an image and classify each one, as the browser's ``EmotionAnalyzer`` does."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyojeong import __version__
from pyojeong.classifier import Classifier
from pyojeong.core.alignment import LANDMARKS, Point
from pyojeong.core.errors import InputError, check_choice
from pyojeong.core.geometry import BOX_KINDS, SIZE, Box, box_dict, can_be_face, has_patch
from pyojeong.core.images import ImageSource, Pixels, decode, pixels_of
from pyojeong.detection.detector import MIN_FACE, Detector
from pyojeong.detection.network import Detection
from pyojeong.evaluation.contenders import FaceAnswer, PhotographAnswer

MODEL = Path(__file__).parent / "pretrained" / "basic7_mnv3s_160_8bit.onnx"
"""The model that comes with the package; it has face-api's seven classes."""


@dataclass(frozen=True)
class Face:
    """A face and its expression.

    Attributes:
        box: minX, minY, maxX, maxY in pixels of the upright image, not clipped to it; see ``detection.network``.
        score: of the detector, 0..1.
        landmarks: x and y of the ``alignment.LANDMARKS`` in pixels, by name.
        emotions: probability (0..1) by class name, in class order; they sum to 1.
        label: the most probable class.
        unsure: whether the model's threshold calls that answer unsure; never where the model has none.
        id: number of the face in its film, from 1 on; None in a single picture.
    """

    box: Box
    score: float
    landmarks: dict[str, Point]
    emotions: dict[str, float]
    label: str
    unsure: bool = False
    id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the face as JSON values: the box as ``{"minX", "minY", "maxX", "maxY"}``, landmarks as ``[x, y]``."""
        landmarks = {name: [*point] for name, point in self.landmarks.items()}
        return {
            "id": self.id,
            "box": box_dict(self.box),
            "score": self.score,
            "landmarks": landmarks,
            "label": self.label,
            "unsure": self.unsure,
            "emotions": self.emotions,
        }


class Analyzer:
    """Finds the faces of an image and classifies each one.

    Args:
        model: an ONNX file of ``pyojeong export``; None is the package's own model.
        min_face: smallest face to find, as a share of the image's longer side; see ``detection.detector.Detector``.
        thorough: whether to look for small faces behind a near one as well, at several times the time; see there.
        threads: threads per call; 0 lets onnxruntime choose.

    Attributes:
        classifier: the expression model.

    Raises:
        InputError: the model cannot be used, ``min_face`` is out of range, or the detector's weights are not installed.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        min_face: float = MIN_FACE,
        thorough: bool = False,
        threads: int = 0,
    ) -> None:
        if model is None and not MODEL.is_file():
            raise InputError(f"{MODEL}: the package's model is missing; install the package again, or name a model")
        self.classifier = Classifier(MODEL if model is None else Path(model), threads)
        self._detector = Detector(min_face, thorough=thorough, threads=threads)

    def analyze(self, image: ImageSource) -> list[Face]:
        """Return the faces of an image, best detector score first; an image without faces gives an empty list.

        A model aligned by boxes leaves out a face where the crop that it needs shows nothing of the image, or is more
        than three times as long.

        Args:
            image: one of

                - a path, or ``archive.zip!/member``, of a JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF or JPEG 2000 file, or
                  of a HEIC file with the extra ``heif``,
                - the bytes of such a file,
                - a PIL image,
                - a uint8 array, upright: H x W x 3 (RGB), H x W x 4 (RGBA) or H x W (gray).

                EXIF orientation is applied. Transparent pixels are shown over black.

        Raises:
            ImageError: the file or the bytes cannot be read; a subclass of InputError.
            TypeError: ``image`` is none of these types.
            ValueError: an array of another shape or dtype.
        """
        pixels = pixels_of(image)
        found = [one for one in self._detector.detect(pixels) if self._can_show(one, pixels)]
        patches = [
            self.classifier.patch(pixels, one.box, box_kind="blazeface", landmarks=one.landmarks) for one in found
        ]
        answers = self.classifier.predict_patches(patches)
        return [self._face(one, answer) for one, answer in zip(found, answers, strict=True)]

    def answered(self, face: Face, values: NDArray[np.float32], number: int | None) -> Face:
        """Return a face with other probabilities, float32 [K] in class order, and its number in a film."""
        emotions = dict(zip(self.classifier.classes, map(float, values), strict=True))
        label = max(emotions, key=emotions.__getitem__)
        unsure = emotions[label] < self.classifier.unsure_below
        return replace(face, emotions=emotions, label=label, unsure=unsure, id=number)

    def classify(self, pixels: Pixels, box: Box | None, box_kind: str) -> list[float]:
        """Return the probabilities (0..1, in class order) of a face whose box is known.

        Args:
            pixels: upright RGB, uint8 [H, W, 3].
            box: minX, minY, maxX, maxY in pixels; None takes the whole image as a finished crop. A model aligned by
                landmarks looks for them around it, and is shown the box's own region where there are none.
            box_kind: the kind of the box, one of ``geometry.BOX_KINDS``.
        """
        framing = self.classifier.framing
        found = self._detector.look_at(pixels, box) if box and framing.aligned_by == "landmarks" else None
        height, width = pixels.shape[:2]
        if box and not found and not has_patch(framing.region(box, box_kind), width, height):
            # Other contenders answer for such a box too, so this one classifies a black patch.
            return [*map(float, self.classifier.predict_patches([np.zeros((SIZE, SIZE, 3), np.uint8)])[0])]
        landmarks = found.landmarks if found else None
        return [*self.classifier.predict(pixels, box, box_kind=box_kind, landmarks=landmarks).values()]

    def _can_show(self, detection: Detection, pixels: Pixels) -> bool:
        framing = self.classifier.framing
        height, width = pixels.shape[:2]
        return framing.aligned_by == "landmarks" or has_patch(framing.region(detection.box, "blazeface"), width, height)

    def _face(self, detection: Detection, values: NDArray[np.float32]) -> Face:
        landmarks = dict(zip(LANDMARKS, detection.landmarks, strict=True))
        return self.answered(Face(detection.box, detection.score, landmarks, {}, ""), values, None)


def face_boxes() -> Callable[[Pixels], list[Box]]:
    """Return a function that finds the boxes (of ``pyojeong.detection``) of all faces, as ``Analyzer`` does."""
    return partial(_boxes_in, Detector())


def _boxes_in(detector: Detector, image: Pixels) -> list[Box]:
    return [face.box for face in detector.detect(image)]


@dataclass(frozen=True)
class ModelContender:
    """An exported model behind our own detector as a contender, see ``evaluation.contenders.Contender``.

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
        height, width = pixels.shape[:2]
        if box and not can_be_face(box, width, height):
            return None
        return self._analyzer.classify(pixels, box, self._box_kind)

    def close(self) -> None:
        """Nothing needs closing."""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
